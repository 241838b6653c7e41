package sink_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/sink"
)

// BenchmarkWriter writes to a bucket that keeps nothing. An operation is an entry
// with a key of 16 bytes.
func BenchmarkWriter(b *testing.B) {
	w := newWorld(1, sink.Form{})
	var text []byte
	for len(text) < 1<<20 {
		text = fmt.Appendf(text, "name=user-%04d city=Uppsala balance=%d state=active; ", w.IntN(9000), w.IntN(1000))
	}
	values := []struct {
		name string
		from []byte
		size int
	}{{"text-100B", text, 100}, {"noise-1KiB", w.noise(1 << 20), 1 << 10}}
	for _, v := range values {
		for codec, name := range map[frame.Codec]string{frame.Raw: "raw", frame.Zstd: "zstd", frame.S2: "s2"} {
			for shape, form := range map[string]sink.Form{"plain": {}, "revisions": {Revisions: true}} {
				b.Run(fmt.Sprintf("%s/%s/%s", v.name, name, shape), func(b *testing.B) {
					benchmarkWriter(b, form, codec, v.from, v.size)
				})
			}
		}
	}
}

func benchmarkWriter(b *testing.B, form sink.Form, codec frame.Codec, from []byte, size int) {
	b.SetBytes(int64(16 + size))
	w, err := begin(b.Context(), newVoid().open(), export.Span{}, sink.Options{Form: form, Compression: codec})
	require.NoError(b, err)
	defer w.Abort()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var key [16]byte
	e := export.Entry{Kind: export.Set, Key: key[:]}
	if form.Revisions {
		e.Timestamp.WallNanos = 1
	}
	for i := range b.N {
		binary.BigEndian.PutUint64(key[8:], uint64(i))
		at := i * size % (len(from) - size)
		e.Value = from[at : at+size]
		if err := w.Add(&e); err != nil {
			b.Fatal(err)
		}
	}
	_, err = w.Finish()
	require.NoError(b, err)
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "allocs/entry")
}
