package pebblekv_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/objstorage/remote"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

func TestInfo(t *testing.T) {
	r := newRig(t, &pebble.Options{Merger: maxMerger()})
	info, err := r.store.Info(t.Context())
	require.NoError(t, err)
	require.Len(t, info.Lineage, 32)
	require.Nil(t, info.Order)
	require.Equal(t, "varve.test.max", info.Merger)
	require.True(t, info.AtomicIngest)
	r.close(t)
	r.open(t)
	again, err := r.store.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, info.Lineage, again.Lineage)

	suffixed := newRig(t, &pebble.Options{Comparer: &cockroachkvs.Comparer})
	info, err = suffixed.store.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, cockroachkvs.Comparer.Name, info.Order.Name)
	require.NotNil(t, info.Order.Split)
}

// TestNamesChecked: the options given must be those of the database.
func TestNamesChecked(t *testing.T) {
	r := newRig(t, &pebble.Options{Merger: maxMerger()})
	_, err := pebblekv.New(r.db, dbDir, &pebblekv.Options{Pebble: &pebble.Options{FS: r.popts.FS}})
	require.ErrorContains(t, err, "varve.test.max")
	require.ErrorContains(t, err, pebble.DefaultMerger.Name)
	_, err = pebblekv.New(r.db, dbDir, &pebblekv.Options{Pebble: &pebble.Options{FS: r.popts.FS, Comparer: &cockroachkvs.Comparer, Merger: maxMerger()}})
	require.ErrorContains(t, err, cockroachkvs.Comparer.Name)
	require.ErrorContains(t, err, pebble.DefaultComparer.Name)
	_, err = pebblekv.New(r.db, "/elsewhere", &pebblekv.Options{Pebble: r.popts})
	require.Error(t, err)
}

func TestWALElsewhere(t *testing.T) {
	r := newRig(t, &pebble.Options{WALDir: "/wal"})
	r.set(t, "a")
	s := r.snapshot(t, export.SnapshotOptions{Name: "1"})
	r.set(t, "b")
	require.Len(t, lines(t, s, export.Request{}), 1)
	require.NoError(t, s.Close())

	dir := pebblekv.Dir("/copy", &pebblekv.Options{Pebble: &pebble.Options{FS: r.popts.FS, WALDir: "/wal2", Logger: quiet{t}}})
	in, err := dir.Ingest(t.Context(), export.IngestOptions{Name: "1", Spans: []export.Span{{}}})
	require.NoError(t, err)
	load(t, in, export.Span{}, set("a", "1"))
	require.NoError(t, in.Commit(t.Context()))
	db, _, err := pebblekv.Open("/copy", &pebble.Options{FS: r.popts.FS, WALDir: "/wal2", Logger: quiet{t}}, nil)
	require.NoError(t, err)
	require.Len(t, visible(t, db), 1)
	require.NoError(t, db.Close())
}

// TestRemoteRefused: a checkpoint does not hold remote objects.
func TestRemoteRefused(t *testing.T) {
	o := &pebble.Options{FormatMajorVersion: pebble.FormatNewest}
	storage := remote.NewInMem()
	o.Experimental.RemoteStorage = remote.MakeSimpleFactory(map[remote.Locator]remote.Storage{"bucket": storage})
	r := newRig(t, o)
	w, err := storage.CreateObject("x.sst")
	require.NoError(t, err)
	data := makeTable(t, &pebble.Options{}, r.db.TableFormat(), "a", "b")
	_, err = w.Write(data)
	require.NoError(t, errors.Join(err, w.Close()))
	_, err = r.db.IngestExternalFiles(t.Context(), []pebble.ExternalFile{{
		Locator: "bucket", ObjName: "x.sst", Size: uint64(len(data)), StartKey: []byte("a"), EndKey: []byte("c"), HasPointKey: true,
	}})
	require.NoError(t, err)
	for _, name := range []string{"", "1"} {
		_, err = r.store.Snapshot(t.Context(), export.SnapshotOptions{Name: name})
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, "remote")
	}
	infos, err := r.store.Snapshots(t.Context())
	require.NoError(t, err)
	require.Empty(t, infos)
	require.NoError(t, r.db.Download(t.Context(), []pebble.DownloadSpan{{StartKey: []byte("a"), EndKey: []byte("z")}}))
	s := r.snapshot(t, export.SnapshotOptions{})
	require.Len(t, lines(t, s, export.Request{}), 2)
	require.NoError(t, s.Close())
}

// TestReadOnly: a database that cannot flush is refused, not crashed.
func TestReadOnly(t *testing.T) {
	r := newRig(t, &pebble.Options{FS: vfs.NewMem()})
	r.close(t)
	r.popts.ReadOnly = true
	r.open(t)
	_, err := r.store.Snapshot(t.Context(), export.SnapshotOptions{})
	require.ErrorIs(t, err, pebble.ErrReadOnly)
	_, err = r.store.Info(t.Context())
	require.NoError(t, err)
}
