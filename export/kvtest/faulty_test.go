package kvtest

import (
	"context"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

// fault is one way in which an adapter is wrong. Its functions may be nil.
type fault struct {
	snapshotting func(*export.SnapshotOptions)
	ingesting    func(*export.IngestOptions)
	opening      func(*memkv.Store, export.Snapshot) export.Snapshot
	loading      func(*memkv.Store, export.Ingester) export.Ingester
	asking       func(*export.Request)
	yielding     func(export.Request, []export.Entry) []export.Entry
	tables       tableFault
	catalog      catalogFault
	deaf         bool // to cancellation
}

// faultyStore is a sound store behind a fault.
type faultyStore struct {
	*memkv.Store
	fault fault
}

func (s faultyStore) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	if s.fault.snapshotting != nil {
		s.fault.snapshotting(&opts)
	}
	if s.fault.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	snapshot, err := s.Store.Snapshot(ctx, opts)
	if err != nil {
		return nil, err
	}
	sound := snapshot
	if s.fault.opening != nil {
		snapshot = s.fault.opening(s.Store, snapshot)
	}
	tables := tableSnapshot{faultySnapshot{snapshot, s.fault}, s.fault.tables}
	return catalogSnapshot{tables, sound, s.Store, s.fault.catalog}, nil
}

func (s faultyStore) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	if s.fault.ingesting != nil {
		s.fault.ingesting(&opts)
	}
	in, err := s.Store.Ingest(ctx, opts)
	if err == nil && s.fault.loading != nil {
		in = s.fault.loading(s.Store, in)
	}
	if err == nil && s.fault.catalog.publishing != nil {
		in = publishingIngester{in, s.Store, s.fault.catalog.publishing}
	}
	return in, err
}

type faultySnapshot struct {
	export.Snapshot
	fault fault
}

func (s faultySnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	if s.fault.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	asked := req
	if s.fault.asking != nil {
		s.fault.asking(&req)
	}
	if s.fault.yielding == nil {
		return s.Snapshot.Export(ctx, req)
	}
	entries, err := Collect(ctx, s.Snapshot, req)
	if err != nil {
		return nil, err
	}
	return &listCursor{entries: s.fault.yielding(asked, entries), at: -1}, nil
}

// listCursor yields entries of a list.
type listCursor struct {
	entries []export.Entry
	at      int
}

func (c *listCursor) Next() bool {
	c.at++
	return c.at < len(c.entries)
}

func (c *listCursor) Entry() *export.Entry { return &c.entries[c.at] }

func (c *listCursor) Err() error { return nil }

func (c *listCursor) Close() error {
	c.entries = nil
	return nil
}

// memHarness serves memkv stores behind a fault.
type memHarness struct {
	store *memkv.Store
	opts  memkv.Options
	fault fault
}

func (h *memHarness) Store() export.Store { return faultyStore{h.store, h.fault} }

func (h *memHarness) Reopen() (export.Store, error) {
	h.store = h.store.Reopen()
	return h.Store(), nil
}

func (h *memHarness) Empty() (export.Store, error) {
	store, err := memkv.New(&h.opts)
	return faultyStore{store, h.fault}, err
}

func (h *memHarness) CloseStore() error {
	h.store.Close()
	return nil
}

// ShowsTables: without revisions, see tableSnapshot.
func (h *memHarness) ShowsTables() bool { return h.opts.SingleRevision }

func (h *memHarness) Set(key, value []byte) error {
	h.store.Set(key, value)
	return nil
}

func (h *memHarness) Delete(key []byte) error {
	h.store.Delete(key)
	return nil
}

func (h *memHarness) DeleteRange(start, end []byte) error {
	h.store.DeleteRange(start, end)
	return nil
}

func (h *memHarness) RangeKeySet(start, end, suffix, value []byte) error {
	h.store.RangeKeySet(start, end, suffix, value)
	return nil
}

func (h *memHarness) RangeKeyUnset(start, end, suffix []byte) error {
	h.store.RangeKeyUnset(start, end, suffix)
	return nil
}

func (h *memHarness) RangeKeyDelete(start, end []byte) error {
	h.store.RangeKeyDelete(start, end)
	return nil
}

// movingSnapshot reads the store as it is now.
type movingSnapshot struct {
	export.Snapshot
	store *memkv.Store
}

func (s movingSnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	now, err := s.store.Snapshot(ctx, export.SnapshotOptions{})
	if err != nil {
		return nil, err
	}
	return now.Export(ctx, req)
}

// gappySnapshot loses what lies between two pieces, having moved a cut.
type gappySnapshot struct{ export.Snapshot }

func (s gappySnapshot) Partition(ctx context.Context, span export.Span, since export.Timestamp) ([]export.Partition, error) {
	pieces, err := s.Snapshot.Partition(ctx, span, since)
	if len(pieces) > 1 {
		pieces[1].Span.Start = append(pieces[1].Span.Start, 0)
	}
	return pieces, err
}

// sharingSnapshot has one buffer for the keys of all its cursors.
type sharingSnapshot struct {
	export.Snapshot
	key *[]byte
}

func (s sharingSnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	c, err := s.Snapshot.Export(ctx, req)
	return sharingCursor{c, s.key}, err
}

type sharingCursor struct {
	export.Cursor
	key *[]byte
}

func (c sharingCursor) Next() bool {
	ok := c.Cursor.Next()
	if ok {
		*c.key = append((*c.key)[:0], c.Cursor.Entry().Key...)
		c.Cursor.Entry().Key = *c.key
	}
	return ok
}

// keepingIngester has loaders that keep the bytes they are given until Finish.
type keepingIngester struct{ export.Ingester }

func (in keepingIngester) Load(ctx context.Context, span export.Span) (export.Loader, error) {
	l, err := in.Ingester.Load(ctx, span)
	return &keepingLoader{Loader: l}, err
}

type keepingLoader struct {
	export.Loader
	entries []export.Entry
}

func (l *keepingLoader) Add(e *export.Entry) error {
	l.entries = append(l.entries, *e)
	return nil
}

func (l *keepingLoader) Finish() error {
	for i := range l.entries {
		if err := l.Loader.Add(&l.entries[i]); err != nil {
			return err
		}
	}
	return l.Loader.Finish()
}

// hastyIngester has loaders that write to the store at once.
type hastyIngester struct {
	export.Ingester
	store *memkv.Store
}

func (in hastyIngester) Load(ctx context.Context, span export.Span) (export.Loader, error) {
	l, err := in.Ingester.Load(ctx, span)
	return hastyLoader{l, in.store}, err
}

type hastyLoader struct {
	export.Loader
	store *memkv.Store
}

func (l hastyLoader) Add(e *export.Entry) error {
	l.store.Set(e.Key, e.Value)
	return l.Loader.Add(e)
}

// leavingIngester aborts nothing.
type leavingIngester struct{ export.Ingester }

func (leavingIngester) Abort() error { return nil }
