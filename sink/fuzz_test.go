package sink

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func FuzzDecodePoint(f *testing.F) {
	f.Add(encodeKey(nil, []byte("key"), export.Timestamp{WallNanos: 3}), []byte{liveValue, 'v'})
	f.Add(encodeKey(nil, nil, export.Timestamp{WallNanos: 3, Logical: 1}), []byte(nil))
	f.Add(encodeKey(nil, []byte{0}, export.Timestamp{}), []byte{7})
	f.Add([]byte{5}, []byte{1})
	f.Add([]byte{0, 1}, []byte{1})
	f.Add([]byte{0, 0, 14}, []byte{1})
	f.Fuzz(func(t *testing.T, k, v []byte) {
		var e export.Entry
		if decodePoint(&e, k, v) != nil {
			return
		}
		k2, v2 := encodeRevision(nil, nil, &e)
		require.Equal(t, string(v), string(v2))
		var again export.Entry
		require.NoError(t, decodePoint(&again, k2, v2))
		require.Equal(t, string(e.Key), string(again.Key))
		require.Equal(t, e.Timestamp, again.Timestamp)
	})
}

func FuzzDecodeRange(f *testing.F) {
	for _, e := range []export.Entry{
		{Kind: export.RangeKeySet, Key: []byte("a"), End: []byte("b"), Suffix: []byte("@1"), Value: []byte("v")},
		{Kind: export.DeleteRange, Key: []byte(""), End: []byte("b"), Timestamp: export.Timestamp{WallNanos: 1, Logical: 2}},
	} {
		r := encodeRange(&e)
		f.Add(r.start, r.end, r.suffix, r.value)
	}
	f.Add([]byte{9}, []byte{9}, []byte{9}, []byte{byte(export.RangeKeySet), 0xff})
	f.Fuzz(func(t *testing.T, start, end, suffix, value []byte) {
		e, err := decodeRange(physicalRange{start, end, suffix, value})
		if err != nil {
			return
		}
		again, err := decodeRange(encodeRange(&e))
		require.NoError(t, err)
		require.Equal(t, e.Kind, again.Kind)
		require.Equal(t, e.Timestamp, again.Timestamp)
		require.Equal(t, [4]string{string(e.Key), string(e.End), string(e.Suffix), string(e.Value)},
			[4]string{string(again.Key), string(again.End), string(again.Suffix), string(again.Value)})
	})
}

func FuzzFile(f *testing.F) {
	const hash = "blake3:0000000000000000000000000000000000000000000000000000000000000000"
	whole, err := json.Marshal(File{
		Path: "data/1.sst", Layer: "4c", Span: export.Span{Start: []byte("a")}, Size: 100, IndexSize: 41, Plain: 200,
		Hash: hash, IndexHash: hash, Format: TableFormat, Counts: Counts{Sets: 3},
		MinTimestamp: export.Timestamp{WallNanos: 1}, MaxTimestamp: export.Timestamp{WallNanos: 2, Logical: 3},
	})
	require.NoError(f, err)
	f.Add(whole)
	f.Add([]byte(`{"size":"-1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var file, again File
		if json.Unmarshal(b, &file) != nil || file.Validate() != nil {
			return
		}
		out, err := json.Marshal(file)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(out, &again))
		require.NoError(t, again.Validate())
		require.Equal(t, file, again)
	})
}
