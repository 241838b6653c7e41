package memkv_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

func span(start, end string) export.Span {
	return export.Span{Start: []byte(start), End: []byte(end)}
}

func bank() []export.Object {
	return []export.Object{
		{ID: 1, Kind: export.DatabaseObject, Name: "bank"},
		{ID: 2, Parent: 1, Kind: export.TableObject, Name: "accounts", Spans: []export.Span{span("a/0/", "a/00"), span("a/1/", "a/10")}},
	}
}

func objectsAt(t *testing.T, s *memkv.Store, at export.Timestamp) []export.Object {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), export.SnapshotOptions{AsOf: at})
	require.NoError(t, err)
	objects, err := snap.(export.Cataloger).Objects(t.Context())
	require.NoError(t, err)
	require.NoError(t, snap.Close())
	return objects
}

func TestCatalogHasHistory(t *testing.T) {
	t.Parallel()
	s, err := memkv.New(nil)
	require.NoError(t, err)
	created, err := s.PutObjects(bank()...)
	require.NoError(t, err)
	renamed := bank()[1]
	renamed.Name = "ledger"
	_, err = s.PutObjects(renamed)
	require.NoError(t, err)
	dropped, err := s.DropObjects(1)
	require.NoError(t, err)

	require.Equal(t, bank(), objectsAt(t, s, created))
	require.Empty(t, objectsAt(t, s, dropped))
	snap, err := s.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	versions, err := snap.(export.CatalogHistorian).ObjectVersions(t.Context(), created)
	require.NoError(t, err)
	require.Len(t, versions, 3)
	require.Equal(t, "ledger", versions[0].Object.Name)
	require.True(t, versions[1].Dropped && versions[2].Dropped)
	require.Equal(t, uint64(2), versions[1].Object.ID, "what is in the database goes first")
}

func TestPlaceKeepsOrMoves(t *testing.T) {
	t.Parallel()
	s, err := memkv.New(nil)
	require.NoError(t, err)
	wanted := []export.Placement{{Path: []string{"bank"}, Object: bank()[0]}, {Path: []string{"bank", "accounts"}, Object: bank()[1]}}
	first, err := s.Place(t.Context(), wanted)
	require.NoError(t, err)
	require.Equal(t, bank(), first)
	second, err := s.Place(t.Context(), wanted)
	require.NoError(t, err)
	require.NotEqual(t, first[1].ID, second[1].ID)
	require.False(t, first[1].Spans[0].Overlaps(nil, second[1].Spans[0]))
}

func TestPublishAppearsWithData(t *testing.T) {
	t.Parallel()
	s, err := memkv.New(nil)
	require.NoError(t, err)
	in, err := s.Ingest(t.Context(), export.IngestOptions{Spans: bank()[1].Spans})
	require.NoError(t, err)
	require.NoError(t, in.(export.CatalogIngester).Publish(t.Context(), bank()))
	require.Empty(t, objectsAt(t, s, export.Timestamp{}))
	require.NoError(t, in.Commit(t.Context()))
	require.Equal(t, bank(), objectsAt(t, s, export.Timestamp{}))

	taken := []export.Object{{ID: 7, Kind: export.DatabaseObject, Name: "bank"}}
	in, err = s.Ingest(t.Context(), export.IngestOptions{})
	require.NoError(t, err)
	require.NoError(t, in.(export.CatalogIngester).Publish(t.Context(), taken))
	var full *export.NotEmptyError
	require.ErrorAs(t, in.Commit(t.Context()), &full)
	require.Equal(t, "bank", full.Name)
	require.NoError(t, in.Abort())

	in, err = s.Ingest(t.Context(), export.IngestOptions{Replace: true})
	require.NoError(t, err)
	require.NoError(t, in.(export.CatalogIngester).Publish(t.Context(), taken))
	require.NoError(t, in.Commit(t.Context()))
	require.Equal(t, taken, objectsAt(t, s, export.Timestamp{}))
}

func TestStaticCatalog(t *testing.T) {
	t.Parallel()
	s, err := memkv.New(&memkv.Options{SingleRevision: true, Objects: bank(), Regions: []string{"eu"}})
	require.NoError(t, err)
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"eu"}, info.Regions)
	require.Equal(t, bank(), objectsAt(t, s, export.Timestamp{}))
	_, err = s.PutObjects(bank()...)
	require.ErrorContains(t, err, "Options.Objects")
	placed, err := s.Place(t.Context(), []export.Placement{{Path: []string{"bank", "accounts"}, Object: bank()[1]}})
	require.NoError(t, err)
	require.Equal(t, bank()[1:], placed)
	_, err = s.Place(t.Context(), []export.Placement{{Path: []string{"bank", "other"}, Object: bank()[1]}})
	require.ErrorContains(t, err, "bank.other")

	double := append(bank(), bank()[0])
	_, err = memkv.New(&memkv.Options{Objects: double})
	require.Error(t, err)
}
