package varve

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

// overseen notes the tables that a destination takes, and may take fewer levels.
type overseen struct {
	export.Store
	levels int // 0: as many as the store

	mu     sync.Mutex
	tables []export.TableInfo
	loads  int
}

type overseenIngester struct {
	export.Ingester
	export.TableLoader
	store *overseen
}

func (o *overseen) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	in, err := o.Store.Ingest(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &overseenIngester{in, in.(export.TableLoader), o}, nil
}

func (i *overseenIngester) TableSupport() export.TableSupport {
	s := i.TableLoader.TableSupport()
	if i.store.levels > 0 {
		s.Levels = i.store.levels
	}
	return s
}

func (i *overseenIngester) LoadTable(ctx context.Context, t export.TableInfo) (export.TableWriter, error) {
	i.store.mu.Lock()
	defer i.store.mu.Unlock()
	i.store.tables = append(i.store.tables, t)
	return i.TableLoader.LoadTable(ctx, t)
}

func (i *overseenIngester) Load(ctx context.Context, span export.Span) (export.Loader, error) {
	i.store.mu.Lock()
	defer i.store.mu.Unlock()
	i.store.loads++
	return i.Ingester.Load(ctx, span)
}

// TestDeepChains: of more levels than a database bears the upper ones are merged to one
// before that is linked over the others, which are linked as they are.
func TestDeepChains(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ layers, levels, want int }{
		{10, 0, 10}, {11, 0, 10}, {14, 0, 10}, {5, 4, 4}, {5, 5, 5}, {5, 2, 2}, {5, 1, 0},
	} {
		t.Run(fmt.Sprintf("%d layers on %d levels", test.layers, test.levels), func(t *testing.T) {
			t.Parallel()
			s := newStrata(t, uint64(test.layers))
			s.target = 1 << 20
			s.write(300)
			for range test.layers {
				s.lay(Span{})
				s.write(20)
				s.store.Set(strataKey(1), s.store.State(Span{})[0].Key) // each layer has something from end to end
				s.store.Set(strataKey(strataKeys-1), fmt.Append(nil, s.rng.Uint64()))
			}
			last := test.layers - 1
			s.restoreAll(last, RestoreOptions{Prove: true})

			fs := vfs.NewMem()
			dir := &overseen{Store: pebblekv.Dir("new", &pebblekv.Options{Pebble: &pebble.Options{FS: fs, Logger: silent{}}}), levels: test.levels}
			_, err := s.c.Restore(t.Context(), Cluster(dir), &RestoreOptions{Prove: true})
			require.NoError(t, err)
			require.Equal(t, test.want == 0, dir.loads > 0, "entries are taken one by one where no level can be linked")
			levels := map[int]bool{}
			for _, table := range dir.tables {
				levels[table.Level] = true
			}
			require.Len(t, levels, test.want)
			for level := range levels {
				require.Less(t, level, cmp.Or(test.levels, test.layers))
			}
			requireUncovered(t, fs, s.states[last])
		})
	}
}

// TestLayersSideBySide: a file that lies over nothing is linked, however many layers
// are below its own.
func TestLayersSideBySide(t *testing.T) {
	t.Parallel()
	const layers, levels = 5, 3
	s := newStrata(t, 7)
	s.bare = true // one file a layer
	for i := range layers {
		s.store.Set(strataKey(10*i), []byte("value"))
		s.lay(keys(-1, 10*i+1))
	}
	fs := vfs.NewMem()
	dir := &overseen{Store: pebblekv.Dir("new", &pebblekv.Options{Pebble: &pebble.Options{FS: fs, Logger: silent{}}}), levels: levels}
	_, err := s.c.Restore(t.Context(), Spans(dir, keys(-1, 10*layers-9)), nil)
	require.NoError(t, err)
	require.Zero(t, dir.loads)
	require.NotEmpty(t, dir.tables)
	for _, table := range dir.tables {
		require.Less(t, table.Level, levels, table.Span)
	}
	requireUncovered(t, fs, s.states[layers-1])
}

// requireUncovered opens what was restored, and then deletes every key as an
// application may that has set it once: nothing older comes back.
func requireUncovered(t *testing.T, fs vfs.FS, want []export.Entry) {
	t.Helper()
	db, store, err := pebblekv.Open("new", &pebble.Options{FS: fs, Logger: silent{}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	got, err := contentOf(t.Context(), store)
	require.NoError(t, err)
	require.Equal(t, stateIn(want, Span{}), got)
	for _, e := range got {
		if e.Kind == export.Set {
			require.NoError(t, db.SingleDelete(e.Key, pebble.NoSync))
		}
	}
	require.NoError(t, db.Compact(t.Context(), []byte("a"), []byte("z"), false))
	left, err := contentOf(t.Context(), store)
	require.NoError(t, err)
	for _, e := range left {
		require.NotEqual(t, export.Set, e.Kind, "%q came back", e.Key)
	}
}
