package objectio

import (
	"strings"

	"gocloud.dev/blob"
)

// Bucket is the objects under one prefix of a bucket. It is safe for concurrent use.
// There is nothing to close: the bucket below stays its opener's.
type Bucket struct {
	blobs  *blob.Bucket
	prefix string // "" or "a/b/"
	meter  *Meter

	retries Retry // with its defaults
}

// New is the objects of b whose keys start with prefix, "" or "a/b", and a slash.
func New(b *blob.Bucket, prefix string) *Bucket {
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return &Bucket{blobs: b, prefix: prefix, meter: new(Meter), retries: Retry{}.normal()}
}

// Retrying is the same bucket, which repeats requests as r says.
func (b *Bucket) Retrying(r Retry) *Bucket {
	c := *b
	c.retries = r.normal()
	return &c
}

// With is the same bucket with its calls counted and paced by m alone.
func (b *Bucket) With(m *Meter) *Bucket {
	c := *b
	c.meter = m
	return &c
}

// path is where the object key lies in the bucket below.
func (b *Bucket) path(key string) string { return b.prefix + key }
