package mvcckv_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/mvcckv"
)

const dbDir = "db"

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// wall is a clock that goes by hand.
type wall struct {
	mu  sync.Mutex
	now time.Time
}

func newWall() *wall { return &wall{now: time.Unix(1_000_000, 0)} }

func (w *wall) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wall) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func options(fs vfs.FS) *mvcckv.Options {
	return &mvcckv.Options{Pebble: &pebble.Options{FS: fs, Logger: quiet{}}}
}

// newStore is an empty store in memory.
func newStore(t *testing.T, opts *mvcckv.Options) *mvcckv.Store {
	t.Helper()
	if opts == nil {
		opts = options(vfs.NewMem())
	}
	return open(t, opts)
}

func open(t *testing.T, opts *mvcckv.Options) *mvcckv.Store {
	t.Helper()
	s, err := mvcckv.Open(dbDir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// reopen is the store of the next process.
func reopen(t *testing.T, s *mvcckv.Store, opts *mvcckv.Options) *mvcckv.Store {
	t.Helper()
	require.NoError(t, s.Close())
	return open(t, opts)
}

func begin(t *testing.T, s *mvcckv.Store, opts *mvcckv.TxOptions) *mvcckv.Tx {
	t.Helper()
	tx, err := s.Begin(t.Context(), opts)
	require.NoError(t, err)
	return tx
}

func put(t *testing.T, tx *mvcckv.Tx, key, value string) {
	t.Helper()
	require.NoError(t, tx.Put(t.Context(), []byte(key), []byte(value)))
}

// get is the value of key, or "-" where there is none.
func get(t *testing.T, tx *mvcckv.Tx, key string) string {
	t.Helper()
	value, err := tx.Get(t.Context(), []byte(key))
	if err != nil {
		require.ErrorIs(t, err, mvcckv.ErrNotFound)
		return "-"
	}
	return string(value)
}

func commit(t *testing.T, tx *mvcckv.Tx) export.Timestamp {
	t.Helper()
	at, err := tx.Commit(t.Context())
	require.NoError(t, err)
	return at
}

// set writes one key in a transaction of its own.
func set(t *testing.T, s *mvcckv.Store, key, value string) export.Timestamp {
	t.Helper()
	at, err := write(t.Context(), s, func(tx *mvcckv.Tx) error {
		return tx.Put(t.Context(), []byte(key), []byte(value))
	})
	require.NoError(t, err)
	return at
}

func write(ctx context.Context, s *mvcckv.Store, do func(tx *mvcckv.Tx) error) (export.Timestamp, error) {
	return s.Update(ctx, nil, do)
}

// at is a transaction that reads as of a moment.
func at(t *testing.T, s *mvcckv.Store, moment export.Timestamp) *mvcckv.Tx {
	t.Helper()
	return begin(t, s, &mvcckv.TxOptions{AsOf: moment})
}

func snapshot(t *testing.T, s *mvcckv.Store, opts export.SnapshotOptions) export.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), opts)
	require.NoError(t, err)
	return snap
}

// exported is what an export yields, one line an entry.
func exported(t *testing.T, snap export.Snapshot, req export.Request) []string {
	t.Helper()
	entries, err := kvtest.Collect(t.Context(), snap, req)
	require.NoError(t, err)
	return lines(entries)
}

func lines(entries []export.Entry) []string {
	var text []string
	for _, e := range entries {
		text = append(text, fmt.Sprintf("%s %s=%s", e.Kind, e.Key, e.Value))
	}
	return text
}

// holds is what a store holds now.
func holds(t *testing.T, s *mvcckv.Store) []string {
	t.Helper()
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	return exported(t, snap, export.Request{})
}

func retries(t *testing.T, err error, why mvcckv.Conflict) *mvcckv.RetryError {
	t.Helper()
	var retry *mvcckv.RetryError
	require.ErrorAs(t, err, &retry)
	require.Equal(t, why, retry.Conflict, "%v", err)
	return retry
}
