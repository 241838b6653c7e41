package faultblob

import gocloud "gocloud.dev/blob/driver"

// Driver is the driver that Open wraps, for the conformance tests.
func (b *Bucket) Driver() gocloud.Bucket { return driver{b} }
