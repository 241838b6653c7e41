package varve

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// These tests read collections that somebody has made who wishes their reader ill. They
// are not parallel, for they watch the heap and the clock.

// hostileTime is what any of them may take, on a machine that has other things to do.
const hostileTime = 2 * time.Minute

// frugal runs what must end soon and may not take more memory than that.
func frugal(t *testing.T, most uint64, do func()) {
	t.Helper()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	heap := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	before, peak := heap(), uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, heap())
			case <-stop:
				peak = max(peak, heap())
				return
			}
		}
	}()
	begun := time.Now()
	do()
	took := time.Since(begun)
	close(stop)
	<-stopped
	grown := peak - min(peak, before)
	t.Logf("%d KiB at most, %s", grown>>10, took.Round(time.Millisecond))
	require.Less(t, grown, most)
	require.Less(t, took, hostileTime)
}

// line is n entries of which each extends the one before.
func line(n int) []LayerInfo {
	out := make([]LayerInfo, n)
	last := none
	for i := range out {
		out[i] = layerAt(i+1, last, int64(i+1))
		last = out[i]
	}
	return out
}

// indexOf is an index as if it had been listed.
func (l *lake) indexOf(infos []LayerInfo) *index {
	x := &index{
		b:        &collectionBucket{Bucket: objectio.New(l.faults.Open(), ""), id: testID(0xc)},
		accepted: map[string]bool{}, byID: map[string]LayerInfo{}, walked: true,
	}
	x.b.listed, x.b.leaving = x, map[string]bool{}
	for _, info := range infos {
		x.byID[info.ID] = info
	}
	x.arrange()
	return x
}

// TestEndlessChain: entries that extend one another eighty thousand times, with and
// without a manifest at their end.
func TestEndlessChain(t *testing.T) {
	if testing.Short() {
		t.Skip("its bounds are those of a process without a race detector")
	}
	l := newLake(t)
	infos := line(80_000)
	tip := infos[len(infos)-1]
	for _, committed := range []bool{false, true} {
		if committed {
			l.manifest(tip, nil)
		}
		frugal(t, 512<<20, func() {
			x := l.indexOf(infos)
			n := 0
			for _, err := range x.all(t.Context()) {
				require.NoError(t, err)
				n++
			}
			if !committed {
				require.Zero(t, n)
				return
			}
			require.Len(t, infos, n)
			var c *CorruptError
			_, err := x.latest(t.Context())
			require.ErrorAs(t, err, &c)
			require.ErrorContains(t, err, "a chain of at most 65536 layers")
			l.faults.Reset()
			_, err = x.b.chain(t.Context(), tip)
			require.ErrorAs(t, err, &c)
			require.ErrorContains(t, err, "a chain of at most 65536 layers")
			require.Empty(t, l.faults.Trace(), "no manifest is read of a chain that is refused")
		})
	}
}

// TestManyHeirs: a layer that very many claim to extend, none of which exists.
func TestManyHeirs(t *testing.T) {
	l := newLake(t)
	root := layerAt(1, none, 1)
	infos := []LayerInfo{root}
	for i := range 20_000 {
		infos = append(infos, layerAt(i+2, root, int64(i+2)))
	}
	l.manifest(root, nil)
	frugal(t, 256<<20, func() {
		x := l.indexOf(infos)
		latest, err := x.latest(t.Context())
		require.NoError(t, err)
		require.Equal(t, root, latest)
	})
}

// TestCyclesOfParents: entries and manifests that name one another as parents, or that stand
// for one another.
func TestCyclesOfParents(t *testing.T) {
	l := newLake(t)
	full := layerAt(1, none, 10)
	a, b := layerAt(2, full, 30), layerAt(3, full, 20)
	a.ParentID, a.Start = b.ID, wall(20)
	b.ParentID, b.Start = a.ID, wall(15)
	one, two := layerAt(4, full, 40), layerAt(5, full, 40)
	child := layerAt(6, one, 50)
	l.lay(full, a, b, child)
	l.indexed(one, two)
	l.manifest(one, func(m *Manifest) { m.StandsFor = two.ID })
	l.manifest(two, func(m *Manifest) { m.StandsFor = one.ID })
	frugal(t, 64<<20, func() {
		listed := 0
		for _, err := range l.c.Layers(t.Context()) {
			require.NoError(t, err)
			listed++
		}
		require.Equal(t, 6, listed)
		for _, info := range []LayerInfo{a, b} {
			var gap *ChainGapError
			_, err := l.c.Resolve(t.Context(), info.ID, Timestamp{})
			require.ErrorAs(t, err, &gap)
			report, err := l.c.Verify(t.Context(), info.ID, nil)
			require.Error(t, err)
			require.LessOrEqual(t, len(report.Chain), 3)
		}
		chain, err := l.c.Resolve(t.Context(), child.ID, Timestamp{})
		require.NoError(t, err)
		require.Len(t, chain.Layers, 3, "a way that does not lead in circles is found")
	})
}

// TestOneIDManyEntries: of very many entries with one ID a few manifests are read, and no
// more.
func TestOneIDManyEntries(t *testing.T) {
	l := newLake(t)
	for i := range 2000 {
		info := layerAt(7, none, 1)
		info.Path = fmt.Sprintf("copy/%d", i)
		l.indexed(info)
	}
	l.faults.Reset()
	frugal(t, 64<<20, func() {
		for info := range l.c.Layers(t.Context()) {
			require.Fail(t, "listed", info)
		}
	})
	require.LessOrEqual(t, l.faults.Count(faultblob.Get), maxClaims+1)
}

// TestListOfEqualFiles: a list that holds far more than it is long. Its entries are equal,
// as those of files are not, and so compress to nothing.
func TestListOfEqualFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("its bounds are those of a process without a race detector")
	}
	const n = 200_000
	l := newLake(t)
	info := layerAt(1, none, 1)
	bucket := objectio.New(l.faults.Open(), "")
	same := listedFile(info, 1)
	list, err := writeFileList(t.Context(), bucket, info, nil, &contents{files: slices.Repeat([]sink.File{same}, n)})
	require.NoError(t, err)
	require.Less(t, list.Size, int64(n*leastFile))
	l.indexed(info)
	m := possibleManifest(info)
	m.FileList = list
	l.record(manifestObject(info.Path), kindLayer, m)
	frugal(t, 64<<20, func() {
		var c *CorruptError
		_, err := l.c.Verify(t.Context(), info.ID, &VerifyOptions{Level: VerifyExists})
		require.ErrorAs(t, err, &c)
		require.ErrorContains(t, err, fmt.Sprintf("file list of %d files", n))
	})
	m.FileList.Files = 3
	l.record(manifestObject(info.Path), kindLayer, m)
	frugal(t, 64<<20, func() {
		_, err := l.c.Verify(t.Context(), info.ID, &VerifyOptions{Level: VerifyExists})
		require.ErrorContains(t, err, "more than 3 files")
	})
}

// TestVeryManySpans: the manifest of a full that speaks for each of very many keys alone,
// and as many files.
func TestVeryManySpans(t *testing.T) {
	const n = 100_000
	s := newStrata(t, 1)
	s.write(50)
	m := s.lay(Span{})
	m.Spans = make([]Span, n)
	for i := range m.Spans {
		m.Spans[i] = Span{Start: fmt.Appendf(nil, "k%06d", 2*i), End: fmt.Appendf(nil, "k%06d", 2*i+1)}
	}
	m.Complete, m.Digest, m.FileList.Rows = false, nil, 0
	var list contents
	for i := range 20_000 {
		f := listedFile(m.info(), i)
		f.Span = m.Spans[n-20_000+i]
		list.files = append(list.files, f)
	}
	frugal(t, 256<<20, func() {
		c := new(content)
		c.add(m, &list)
		require.NoError(t, c.fit(nil))
		require.Len(t, c.views, 20_000)
	})
}

// TestTableThatSwells: a table that is tiny in the bucket and huge in its frames is read
// frame by frame.
func TestTableThatSwells(t *testing.T) {
	faults := faultblob.New(t, nil)
	bucket := objectio.New(faults.Open(), "")
	w, err := sink.NewWriter(t.Context(), Span{}, sink.Options{
		Bucket: bucket, Layer: testID(1), Compression: frame.Zstd, TargetBytes: math.MaxInt64, NoDigest: true,
		Name: func(int) string { return "swells" },
	})
	require.NoError(t, err)
	value := make([]byte, 1<<20)
	store, err := memkv.New(nil)
	require.NoError(t, err)
	for i := range 128 {
		store.Set(fmt.Appendf(nil, "%06d", i), value[:1])
		e := store.State(Span{})[i]
		e.Value, e.Timestamp = value, Timestamp{}
		require.NoError(t, w.Add(&e))
	}
	result, err := w.Finish()
	require.NoError(t, err)
	f := result.Files[0]
	require.Less(t, f.Size, f.Plain/500)
	frugal(t, 64<<20, func() {
		r, err := sink.Open(t.Context(), bucket, sink.Form{}, f)
		require.NoError(t, err)
		c, err := r.Cursor(t.Context(), Span{})
		require.NoError(t, err)
		n := 0
		for c.Next() {
			n++
		}
		require.Equal(t, 128, n)
		require.NoError(t, errors.Join(c.Err(), c.Close(), r.Close()))
	})
}
