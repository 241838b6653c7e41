package varve

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// TestObjectHistory: what layers list one after the other, as one list: at each moment it has what
// the layer of that moment has.
func TestObjectHistory(t *testing.T) {
	t.Parallel()
	at := func(n int64) Timestamp { return Timestamp{WallNanos: n} }
	data := []Span{{Start: []byte("a"), End: []byte("b")}}
	version := func(id uint64, when int64, name string, spans []Span, dropped bool) listedObject {
		o := export.Object{ID: id, Kind: export.TableObject, Name: name, Spans: spans}
		return listedObject{ObjectVersion: export.ObjectVersion{Timestamp: at(when), Object: o, Dropped: dropped}}
	}
	h := objectHistory{}
	h.append([]listedObject{ // from 0 to 10
		version(1, 8, "renamed", data, false), version(1, 2, "first", data, false),
		version(2, 3, "leaves", data, false),
		version(3, 4, "for its name", nil, false),
		version(4, 7, "goes", data, true), version(4, 5, "goes", data, false),
	}, Timestamp{})
	h.append([]listedObject{ // from 10 to 20
		version(1, 12, "again", data, false), version(1, 8, "renamed", data, false),
		version(3, 4, "for its name", data, false),
		version(5, 6, "comes", data, false),
		version(6, 10, "was gone", data, true),
	}, at(10))
	h.append([]listedObject{ // from 20 to 30
		version(1, 12, "again", data, false),
		version(2, 25, "comes back", data, false), version(2, 15, "elsewhere", data, false),
		version(3, 4, "for its name", data, false),
		version(5, 20, "comes", data, true),
	}, at(20))

	want := map[uint64][]export.ObjectVersion{
		1: {version(1, 2, "first", data, false).ObjectVersion, version(1, 8, "renamed", data, false).ObjectVersion, version(1, 12, "again", data, false).ObjectVersion},
		2: {
			version(2, 3, "leaves", data, false).ObjectVersion,
			{Timestamp: at(10).Next(), Object: version(2, 0, "leaves", data, false).Object, Dropped: true},
			{Timestamp: at(20).Next(), Object: version(2, 0, "elsewhere", data, false).Object},
			version(2, 25, "comes back", data, false).ObjectVersion,
		},
		3: {version(3, 4, "for its name", data, false).ObjectVersion},
		4: {version(4, 5, "goes", data, false).ObjectVersion, version(4, 7, "goes", data, true).ObjectVersion},
		5: {{Timestamp: at(10).Next(), Object: version(5, 0, "comes", data, false).Object}, version(5, 20, "comes", data, true).ObjectVersion},
	}
	require.Equal(t, objectHistory(want), h)
}
