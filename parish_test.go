package varve_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/mvcckv"
	"github.com/varvekv/varve/export/pebblekv"
)

// parish is a store of any engine that has some of the town's objects, or of a plain Pebble
// database, where they are declared: all of them, and room for two more tables.
type parish interface {
	export.Store
	export.Placer
	put(t testing.TB, key, value string)
}

// parishOf opens an engine's store, in a region, with the objects that have these paths.
type parishOf func(t testing.TB, region string, paths ...string) parish

func parishes() map[string]parishOf {
	return map[string]parishOf{"memkv": memParish, "mvcckv": newVersionedParish, "pebblekv": newDeclaredParish}
}

// townPaths are the paths of all of the town's objects.
func townPaths() (out []string) {
	objects := townObjects()
	for _, o := range objects {
		out = append(out, pathIn(objects, o))
	}
	return out
}

func townObjectsAt(paths []string) (out []export.Object) {
	objects := townObjects()
	for _, o := range objects {
		if slices.Contains(paths, pathIn(objects, o)) {
			out = append(out, o)
		}
	}
	return out
}

type memoryParish struct{ *memkv.Store }

func memParish(t testing.TB, region string, paths ...string) parish {
	t.Helper()
	p := memoryParish{newStore(t, &memkv.Options{Regions: []string{region}})}
	_, err := p.PutObjects(townObjectsAt(paths)...)
	require.NoError(t, err)
	return p
}

func (p memoryParish) put(_ testing.TB, key, value string) { p.Set([]byte(key), []byte(value)) }

type versionedParish struct{ versionedVillage }

func newVersionedParish(t testing.TB, region string, paths ...string) parish {
	t.Helper()
	s, err := mvcckv.Open("db", &mvcckv.Options{Pebble: &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}}, Regions: []string{region}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	p := versionedParish{versionedVillage{s}}
	p.update(t, func(ctx context.Context, tx *mvcckv.Tx) error {
		ids := map[uint64]uint64{}
		for _, o := range townObjectsAt(paths) {
			id, spans := o.ID, len(o.Spans)
			o.ID, o.Parent, o.Spans = 0, ids[o.Parent], nil
			for i := range o.Needs {
				o.Needs[i].On = ids[o.Needs[i].On]
			}
			created, err := tx.CreateObject(ctx, o, spans)
			if err != nil {
				return err
			}
			ids[id] = created.ID
		}
		return nil
	})
	return p
}

func (p versionedParish) put(t testing.TB, key, value string) { p.set(t, []byte(key), []byte(value)) }

type declaredParish struct{ *pebbleEngine }

func newDeclaredParish(t testing.TB, region string, _ ...string) parish {
	t.Helper()
	moved := export.Object{ID: 51, Parent: shopID, Kind: export.TableObject, Name: "accounts", Spans: tableSpans(51, 1)}
	return declaredParish{newPebbleEngine(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest},
		pebblekv.Options{Objects: append(declared(), moved), Regions: []string{region}})}
}

func (p declaredParish) put(t testing.TB, key, value string) {
	require.NoError(t, p.db.Set([]byte(key), []byte(value), pebble.NoSync))
}

// grow sets rows of a table, and of each of its indexes.
func grow(t testing.TB, p parish, path, value string, from, to int) {
	t.Helper()
	for i, span := range object(t, p, export.Timestamp{}, path).Spans {
		for n := from; n < to; n++ {
			p.put(t, fmt.Sprintf("%s%03d", span.Start, n), fmt.Sprint(value, " ", i))
		}
	}
}

// allOf is what a parish has at one moment: its objects, and every row.
func allOf(t testing.TB, p parish) []string {
	t.Helper()
	s, err := p.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	objects, err := s.(export.Cataloger).Objects(t.Context())
	require.NoError(t, err)
	out := []string{}
	for _, o := range objects {
		path := pathIn(objects, o)
		out = append(out, path)
		for i, span := range o.Spans {
			all, err := kvtest.Collect(t.Context(), s, export.Request{Span: span})
			require.NoError(t, err)
			for _, e := range all {
				out = append(out, fmt.Sprintf("%s: %d %s = %s", path, i, e.Key[len(span.Start):], e.Value))
			}
		}
	}
	require.NoError(t, s.Close())
	slices.Sort(out)
	return out
}

// apart are those of the lines that are not of an object.
func apart(lines []string, path string) (out []string) {
	for _, line := range lines {
		if line != path && !strings.HasPrefix(line, path+": ") {
			out = append(out, line)
		}
	}
	return out
}
