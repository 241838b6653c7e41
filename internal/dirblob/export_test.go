package dirblob

import "gocloud.dev/blob/driver"

// OpenDriver is Open for tests that need the driver itself.
func OpenDriver(dir string, opts *Options) (driver.Bucket, error) { return open(dir, opts) }

// PageObjects is the size of the largest page.
const PageObjects = pageObjects
