package memkv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
)

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name string
		opts memkv.Options
	}{
		{"Revisions", memkv.Options{}},
		{"SingleRevision", memkv.Options{SingleRevision: true}},
		{"Locks", memkv.Options{Locks: true, PartitionBytes: 200}},
		{"SingleRevisionLocks", memkv.Options{Locks: true, SingleRevision: true, PartitionBytes: 200}},
		{"Suffixes", memkv.Options{Order: suffixed(), PartitionBytes: 300}},
		{"SingleRevisionSuffixes", memkv.Options{Order: suffixed(), SingleRevision: true, PartitionBytes: 1}},
		{"Static", memkv.Options{Objects: bank()}},
		{"Reverse", memkv.Options{Order: reverse(), PartitionBytes: 300}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			kvtest.Run(t, func(t *testing.T) kvtest.Harness {
				store, err := memkv.New(&c.opts)
				require.NoError(t, err)
				h := &harness{store: store, opts: c.opts}
				if c.opts.Objects != nil {
					return staticHarness{h}
				}
				if c.opts.Order != nil && c.opts.Order.Split != nil {
					return suffixedHarness{h}
				}
				return h
			})
		})
	}
}

// suffixed is an order whose keys may end in "@" and a number: the greater number
// first, as revisions are.
func suffixed() *export.Order {
	split := func(key []byte) int {
		if i := bytes.IndexByte(key, '@'); i >= 0 {
			return i
		}
		return len(key)
	}
	suffixes := func(a, b []byte) int {
		if len(a) == 0 || len(b) == 0 {
			return len(a) - len(b)
		}
		return bytes.Compare(b, a)
	}
	return &export.Order{
		Name:  "memkv.suffixed",
		Split: split,
		Compare: func(a, b []byte) int {
			i, j := split(a), split(b)
			if c := bytes.Compare(a[:i], b[:j]); c != 0 {
				return c
			}
			return suffixes(a[i:], b[j:])
		},
		CompareSuffixes: suffixes,
	}
}

// reverse is descending, but for the empty key, which is the first in any order.
func reverse() *export.Order {
	return &export.Order{Name: "memkv.reverse", Compare: func(a, b []byte) int {
		if len(a) == 0 || len(b) == 0 {
			return len(a) - len(b)
		}
		return bytes.Compare(b, a)
	}}
}

type harness struct {
	store *memkv.Store
	opts  memkv.Options
}

func (h *harness) Store() export.Store { return h.store }

func (h *harness) Reopen() (export.Store, error) {
	h.store = h.store.Reopen()
	return h.store, nil
}

func (h *harness) Empty() (export.Store, error) { return memkv.New(&h.opts) }

func (h *harness) CloseStore() error {
	h.store.Close()
	return nil
}

func (h *harness) Set(key, value []byte) error { return written(h.store.Set(key, value)) }

func (h *harness) Delete(key []byte) error { return written(h.store.Delete(key)) }

func (h *harness) DeleteRange(start, end []byte) error {
	return written(h.store.DeleteRange(start, end))
}

func (h *harness) RangeKeySet(start, end, suffix, value []byte) error {
	return written(h.store.RangeKeySet(start, end, suffix, value))
}

func (h *harness) RangeKeyUnset(start, end, suffix []byte) error {
	return written(h.store.RangeKeyUnset(start, end, suffix))
}

func (h *harness) RangeKeyDelete(start, end []byte) error {
	return written(h.store.RangeKeyDelete(start, end))
}

func (h *harness) Lock(key []byte, holder string) error { return written(h.store.Lock(key, holder)) }

func (h *harness) Collect(before export.Timestamp) error {
	h.store.Collect(before)
	return nil
}

func (h *harness) PartitionBytes() int64 {
	if h.opts.PartitionBytes == 0 {
		return 1 << 20
	}
	return h.opts.PartitionBytes
}

func written(at export.Timestamp) error {
	if at.IsZero() {
		return export.ErrClosed
	}
	return nil
}

// staticHarness has a catalog that stands still: what changes one is out of sight.
type staticHarness struct{ kvtest.Harness }

// suffixedHarness spells keys and suffixes of the suffixed order.
type suffixedHarness struct{ *harness }

func (suffixedHarness) Key(name string, version int) []byte {
	if version == 0 {
		return []byte(name)
	}
	return fmt.Appendf(nil, "%s@%03d", name, version)
}

func (suffixedHarness) Suffix(version int) []byte {
	if version == 0 {
		return nil
	}
	return fmt.Appendf(nil, "@%03d", version)
}

func (h *harness) CreateObject(o export.Object, spans int) (export.Object, error) {
	placed, err := h.store.Place(context.Background(), []export.Placement{{Path: []string{o.Name}, Object: o}})
	if err != nil {
		return o, err
	}
	o = placed[0]
	for i := range spans {
		span := export.PrefixSpan(fmt.Appendf(nil, "table-%d-%d/", o.ID, i))
		if h.opts.Order.WithDefaults().Compare(span.Start, span.End) > 0 {
			span.Start, span.End = span.End, span.Start
		}
		o.Spans = append(o.Spans, span)
	}
	_, err = h.store.PutObjects(o)
	return o, err
}

func (h *harness) RenameObject(id, parent uint64, name string) error {
	snap, err := h.store.Snapshot(context.Background(), export.SnapshotOptions{})
	if err != nil {
		return err
	}
	objects, err := snap.(export.Cataloger).Objects(context.Background())
	for _, o := range objects {
		if o.ID == id {
			o.Parent, o.Name = parent, name
			_, err = h.store.PutObjects(o)
		}
	}
	return errors.Join(err, snap.Close())
}

func (h *harness) DropObject(id uint64) error {
	_, err := h.store.DropObjects(id)
	return err
}
