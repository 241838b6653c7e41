package pebblekv_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

func bank() []export.Object {
	return []export.Object{
		{ID: 1, Kind: export.DatabaseObject, Name: "bank"},
		{ID: 2, Parent: 1, Kind: export.TableObject, Name: "accounts", Spans: []export.Span{
			export.PrefixSpan([]byte("a/")), export.PrefixSpan([]byte("ai/")),
		}},
		{ID: 3, Parent: 1, Kind: export.ViewObject, Name: "rich", Needs: []export.Dependency{{Kind: export.ViewDependency, On: 2}}},
	}
}

func newCatalogRig(t *testing.T) *rig {
	r := &rig{
		popts: &pebble.Options{FS: vfs.NewMem(), Logger: quiet{t}},
		opts:  &pebblekv.Options{Objects: bank(), Regions: []string{"eu", "us"}},
	}
	r.open(t)
	t.Cleanup(func() { r.close(t) })
	return r
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	r := newCatalogRig(t)
	info, err := r.store.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"eu", "us"}, info.Regions)
	s := r.snapshot(t, export.SnapshotOptions{})
	got, err := s.(export.Cataloger).Objects(t.Context())
	require.NoError(t, err)
	require.Equal(t, bank(), got)
	got[1].Spans[0].Start[0] = 'z'
	got, err = s.(export.Cataloger).Objects(t.Context())
	require.NoError(t, err)
	require.Equal(t, bank(), got, "they are the caller's")
	_, historian := s.(export.CatalogHistorian)
	require.False(t, historian)
	require.NoError(t, s.Close())
	_, err = s.(export.Cataloger).Objects(t.Context())
	require.ErrorIs(t, err, export.ErrClosed)
}

func TestCatalogIsChecked(t *testing.T) {
	t.Parallel()
	change := func(do func(o []export.Object)) []export.Object {
		objects := bank()
		do(objects)
		return objects
	}
	for name, objects := range map[string][]export.Object{
		"no ID":      change(func(o []export.Object) { o[0].ID, o[1].Parent, o[2].Parent = 0, 0, 0 }),
		"same ID":    change(func(o []export.Object) { o[2].ID = 2 }),
		"no name":    change(func(o []export.Object) { o[2].Name = "" }),
		"same name":  change(func(o []export.Object) { o[2].Name = "accounts" }),
		"no parent":  change(func(o []export.Object) { o[2].Parent = 9 }),
		"circle":     change(func(o []export.Object) { o[0].Parent = 2 }),
		"empty span": change(func(o []export.Object) { o[1].Spans[0].End = o[1].Spans[0].Start }),
		"overlap":    change(func(o []export.Object) { o[2].Spans = []export.Span{export.PrefixSpan([]byte("a/b"))} }),
	} {
		popts := &pebble.Options{FS: vfs.NewMem(), Logger: quiet{t}}
		_, _, err := pebblekv.Open(dbDir, popts, &pebblekv.Options{Objects: objects})
		require.ErrorContains(t, err, "Objects", name)
		_, err = pebblekv.Dir(dbDir, &pebblekv.Options{Pebble: popts, Objects: objects}).Info(t.Context())
		require.ErrorContains(t, err, "Objects", name)
	}
	torn := []export.Object{{ID: 1, Name: "t", Spans: []export.Span{{Start: cockroachkvs.EncodeMVCCKey(nil, []byte("k"), 7, 0)}}}}
	popts := &pebble.Options{FS: vfs.NewMem(), Logger: quiet{t}, Comparer: &cockroachkvs.Comparer, FormatMajorVersion: pebble.FormatNewest}
	_, _, err := pebblekv.Open(dbDir, popts, &pebblekv.Options{Objects: torn})
	require.ErrorContains(t, err, "bare prefixes")
}

func TestPlaceAndPublishWhatIsDeclared(t *testing.T) {
	t.Parallel()
	r := newCatalogRig(t)
	dir := pebblekv.Dir("/other", &pebblekv.Options{Pebble: r.popts, Objects: bank()})
	for _, store := range []export.Store{r.store, dir} {
		wanted := []export.Placement{
			{Path: []string{"bank"}, Object: export.Object{ID: 71, Kind: export.DatabaseObject, Name: "other"}},
			{Path: []string{"bank", "accounts"}, Object: export.Object{ID: 72, Parent: 71, Name: "x", Spans: make([]export.Span, 2)}},
		}
		placed, err := store.(export.Placer).Place(t.Context(), wanted)
		require.NoError(t, err)
		require.Equal(t, bank()[:2], placed)

		_, err = store.(export.Placer).Place(t.Context(), []export.Placement{{Path: []string{"bank", "rescue"}}})
		require.ErrorContains(t, err, "bank.rescue")
		require.ErrorContains(t, err, "declared")
		wanted[1].Object.Spans = wanted[1].Object.Spans[:1]
		_, err = store.(export.Placer).Place(t.Context(), wanted)
		require.ErrorContains(t, err, "bank.accounts")

		in, err := store.Ingest(t.Context(), export.IngestOptions{Spans: placed[1].Spans})
		require.NoError(t, err)
		require.NoError(t, in.(export.CatalogIngester).Publish(t.Context(), placed))
		placed[1].Name = "ledger"
		require.ErrorContains(t, in.(export.CatalogIngester).Publish(t.Context(), placed), "ledger")
		require.NoError(t, in.Commit(t.Context()))
	}
}

func TestNothingIsDeclared(t *testing.T) {
	t.Parallel()
	r := newRig(t, &pebble.Options{})
	_, err := r.store.Place(t.Context(), []export.Placement{{Path: []string{"bank"}}})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	in, err := r.store.Ingest(t.Context(), export.IngestOptions{Replace: true})
	require.NoError(t, err, "objects may have no data")
	require.ErrorIs(t, in.(export.CatalogIngester).Publish(t.Context(), bank()), errors.ErrUnsupported)
	require.NoError(t, in.Commit(t.Context()))
	require.NoError(t, in.Abort())
}
