package faultblob_test

import (
	"context"
	"net/http"
	"testing"

	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"

	"github.com/varvekv/varve/internal/faultblob"
)

// TestConformance is what makes the lies believable: without them the bucket is one.
func TestConformance(t *testing.T) {
	drivertest.RunConformanceTests(t, func(ctx context.Context, t *testing.T) (drivertest.Harness, error) {
		return harness{faultblob.New(t, &faultblob.Options{Allow: faultblob.Everything})}, nil
	}, nil)
}

type harness struct{ bucket *faultblob.Bucket }

func (h harness) MakeDriver(context.Context) (driver.Bucket, error) { return h.bucket.Driver(), nil }

func (h harness) MakeDriverForNonexistentBucket(context.Context) (driver.Bucket, error) {
	return nil, nil
}

func (h harness) HTTPClient() *http.Client         { return nil }
func (h harness) SupportsCopy() bool               { return true }
func (h harness) SupportsNonSlashDelimiters() bool { return true }
func (h harness) Close()                           {}
