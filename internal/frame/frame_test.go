package frame

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"

	"github.com/varvekv/varve/internal/seal"
)

// memory is a Source that counts what it is asked for.
type memory struct {
	b              []byte
	reads, streams int
}

func (m *memory) ReadAt(_ context.Context, p []byte, off int64) error {
	m.reads++
	_, err := bytes.NewReader(m.b).ReadAt(p, off)
	return err
}

func (m *memory) Stream(_ context.Context, off, n int64) (io.ReadCloser, error) {
	m.streams++
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(m.b), off, n)), nil
}

func text(n int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "key-%08x the value of a row ", rng.Uint32N(1000))
	}
	return b.Bytes()[:n]
}

func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(2, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func write(t testing.TB, c Codec, plain []byte) ([]byte, Facts) {
	t.Helper()
	return writeUnder(t, nil, c, plain)
}

// sealed writes the object named "object", under a key.
func sealed(t testing.TB, key *seal.DataKey, c Codec, plain []byte) ([]byte, Facts) {
	t.Helper()
	o, err := key.NewObject("object")
	require.NoError(t, err)
	return writeUnder(t, o, c, plain)
}

func writeUnder(t testing.TB, sealing *seal.Object, c Codec, plain []byte) ([]byte, Facts) {
	t.Helper()
	w, err := NewWriter(c)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, w.Reset(&out, sealing))
	for p := plain; len(p) > 0; {
		n := min(len(p), 1+len(plain)/7)
		_, err := w.Write(p[:n])
		require.NoError(t, err)
		p = p[n:]
	}
	f, err := w.Finish()
	require.NoError(t, err)
	require.EqualValues(t, out.Len(), f.Size)
	require.EqualValues(t, len(plain), f.Plain)
	return out.Bytes(), f
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, c := range []Codec{Raw, Zstd, S2} {
		for _, plain := range [][]byte{nil, []byte("x"), text(PlainSize), text(3*PlainSize + 17), noise(2*PlainSize + 1)} {
			t.Run(fmt.Sprintf("codec=%d/%d", c, len(plain)), func(t *testing.T) {
				stored, f := write(t, c, plain)
				again, g := write(t, c, plain)
				require.Equal(t, f, g)
				require.Equal(t, stored, again)

				src := &memory{b: stored}
				require.NoError(t, CheckHash(t.Context(), src, f))
				r, err := Open(t.Context(), src, f, Key{})
				require.NoError(t, err)
				var out bytes.Buffer
				require.NoError(t, r.WriteTo(t.Context(), &out))
				require.Equal(t, string(plain), out.String())
			})
		}
	}
}

// TestEverySmallSize: the last frame of an object may have any size, and a codec
// may write small ones otherwise.
func TestEverySmallSize(t *testing.T) {
	t.Parallel()
	dec, err := newDecoder()
	require.NoError(t, err)
	for _, c := range []Codec{Raw, Zstd, S2} {
		enc, err := newEncoder(c)
		require.NoError(t, err)
		step := 1000
		if testing.Short() {
			step = 50
		}
		for n := 1; n < 70_000; n += 1 + n/step {
			for _, plain := range [][]byte{bytes.Repeat([]byte("ab"), n)[:n], text(n)} {
				stored, codec := enc.encode(plain)
				f := entry{plain: uint32(n), stored: uint32(len(stored)), codec: codec}
				require.NoError(t, f.validate(0), "codec %d, %d bytes", c, n)
				got, err := dec.decode(nil, stored, f)
				require.NoError(t, err, "codec %d, %d bytes", c, n)
				require.True(t, bytes.Equal(plain, got), "codec %d, %d bytes", c, n)
			}
		}
	}
}

func TestCompressionChoosesRaw(t *testing.T) {
	t.Parallel()
	stored, f := write(t, Zstd, noise(PlainSize))
	require.EqualValues(t, len(stored), f.Size)
	require.EqualValues(t, PlainSize+len(magic)+entrySize+trailerSize, f.Size)
	_, f = write(t, Zstd, text(PlainSize))
	require.Less(t, f.Size, f.Plain/4)
}

func TestHandleReadsAnyRange(t *testing.T) {
	t.Parallel()
	plain := text(5*PlainSize + 99)
	stored, f := write(t, Zstd, plain)
	src := &memory{b: stored}
	r, err := Open(t.Context(), src, f, Key{})
	require.NoError(t, err)

	h := r.NewHandle()
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		off := rng.IntN(len(plain))
		p := make([]byte, rng.IntN(min(len(plain)-off, 2*PlainSize)+1))
		require.NoError(t, h.ReadAt(t.Context(), p, int64(off)))
		require.True(t, bytes.Equal(plain[off:off+len(p)], p))
	}
	require.NoError(t, h.Close())
	require.ErrorIs(t, r.NewHandle().ReadAt(t.Context(), make([]byte, 2), int64(len(plain)-1)), io.ErrUnexpectedEOF)

	src.reads, src.streams = 0, 0
	h = r.NewHandle()
	p := make([]byte, 4096)
	for off := 0; off+len(p) <= len(plain); off += len(p) {
		require.NoError(t, h.ReadAt(t.Context(), p, int64(off)))
	}
	require.NoError(t, h.Close())
	require.Equal(t, 1, src.reads, "the first frame")
	require.Equal(t, 1, src.streams, "all that follow")
}

// TestEveryFlippedBitIsFound flips one bit in every byte of a small object.
func TestEveryFlippedBitIsFound(t *testing.T) {
	t.Parallel()
	stored, f := write(t, Zstd, text(3000))
	for i := range stored {
		damaged := bytes.Clone(stored)
		damaged[i] ^= 1 << (i % 8)
		src := &memory{b: damaged}
		require.Error(t, CheckHash(t.Context(), src, f), "byte %d", i)
		r, err := Open(t.Context(), src, f, Key{})
		if err == nil {
			err = r.WriteTo(t.Context(), io.Discard)
		}
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt, "byte %d", i)
	}
}

func TestFactsAreBelievedOnlyIfTheyFit(t *testing.T) {
	t.Parallel()
	stored, f := write(t, Zstd, text(3000))
	for name, edit := range map[string]func(*Facts){
		"index longer than the object": func(f *Facts) { f.IndexSize = f.Size + 1 },
		"index absurdly long":          func(f *Facts) { f.Size, f.IndexSize = 1<<62, 1<<40 },
		"index negative":               func(f *Facts) { f.IndexSize = -1 },
		"plain size":                   func(f *Facts) { f.Plain++ },
		"index hash":                   func(f *Facts) { f.IndexHash = f.Hash },
	} {
		g := f
		edit(&g)
		_, err := Open(t.Context(), &memory{b: stored}, g, Key{})
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt, name)
	}
}

// TestDamagedBeginning is found by whoever reads the first frame, in whatever way.
func TestDamagedBeginning(t *testing.T) {
	t.Parallel()
	plain := text(2*PlainSize + 5)
	key := seal.NewDataKey()
	stored, f := write(t, Zstd, plain)
	closed, g := sealed(t, key, Zstd, plain)
	for _, o := range []struct {
		stored []byte
		facts  Facts
		key    Key
	}{{stored, f, Key{}}, {closed, g, Key{key, "object"}}} {
		for i := range len(magic) {
			damaged := bytes.Clone(o.stored)
			damaged[i] ^= 0x20
			r, err := Open(t.Context(), &memory{b: damaged}, o.facts, o.key)
			require.NoError(t, err)
			h := r.NewHandle()
			p := make([]byte, 1)
			require.NoError(t, h.ReadAt(t.Context(), p, PlainSize), "another frame")
			var corrupt *CorruptError
			require.ErrorAs(t, h.ReadAt(t.Context(), p, 7), &corrupt)
			require.ErrorAs(t, r.WriteTo(t.Context(), io.Discard), &corrupt)
			require.NoError(t, h.Close())
		}
	}
}

func FuzzDecodeIndex(f *testing.F) {
	stored, facts := write(f, Zstd, text(2*PlainSize))
	f.Add(stored[facts.Size-facts.IndexSize:], facts.Size, false)
	stored, facts = sealed(f, seal.NewDataKey(), Zstd, text(2*PlainSize))
	f.Add(stored[facts.Size-facts.IndexSize:], facts.Size, true)
	f.Add([]byte(trailerMagic), int64(16), false)
	f.Fuzz(func(t *testing.T, b []byte, size int64, sealed bool) {
		x, end, err := decodeIndex(b, size, sealed)
		if err != nil {
			return
		}
		require.Equal(t, b, x.encode(end))
		require.Equal(t, size, x.framesEnd()+int64(len(b)))
	})
}

// FuzzDecodeFrame decodes bytes that no writer made under every codec: no panic,
// no more memory than the index allows.
func FuzzDecodeFrame(f *testing.F) {
	enc, err := newEncoder(Zstd)
	require.NoError(f, err)
	z, _ := enc.encode(text(1000))
	f.Add(z, uint32(1000), uint8(Zstd))
	f.Fuzz(func(t *testing.T, stored []byte, plain uint32, codec uint8) {
		e := entry{plain: plain, stored: uint32(len(stored)), codec: Codec(codec)}
		if e.validate(0) != nil {
			return
		}
		d, err := newDecoder()
		require.NoError(t, err)
		if out, err := d.decode(nil, stored, e); err == nil {
			require.Len(t, out, int(plain))
		}
	})
}

// FuzzObject reads arbitrary bytes as an object whose index has the right hash, as whoever
// writes lists can see to: no panic, and nothing but what the facts say.
func FuzzObject(f *testing.F) {
	key := seal.NewDataKey()
	for _, c := range []Codec{Raw, Zstd, S2} {
		stored, facts := write(f, c, text(3000))
		f.Add(stored, facts.IndexSize, facts.Plain, false)
		stored, facts = sealed(f, key, c, text(3000))
		f.Add(stored, facts.IndexSize, facts.Plain, true)
	}
	f.Add([]byte(magic), int64(0), int64(0), false)
	f.Fuzz(func(t *testing.T, stored []byte, indexSize, plain int64, isSealed bool) {
		g := Facts{Size: int64(len(stored)), IndexSize: indexSize, Plain: plain}
		if indexSize > 0 && indexSize <= g.Size {
			g.IndexHash = formatHash(blake3.Sum256(stored[g.Size-indexSize:]))
		}
		k := Key{}
		if isSealed {
			k = Key{key, "object"}
		}
		r, err := Open(t.Context(), &memory{b: stored}, g, k)
		if err != nil || plain > 64<<20 {
			return
		}
		require.Equal(t, plain, r.Size())
		var out counter
		if r.WriteTo(t.Context(), &out) == nil {
			require.Equal(t, plain, int64(out))
		}
		h := r.NewHandle()
		p := make([]byte, min(plain, 100))
		if err := h.ReadAt(t.Context(), p, plain-int64(len(p))); err != nil {
			var c *CorruptError
			require.ErrorAs(t, err, &c)
		}
		require.NoError(t, h.Close())
	})
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func BenchmarkWriter(b *testing.B) {
	for _, c := range []Codec{Raw, Zstd, S2} {
		for name, plain := range map[string][]byte{"text": text(8 << 20), "noise": noise(8 << 20)} {
			b.Run(fmt.Sprintf("codec=%d/%s", c, name), func(b *testing.B) {
				w, err := NewWriter(c)
				require.NoError(b, err)
				b.SetBytes(int64(len(plain)))
				b.ReportAllocs()
				for b.Loop() {
					require.NoError(b, w.Reset(io.Discard, nil))
					_, err := w.Write(plain)
					require.NoError(b, err)
					_, err = w.Finish()
					require.NoError(b, err)
				}
			})
		}
	}
}
