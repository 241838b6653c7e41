package frame

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"

	"github.com/varvekv/varve/internal/seal"
)

func TestSealedRoundTrip(t *testing.T) {
	t.Parallel()
	key := seal.NewDataKey()
	for _, c := range []Codec{Raw, Zstd, S2} {
		for _, plain := range [][]byte{nil, []byte("x"), text(PlainSize), text(3*PlainSize + 17), noise(2*PlainSize + 1)} {
			stored, f := sealed(t, key, c, plain)
			again, g := sealed(t, key, c, plain)
			require.NotEqual(t, f.Hash, g.Hash, "one plain object is sealed twice to different bytes")
			require.Equal(t, len(stored), len(again))
			for i := 0; i+64 <= len(plain); i += 4096 {
				require.False(t, bytes.Contains(stored, plain[i:i+64]), "plain bytes are stored")
			}
			src := &memory{b: stored}
			require.NoError(t, CheckHash(t.Context(), src, f))
			r, err := Open(t.Context(), src, f, Key{key, "object"})
			require.NoError(t, err)
			var out bytes.Buffer
			require.NoError(t, r.WriteTo(t.Context(), &out))
			require.True(t, bytes.Equal(plain, out.Bytes()))
			h := r.NewHandle()
			for off := len(plain) / 3; off < len(plain); off += PlainSize/2 + 1 {
				p := make([]byte, min(1000, len(plain)-off))
				require.NoError(t, h.ReadAt(t.Context(), p, int64(off)))
				require.True(t, bytes.Equal(plain[off:off+len(p)], p))
			}
			require.NoError(t, h.Close())
		}
	}
}

func TestContentOfASealedObject(t *testing.T) {
	t.Parallel()
	for _, c := range []Codec{Raw, Zstd} {
		w, err := NewWriter(c)
		require.NoError(t, err)
		w.HashContent()
		o, err := seal.NewDataKey().NewObject("object")
		require.NoError(t, err)
		require.NoError(t, w.Reset(io.Discard, o))
		plain := noise(2*PlainSize + 5)
		_, err = w.Write(plain)
		require.NoError(t, err)
		f, err := w.Finish()
		require.NoError(t, err)
		want, err := ContentHash(bytes.NewReader(plain))
		require.NoError(t, err)
		require.Equal(t, want, f.Content)
	}
}

// TestSealedObjectsDoNotOpenAsOthers has hashes that fit what is stored: whoever can
// write a bucket can write those of a list, if it is not sealed.
func TestSealedObjectsDoNotOpenAsOthers(t *testing.T) {
	t.Parallel()
	key := seal.NewDataKey()
	stored, f := sealed(t, key, Zstd, text(3*PlainSize))
	plainStored, plainFacts := write(t, Zstd, text(3*PlainSize))
	read := func(stored []byte, f Facts, key Key) error {
		r, err := Open(t.Context(), &memory{b: stored}, f, key)
		if err != nil {
			return err
		}
		return r.WriteTo(t.Context(), io.Discard)
	}
	require.NoError(t, read(stored, f, Key{key, "object"}))
	var corrupt *CorruptError
	require.ErrorAs(t, read(stored, f, Key{key, "another"}), &corrupt, "in the place of another object")
	require.ErrorAs(t, read(stored, f, Key{seal.NewDataKey(), "object"}), &corrupt, "under the key of another layer")
	require.ErrorAs(t, read(stored, f, Key{}), &corrupt, "as if it were not sealed")
	require.ErrorAs(t, read(plainStored, plainFacts, Key{key, "object"}), &corrupt, "not sealed, where a sealed one is expected")

	// Frames in another order, or fewer of them, with an index that says so.
	x, end, err := decodeIndex(stored[f.Size-f.IndexSize:], f.Size, true)
	require.NoError(t, err)
	require.Len(t, x, 3)
	for name, order := range map[string][]int{"swapped": {1, 0, 2}, "cut at a frame": {0, 1}, "without the first": {1, 2}, "twice": {0, 0, 2}} {
		forged, y := []byte(sealedMagic), index(nil)
		for _, i := range order {
			forged = append(forged, stored[x[i].storedOffset:x[i].storedOffset+int64(x[i].stored)]...)
			y = y.add(x[i])
		}
		idx := y.encode(end)
		forged = append(forged, idx...)
		g := Facts{Size: int64(len(forged)), Plain: y.plainSize(), IndexSize: int64(len(idx)), IndexHash: formatHash(blake3.Sum256(idx))}
		err := read(forged, g, Key{key, "object"})
		if name == "cut at a frame" {
			require.NoError(t, err, "frames that open are believed: that none is missing is what the index hash says")
			g.IndexHash = f.IndexHash
			err = read(forged, g, Key{key, "object"})
		}
		require.ErrorAs(t, err, &corrupt, name)
	}
}

func TestEveryFlippedBitOfASealedObjectIsFound(t *testing.T) {
	t.Parallel()
	key := seal.NewDataKey()
	stored, f := sealed(t, key, Zstd, text(3000))
	for i := range stored {
		damaged := bytes.Clone(stored)
		damaged[i] ^= 1 << (i % 8)
		src := &memory{b: damaged}
		require.Error(t, CheckHash(t.Context(), src, f), "byte %d", i)
		r, err := Open(t.Context(), src, f, Key{key, "object"})
		if err == nil {
			err = r.WriteTo(t.Context(), io.Discard)
		}
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt, "byte %d", i)
	}
}
