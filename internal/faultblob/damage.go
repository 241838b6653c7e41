package faultblob

import (
	"context"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// Keys are the keys of all objects, ascending. Like everything below it is neither
// traced nor judged nor faulty.
func (b *Bucket) Keys() []string { return b.keys("") }

// Read is a copy of the object.
func (b *Bucket) Read(key string) []byte {
	b.tb.Helper()
	body, err := b.under.ReadAll(context.Background(), key)
	b.check("read", key, err)
	return body
}

// Replace puts body in place of the object, or creates it.
func (b *Bucket) Replace(key string, body []byte) {
	b.tb.Helper()
	err := b.under.WriteAll(context.Background(), key, body, &blob.WriterOptions{ContentType: "application/octet-stream"})
	b.check("replace", key, err)
	b.note(key)
}

// Flip turns one bit of the object over.
func (b *Bucket) Flip(key string, bit int) {
	b.tb.Helper()
	body := b.Read(key)
	body[bit/8] ^= 1 << (bit % 8)
	b.Replace(key, body)
}

// Truncate leaves the first n bytes of the object.
func (b *Bucket) Truncate(key string, n int) {
	b.tb.Helper()
	b.Replace(key, b.Read(key)[:n])
}

// Remove deletes the object.
func (b *Bucket) Remove(key string) {
	b.tb.Helper()
	b.check("remove", key, b.under.Delete(context.Background(), key))
}

// Swap exchanges two objects.
func (b *Bucket) Swap(key, other string) {
	b.tb.Helper()
	body := b.Read(key)
	b.Replace(key, b.Read(other))
	b.Replace(other, body)
}

// Clone is a bucket in memory with the same objects and rules, without hooks and
// with an empty trace.
func (b *Bucket) Clone() *Bucket {
	b.tb.Helper()
	clone := &Bucket{tb: b.tb, under: memblob.OpenBucket(nil), allow: b.allow, now: b.now}
	for _, key := range b.Keys() {
		clone.Replace(key, b.Read(key))
		clone.Date(key, b.dated(key, time.Time{}))
	}
	return clone
}

func (b *Bucket) check(act, key string, err error) {
	b.tb.Helper()
	if err != nil {
		b.tb.Fatalf("faultblob: %s %q: %v", act, key, err)
	}
}
