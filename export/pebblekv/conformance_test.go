package pebblekv_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/pebblekv"
)

func TestConformance(t *testing.T) {
	columns := flavors()[0]
	columns.name, columns.options = "columns", func() *pebble.Options { return &pebble.Options{FormatMajorVersion: pebble.FormatNewest} }
	for _, f := range append(flavors(), columns) {
		if f.name == "no log" {
			continue // a harness restarts, and its database forgets what was not flushed
		}
		if testing.Short() && f.name != "default" && (asserting || f.name != "suffixes") {
			continue
		}
		t.Run(f.name+" in memory", func(t *testing.T) {
			t.Parallel()
			kvtest.Run(t, func(t *testing.T) kvtest.Harness {
				o := f.options()
				o.FS = vfs.NewMem()
				return newHarness(t, o, dbDir)
			})
		})
	}
	t.Run("catalog", func(t *testing.T) {
		t.Parallel()
		kvtest.Run(t, func(t *testing.T) kvtest.Harness {
			o := &pebble.Options{FS: vfs.NewMem(), FormatMajorVersion: pebble.FormatVirtualSSTables}
			return newCatalogHarness(t, o, dbDir, &pebblekv.Options{Objects: bank()})
		})
	})
	t.Run("on disk", func(t *testing.T) {
		t.Parallel()
		kvtest.Run(t, func(t *testing.T) kvtest.Harness {
			return newHarness(t, &pebble.Options{FormatMajorVersion: pebble.FormatVirtualSSTables}, t.TempDir()+"/db")
		})
	})
}

func newHarness(t *testing.T, o *pebble.Options, dir string) kvtest.Harness {
	return newCatalogHarness(t, o, dir, nil)
}

func newCatalogHarness(t *testing.T, o *pebble.Options, dir string, opts *pebblekv.Options) kvtest.Harness {
	o.Logger = quiet{t}
	for level := range o.TargetFileSizes {
		o.TargetFileSizes[level] = 600 // a few tables hold what a check writes
	}
	h := &harness{t: t, popts: o, opts: opts, dir: dir}
	require.NoError(t, h.open())
	t.Cleanup(func() { require.NoError(t, h.CloseStore()) })
	if o.Comparer != nil {
		return suffixHarness{h}
	}
	return h
}

// harness is a database with a store.
type harness struct {
	t       *testing.T
	popts   *pebble.Options
	opts    *pebblekv.Options
	dir     string
	db      *pebble.DB
	store   *pebblekv.Store
	empties int
}

func (h *harness) open() (err error) {
	h.db, h.store, err = pebblekv.Open(h.dir, h.popts, h.opts)
	return err
}

func (h *harness) Store() export.Store { return h.store }

func (h *harness) CloseStore() error {
	if h.db == nil {
		return nil
	}
	db := h.db
	h.db = nil
	return db.Close()
}

func (h *harness) Reopen() (export.Store, error) {
	err := errors.Join(h.store.Crash(), h.CloseStore(), h.open())
	return h.store, err
}

// ShowsTables: values in files of their own keep a table from being copied.
func (h *harness) ShowsTables() bool { return h.popts.Experimental.ValueSeparationPolicy == nil }

func (h *harness) Set(key, value []byte) error { return h.db.Set(key, value, pebble.NoSync) }

func (h *harness) Delete(key []byte) error { return h.db.Delete(key, pebble.NoSync) }

func (h *harness) DeleteRange(start, end []byte) error {
	return h.db.DeleteRange(start, end, pebble.NoSync)
}

func (h *harness) RangeKeySet(start, end, suffix, value []byte) error {
	return h.db.RangeKeySet(start, end, suffix, value, pebble.NoSync)
}

func (h *harness) RangeKeyUnset(start, end, suffix []byte) error {
	return h.db.RangeKeyUnset(start, end, suffix, pebble.NoSync)
}

func (h *harness) RangeKeyDelete(start, end []byte) error {
	return h.db.RangeKeyDelete(start, end, pebble.NoSync)
}

func (h *harness) Shake() error {
	it, err := h.db.NewIter(nil)
	if err != nil {
		return err
	}
	var first, last []byte
	if it.First() {
		first = append(first, it.Key()...)
	}
	if it.Last() {
		last = append(last, it.Key()...)
	}
	if err := errors.Join(it.Close(), h.db.Flush()); err != nil || string(first) == string(last) {
		return err
	}
	return h.db.Compact(h.t.Context(), first, last, false)
}

func (h *harness) Empty() (export.Store, error) {
	h.empties++
	db, store, err := pebblekv.Open(fmt.Sprintf("%s-empty%d", h.dir, h.empties), h.popts, h.opts)
	if err == nil {
		h.t.Cleanup(func() { require.NoError(h.t, db.Close()) })
	}
	return store, err
}

// suffixHarness spells keys for the comparer of cockroachkvs.
type suffixHarness struct{ *harness }

func (suffixHarness) Key(name string, version int) []byte {
	return cockroachkvs.EncodeMVCCKey(nil, []byte(name), uint64(version), 0)
}

func (h suffixHarness) Suffix(version int) []byte {
	k := h.Key("k", version)
	return k[cockroachkvs.Split(k):]
}
