package varve

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// versions have every member set, one of them several moments.
func versionsOfObjects() []listedObject {
	o := export.Object{
		ID: 1 << 60, Parent: 7, Kind: export.TableObject, Name: "accounts", Spans: prefixes("a", "b"), Definition: []byte("create"),
		Grants: []byte("all"), Needs: []export.Dependency{{Kind: export.TypeDependency, On: 3}}, Regions: []string{"eu", "us"}, System: true,
	}
	at := func(wall int64, logical uint32) Timestamp { return Timestamp{WallNanos: wall, Logical: logical} }
	return []listedObject{
		{ObjectVersion: export.ObjectVersion{Object: export.Object{ID: 7, Kind: export.DatabaseObject, Name: "bank"}}},
		{ObjectVersion: export.ObjectVersion{Timestamp: at(9, 2), Object: o, Dropped: true}, counts: ObjectCounts{1, 2, 3, 4}},
		{ObjectVersion: export.ObjectVersion{Timestamp: at(9, 1), Object: o}},
		{ObjectVersion: export.ObjectVersion{Timestamp: at(5, 0), Object: o}},
	}
}

func TestObjectsRoundTrip(t *testing.T) {
	t.Parallel()
	bucket := objectio.New(faultblob.New(t, nil).Open(), "")
	m, files, rows := listed(2, 1)
	var err error
	m.FileList, err = writeFileList(t.Context(), bucket, m.info(), nil, &contents{files: files, rows: rows, objects: versionsOfObjects()})
	require.NoError(t, err)
	require.EqualValues(t, 4, m.FileList.Objects)
	got, err := readFileList(t.Context(), bucket, m)
	require.NoError(t, err)
	require.Equal(t, versionsOfObjects(), got.objects)

	for wall, want := range map[int64][]string{4: {"bank"}, 5: {"bank", "accounts"}, 8: {"bank", "accounts"}, 10: {"bank"}, 0: {"bank"}} {
		c, err := catalogAt(nil, got.objects, Timestamp{WallNanos: wall})
		require.NoError(t, err)
		var names []string
		for _, o := range c.objects {
			names = append(names, o.Name)
		}
		require.Equal(t, want, names, wall)
	}
	for _, claimed := range []int64{3, 5} {
		lying := *m
		lying.FileList.Objects = claimed
		_, err := readFileList(t.Context(), bucket, &lying)
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt)
	}
}

// FuzzObject: no value makes the decoder panic, and what it takes comes out as it went in.
func FuzzObject(f *testing.F) {
	for _, l := range versionsOfObjects() {
		b, err := json.Marshal(l.record())
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte(`{"id":"1","at":"0","kind":"table","name":"t","spans":[{"start":"YQ==","end":"YQ=="}]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		var r objectRecord
		if json.Unmarshal(value, &r) != nil || r.validate() != nil {
			return
		}
		c := new(contents)
		require.NoError(t, c.addObject(&export.Entry{Kind: export.Set, Key: objectKey(r.ID, r.At), Value: value}))
		again := c.objects[0].record()
		b, err := json.Marshal(again)
		require.NoError(t, err)
		d := new(contents)
		require.NoError(t, d.addObject(&export.Entry{Kind: export.Set, Key: objectKey(r.ID, r.At), Value: b}))
		twice, err := json.Marshal(d.objects[0].record())
		require.NoError(t, err)
		require.Equal(t, string(b), string(twice))
		require.Error(t, d.addObject(&export.Entry{Kind: export.Set, Key: objectKey(r.ID+1, r.At), Value: value}))
		_, err = newCatalog(nil, []export.Object{c.objects[0].Object, c.objects[0].Object})
		require.Error(t, err)
	})
}
