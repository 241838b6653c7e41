// Package faultblob is a bucket for tests that lies and judges. It lies as real
// storage does: a request is lost, or takes effect and is reported as failed, or
// answers half. It judges what a collection must never do to its bucket, and fails
// the test that does it.
//
// It is a gocloud driver over another bucket, which keeps the objects:
//
//	faults := faultblob.New(t, nil)
//	faults.Inject(faultblob.Nth(3, faultblob.Fault{Kind: faultblob.Applied}))
//	use(faults.Open())
//	require.Equal(t, 1, faults.Count(faultblob.List))
package faultblob
