package mvcckv_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/mvcckv"
)

func TestConformance(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		kvtest.Run(t, func(t *testing.T) kvtest.Harness { return newHarness(t, vfs.NewMem(), dbDir) })
	})
	t.Run("on disk", func(t *testing.T) {
		if testing.Short() {
			t.Skip("each check syncs thousands of times")
		}
		t.Parallel()
		kvtest.Run(t, func(t *testing.T) kvtest.Harness { return newHarness(t, vfs.Default, t.TempDir()+"/db") })
	})
}

func newHarness(t *testing.T, fs vfs.FS, dir string) *harness {
	o := &pebble.Options{FS: fs, Logger: quiet{}}
	for level := range o.TargetFileSizes {
		o.TargetFileSizes[level] = 600 // several tables hold what a check writes
	}
	h := &harness{t: t, dir: dir, opts: &mvcckv.Options{Pebble: o}}
	require.NoError(t, h.open())
	t.Cleanup(func() { require.NoError(t, h.CloseStore()) })
	return h
}

// harness writes each change in a transaction of its own.
type harness struct {
	t       *testing.T
	dir     string
	opts    *mvcckv.Options
	store   *mvcckv.Store
	empties int
}

func (h *harness) open() (err error) {
	h.store, err = mvcckv.Open(h.dir, h.opts)
	return err
}

func (h *harness) Store() export.Store { return h.store }

func (h *harness) CloseStore() error { return h.store.Close() }

func (h *harness) Reopen() (export.Store, error) {
	if err := h.store.Close(); err != nil {
		return nil, err
	}
	err := h.open()
	return h.store, err
}

func (h *harness) Empty() (export.Store, error) {
	h.empties++
	s, err := mvcckv.Open(fmt.Sprintf("%s-empty%d", h.dir, h.empties), h.opts)
	if err == nil {
		h.t.Cleanup(func() { require.NoError(h.t, s.Close()) })
	}
	return s, err
}

func (h *harness) write(do func(ctx context.Context, tx *mvcckv.Tx) error) error {
	ctx := h.t.Context()
	_, err := write(ctx, h.store, func(tx *mvcckv.Tx) error { return do(ctx, tx) })
	return err
}

func (h *harness) Set(key, value []byte) error {
	return h.write(func(ctx context.Context, tx *mvcckv.Tx) error { return tx.Put(ctx, key, value) })
}

func (h *harness) Delete(key []byte) error {
	return h.write(func(ctx context.Context, tx *mvcckv.Tx) error { return tx.Delete(ctx, key) })
}

func (h *harness) DeleteRange(start, end []byte) error {
	return h.write(func(ctx context.Context, tx *mvcckv.Tx) error { return tx.DeleteRange(ctx, start, end) })
}

// Lock leaves a transaction open.
func (h *harness) Lock(key []byte, holder string) error {
	tx, err := h.store.Begin(h.t.Context(), &mvcckv.TxOptions{Name: holder})
	if err != nil {
		return err
	}
	return tx.Put(h.t.Context(), key, []byte("provisional"))
}

func (h *harness) Collect(before export.Timestamp) error {
	_, err := h.store.Collect(h.t.Context(), before)
	return err
}

func (h *harness) PartitionBytes() int64 { return 64 << 10 }

func (h *harness) Shake() error { return h.store.Shake(h.t.Context()) }

func (h *harness) CreateObject(o export.Object, spans int) (export.Object, error) {
	var created export.Object
	err := h.write(func(ctx context.Context, tx *mvcckv.Tx) (err error) {
		created, err = tx.CreateObject(ctx, o, spans)
		return err
	})
	return created, err
}

func (h *harness) RenameObject(id, parent uint64, name string) error {
	return h.write(func(ctx context.Context, tx *mvcckv.Tx) error { return tx.RenameObject(ctx, id, parent, name) })
}

func (h *harness) DropObject(id uint64) error {
	return h.write(func(ctx context.Context, tx *mvcckv.Tx) error { return tx.DropObject(ctx, id) })
}
