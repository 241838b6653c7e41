package mvcckv_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

// TestCloseBesideCalls: a call that has begun is served, or ends with ErrClosed, and the
// database is closed after it.
func TestCloseBesideCalls(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, s *mvcckv.Store) func(context.Context) error{
		"partition": func(t *testing.T, s *mvcckv.Store) func(context.Context) error {
			snap, err := s.Snapshot(t.Context(), export.SnapshotOptions{})
			require.NoError(t, err)
			return func(ctx context.Context) error {
				_, err := snap.Partition(ctx, export.Span{}, export.Timestamp{})
				return err
			}
		},
		"commit of a load": func(t *testing.T, s *mvcckv.Store) func(context.Context) error {
			in, err := s.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{Start: []byte("m")}}})
			require.NoError(t, err)
			return in.Commit
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s *mvcckv.Store
			armed, closed := make(chan struct{}), make(chan error, 1)
			opts := options(vfs.NewMem())
			opts.Pebble.EventListener = &pebble.EventListener{FlushBegin: func(pebble.FlushInfo) {
				select {
				case <-armed:
				default:
					return
				}
				go func() { closed <- s.Close() }()
				for {
					if _, err := s.Info(context.Background()); errors.Is(err, export.ErrClosed) {
						return
					}
				}
			}}
			s = open(t, opts)
			_, err := s.Update(t.Context(), nil, func(tx *mvcckv.Tx) error { return tx.Put(t.Context(), []byte("a"), []byte("1")) })
			require.NoError(t, err)
			call := prepare(t, s)
			close(armed)
			if err := call(t.Context()); err != nil {
				require.ErrorIs(t, err, export.ErrClosed)
			}
			require.NoError(t, <-closed)
		})
	}
}
