package varve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gocloud.dev/blob"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
)

// Latest names the newest committed layer of the chain whose full is newest.
const Latest = "LATEST"

// CollectionOptions say how a collection is used. The zero value is ready.
type CollectionOptions struct {
	// Prefix is the collection's path in the bucket, for NewCollection only: a URL
	// has a path of its own. "": the bucket's root.
	Prefix string
	// Encryption are the keys of sealed layers. What is written is sealed for all of them
	// that seal, and any one of them opens it; what was sealed is opened with any that opens.
	// A collection whose first backup was sealed takes no others. nil: nothing is sealed,
	// and of what is sealed no more can be seen than a listing and hashes.
	Encryption []Key
	// Orders are key orders for reading layers without their store, by Verify. The
	// bytewise order is known.
	Orders []export.Order
	// Retry says how requests to storage are repeated.
	Retry RetryOptions
	// Logger gets a line for each backup and restore that begins and ends, and, at
	// debug level, one for each file. nil discards.
	Logger *slog.Logger
	// Now is the clock. It measures durations, and says what BackupOptions.Lag counts
	// from, what is in the future, and which snapshots of dead runs are a day old.
	// Layers are named by the store's timestamps. nil: time.Now.
	Now func() time.Time
	// Rand draws IDs, read by one goroutine at a time. nil: crypto/rand.
	Rand io.Reader
}

// Collection is all backups under one URL. It is safe for concurrent use, also by
// several processes.
type Collection struct {
	bucket *objectio.Bucket
	close  func() error                                                      // of what OpenCollection opened, once
	reopen func(ctx context.Context) (*objectio.Bucket, func() error, error) // opens the place again; nil: it cannot be
	name   string                                                            // of the place, for people: no secrets
	opts   CollectionOptions
	keys   keyring
	jobs   liveJobs
}

// OpenCollection opens the collection at a URL: file:///path for a directory, or
// any scheme whose gocloud driver the program has imported. A place with no
// collection yet is an empty one; the first backup makes it. Close it after use.
func OpenCollection(ctx context.Context, collectionURL string, opts *CollectionOptions) (*Collection, error) {
	o := valueOf(opts)
	if o.Prefix != "" {
		return nil, &OptionError{Field: "Prefix", Reason: "is for NewCollection; a URL has a path of its own"}
	}
	if err := o.Retry.check(); err != nil {
		return nil, err
	}
	place, err := parseURL(collectionURL)
	if err != nil {
		return nil, err
	}
	bucket, err := place.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open collection %s: %w", place.name, err)
	}
	c, err := newCollection(bucket, place.prefix, place.name, o)
	if err != nil {
		return nil, errors.Join(err, bucket.Close())
	}
	c.close = sync.OnceValue(bucket.Close)
	c.reopen = func(ctx context.Context) (*objectio.Bucket, func() error, error) {
		other, err := place.open(ctx)
		if err != nil {
			return nil, nil, err
		}
		return objectio.New(other, place.prefix).Retrying(o.Retry.retry()), other.Close, nil
	}
	if err := c.do(ctx, "open", func(*collectionBucket) error { return nil }); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// NewCollection is the collection in a bucket that the caller opened and will
// close. It does no I/O.
func NewCollection(bucket *blob.Bucket, opts *CollectionOptions) (*Collection, error) {
	if bucket == nil {
		return nil, &OptionError{Field: "bucket", Reason: "is nil"}
	}
	o := valueOf(opts)
	if err := o.Retry.check(); err != nil {
		return nil, err
	}
	prefix, err := cleanPrefix(o.Prefix)
	if err != nil {
		return nil, &OptionError{Field: "Prefix", Reason: err.Error()}
	}
	return newCollection(bucket, prefix, "bucket", o)
}

func newCollection(bucket *blob.Bucket, prefix, name string, o CollectionOptions) (*Collection, error) {
	keys, err := newKeyring(o.Encryption)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	o.Rand = &lockedReader{r: o.Rand}
	o.Orders = slices.Clone(o.Orders)
	return &Collection{
		bucket: objectio.New(bucket, prefix).Retrying(o.Retry.retry()),
		close:  func() error { return nil },
		name:   name, opts: o, keys: keys,
	}, nil
}

// lockedReader lets runs that go on at the same time draw from one reader.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}

// Close pauses the jobs of this process, see [Collection.ResumeJob], and releases what
// OpenCollection opened. A second Close does nothing.
func (c *Collection) Close() error {
	if err := errors.Join(c.jobs.close(), c.close()); err != nil {
		return fmt.Errorf("close collection %s: %w", c.name, err)
	}
	return nil
}

// collectionRecord is the body of varve.json.
type collectionRecord struct {
	Collection string    `json:"collection"`       // ID
	Sealed     bool      `json:"sealed,omitempty"` // and every layer must be
	CreatedAt  time.Time `json:"created_at"`
	Writer     string    `json:"writer"`
}

// collectionBucket is a collection's bucket once varve.json has been read: the
// gate through which every verb goes.
type collectionBucket struct {
	*objectio.Bucket
	id     string // "": there is no collection yet
	sealed bool   // every layer must be
	orders []*export.Order
	keys   keyring

	listed  *index               // nil: not yet
	leaving map[string]bool      // IDs of retired layers; nil: not yet listed
	read    map[string]*Manifest // by path
}

// index lists the collection once.
func (b *collectionBucket) index(ctx context.Context) (_ *index, err error) {
	if b.listed == nil {
		b.listed, err = readIndex(ctx, b)
	}
	return b.listed, err
}

// do reads varve.json and runs a verb, whose errors it puts the collection's name
// to.
func (c *Collection) do(ctx context.Context, verb string, f func(*collectionBucket) error) error {
	b, err := c.gate(ctx, c.bucket)
	if err == nil {
		err = f(b)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, c.name, err)
	}
	return nil
}

// gate refuses a collection of a newer format before anything else is read.
func (c *Collection) gate(ctx context.Context, bucket *objectio.Bucket) (*collectionBucket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // not every driver looks
	}
	b := &collectionBucket{Bucket: bucket, keys: c.keys}
	for i := range c.opts.Orders {
		b.orders = append(b.orders, &c.opts.Orders[i])
	}
	body, err := bucket.Get(ctx, collectionObject, maxManifest)
	if errors.Is(err, objectio.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, storageError("read", collectionObject, err)
	}
	var r collectionRecord
	if err := decodeRecord(collectionObject, body, kindCollection, &r); err != nil {
		return nil, err
	}
	if err := checkID(r.Collection); err != nil {
		return nil, &CorruptError{Object: collectionObject, Want: "the ID of a collection", Got: err.Error()}
	}
	b.id, b.sealed = r.Collection, r.Sealed
	return b, nil
}

// found makes sure that the collection exists. Of two processes that make it at
// once, one does and the other finds it.
func (c *Collection) found(ctx context.Context, b *collectionBucket) (*collectionBucket, error) {
	if b.id != "" {
		return b, nil
	}
	bucket := b.Bucket
	x, err := b.index(ctx)
	if err != nil {
		return nil, err
	}
	if len(x.layers) > 0 {
		// Another process has made it meanwhile; or it was lost, and a new ID would cut
		// off every layer that there is.
		if b, err = c.gate(ctx, bucket); err == nil && b.id == "" {
			err = &CorruptError{Object: collectionObject, Want: "the record of the collection, for it has layers", Got: "no such object"}
		}
		return b, err
	}
	id, err := newID(c.opts.Rand)
	if err != nil {
		return nil, err
	}
	body, err := encodeRecord(kindCollection, collectionRecord{Collection: id, Sealed: len(c.keys) > 0, CreatedAt: c.opts.Now().UTC(), Writer: writerName()})
	if err != nil {
		return nil, err
	}
	err = bucket.Create(ctx, collectionObject, body)
	if errors.Is(err, objectio.ErrExist) {
		return c.gate(ctx, bucket)
	}
	if err != nil {
		return nil, storageError("write", collectionObject, err)
	}
	b.id, b.sealed = id, len(c.keys) > 0
	return b, nil
}

// manifestOf reads that of l, which must say what its entry in the index says.
func (b *collectionBucket) manifestOf(ctx context.Context, l LayerInfo) (*Manifest, error) {
	m, err := b.manifest(ctx, l.Path)
	if err != nil {
		return nil, err
	}
	if m.info() != l {
		return nil, &CorruptError{Object: manifestObject(l.Path), Want: "the layer of " + formatIndex(l), Got: "that of " + formatIndex(m.info())}
	}
	return m, nil
}

// manifest reads the manifest at path, once, and checks that it belongs here.
func (b *collectionBucket) manifest(ctx context.Context, layerPath string) (*Manifest, error) {
	if m := b.read[layerPath]; m != nil {
		return m, nil
	}
	m, err := readManifest(ctx, b.Bucket, layerPath)
	if err != nil {
		return nil, err
	}
	if err := b.admit(ctx, m); err != nil {
		return nil, err
	}
	return m, nil
}

// admit opens and keeps a manifest that was read, unless it is of another collection.
func (b *collectionBucket) admit(ctx context.Context, m *Manifest) error {
	if b.id == "" {
		return &CorruptError{Object: collectionObject, Want: "the record of collection " + m.Collection, Got: "no object"}
	}
	if m.Collection != b.id {
		return &CorruptError{Object: manifestObject(m.Path), Want: "a layer of collection " + b.id, Got: "one of collection " + m.Collection}
	}
	if err := b.unlock(ctx, m); err != nil {
		return err
	}
	if b.read == nil {
		b.read = map[string]*Manifest{}
	}
	b.read[m.Path] = m
	return nil
}

// Layers lists the committed layers, newest first: one listing, and one small read
// for each chain. At most one error is yielded, last.
func (c *Collection) Layers(ctx context.Context) iter.Seq2[LayerInfo, error] {
	return func(yield func(LayerInfo, error) bool) {
		err := c.do(ctx, "list", func(b *collectionBucket) error {
			x, err := b.index(ctx)
			if err != nil {
				return err
			}
			for l, err := range x.all(ctx) {
				if err != nil {
					return err
				}
				if !yield(l, nil) {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(LayerInfo{}, err)
		}
	}
}

// Retired are the layers that a [Policy] dropped and that are there until they are deleted, by
// ID: [Collection.Layers] lists them, but unless they are held they are no restore points any
// more, and nothing extends them. It takes one listing.
func (c *Collection) Retired(ctx context.Context) (map[string]bool, error) {
	var retired map[string]bool
	err := c.do(ctx, "list retired layers of", func(b *collectionBucket) (err error) {
		retired, err = b.retired(ctx)
		return err
	})
	return retired, err
}

var errStopped = errors.New("the caller has seen enough")

// Layer reads the manifest of one layer: Latest, a path, or a layer ID. "" is
// Latest.
func (c *Collection) Layer(ctx context.Context, from string) (*Layer, error) {
	var layer *Layer
	err := c.do(ctx, "read layer of", func(b *collectionBucket) error {
		l, err := b.find(ctx, from)
		if err != nil {
			return err
		}
		m, err := b.manifest(ctx, l.Path)
		if err != nil {
			return err
		}
		layer = m.layer()
		return nil
	})
	return layer, err
}

// valueOf is the options pointed to, or their zero value.
func valueOf[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
