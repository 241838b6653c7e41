package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// strata is a chain of real layers that are laid by hand, a store that they are of,
// and what each of them must restore.
type strata struct {
	*lake
	rng    *rand.Rand
	store  *memkv.Store
	bucket *objectio.Bucket
	target int64 // stored bytes of a file
	bare   bool  // what is introduced is not erased, too: readers alone cut what is older

	layers []*Manifest
	states [][]export.Entry // by layer, all of the store
}

func newStrata(t *testing.T, seed uint64) *strata {
	t.Helper()
	store, err := memkv.New(&memkv.Options{SingleRevision: true})
	require.NoError(t, err)
	l := newLake(t)
	return &strata{
		lake: l, rng: rand.New(rand.NewPCG(seed, 7)), store: store, bucket: objectio.New(l.faults.Open(), ""), target: 300,
	}
}

const strataKeys = 60

func strataKey(i int) []byte { return fmt.Appendf(nil, "k%03d", i) }

// write changes the store n times.
func (s *strata) write(n int) {
	for range n {
		i, j := s.rng.IntN(strataKeys), s.rng.IntN(strataKeys)
		from, to := strataKey(min(i, j)), strataKey(max(i, j)+1)
		switch s.rng.IntN(12) {
		case 0:
			s.store.DeleteRange(from, strataKey(min(i, j)+1+s.rng.IntN(6)))
		case 1:
			s.store.RangeKeySet(from, to, fmt.Appendf(nil, "@%d", s.rng.IntN(3)), []byte("range"))
		case 2:
			s.store.RangeKeyUnset(from, to, []byte("@1"))
		case 3:
			s.store.RangeKeyDelete(from, to)
		case 4, 5, 6:
			s.store.Delete(strataKey(i))
		default:
			s.store.Set(strataKey(i), fmt.Appendf(nil, "%x", s.rng.Uint64()))
		}
	}
}

// keys are a span of the store's keys, of which -1 is the first or last.
func keys(from, to int) Span {
	var s Span
	if from >= 0 {
		s.Start = strataKey(from)
	}
	if to >= 0 {
		s.End = strataKey(to)
	}
	return s
}

func stateIn(entries []export.Entry, spans ...Span) []export.Entry {
	var out []export.Entry
	for _, s := range spans {
		for _, e := range entries {
			switch {
			case e.Kind.IsRange():
				if part, ok := s.Intersect(nil, Span{Start: e.Key, End: e.End}); ok {
					e.Key, e.End = part.Start, part.End
					out = append(out, e)
				}
			case s.Contains(nil, e.Key):
				out = append(out, e)
			}
		}
	}
	return kvtest.Canonical(nil, kvtest.Timeless(out))
}

// stratum is a layer being laid.
type stratum struct {
	*strata
	info  LayerInfo
	m     *Manifest
	files []sink.File
	tasks int
}

// lay writes a layer of spans that follows the last one, and introduces what that
// one did not have.
func (s *strata) lay(spans ...Span) *Manifest {
	s.Helper()
	n := len(s.layers)
	now := s.store.State(Span{})
	next := &stratum{strata: s, info: layerAt(n+1, none, int64(10*n+10)), m: new(Manifest)}
	if n == 0 {
		next.put(0, spans, now)
	} else {
		parent := s.layers[n-1]
		next.info = layerAt(n+1, parent.info(), int64(10*n+10))
		next.m.Introduced = subtractSpans(nil, spans, parent.Spans)
		tier := 0
		if len(next.m.Introduced) > 0 && !s.bare {
			tier = 1
			next.put(0, next.m.Introduced, erased(next.m.Introduced))
		}
		next.put(tier, next.m.Introduced, now)
		same := intersectSpans(nil, spans, parent.Spans)
		next.put(tier, same, s.changes(s.states[n-1], now, same))
	}
	next.commit(spans, now)
	s.layers, s.states = append(s.layers, next.m), append(s.states, now)
	return next.m
}

// erased is tombstones over each span.
func erased(spans []Span) []export.Entry {
	var out []export.Entry
	for _, s := range spans {
		start, end := s.Start, s.End
		if len(start) == 0 {
			start = []byte("a")
		}
		if len(end) == 0 {
			end = []byte("z")
		}
		out = append(out, export.Entry{Kind: export.DeleteRange, Key: start, End: end}, export.Entry{Kind: export.RangeKeyDelete, Key: start, End: end})
	}
	return out
}

// changes are what makes now of old in the spans.
func (s *strata) changes(old, now []export.Entry, spans []Span) []export.Entry {
	var out []export.Entry
	for _, span := range spans {
		before, beforeRanges := parted(stateIn(old, span))
		after, afterRanges := parted(stateIn(now, span))
		if fmt.Sprint(beforeRanges) != fmt.Sprint(afterRanges) {
			out = append(append(out, erased([]Span{span})[1]), afterRanges...)
		}
		for key, e := range after {
			if b, ok := before[key]; !ok || string(b.Value) != string(e.Value) {
				out = append(out, e)
			}
		}
		for key, e := range before {
			switch _, there := after[key]; {
			case there:
			case s.rng.IntN(3) == 0:
				out = append(out, export.Entry{Kind: export.DeleteRange, Key: e.Key, End: append(slices.Clone(e.Key), 0)})
			default:
				out = append(out, export.Entry{Kind: export.Delete, Key: e.Key})
			}
		}
	}
	return out
}

func parted(entries []export.Entry) (points map[string]export.Entry, ranges []export.Entry) {
	points = map[string]export.Entry{}
	for _, e := range entries {
		if e.Kind.IsRange() {
			ranges = append(ranges, e)
		} else {
			points[string(e.Key)] = e
		}
	}
	return points, ranges
}

// write stores entries of a span as files, and their rows.
func (s *stratum) write(span Span, entries []export.Entry, opts sink.Options) sink.Result {
	s.Helper()
	opts.Layer, opts.Compression, opts.TargetBytes = s.info.ID, frame.Zstd, s.target
	w, err := sink.NewWriter(s.Context(), span, opts)
	require.NoError(s, err)
	for _, e := range stateIn(entries, span) {
		require.NoError(s, w.Add(&e))
	}
	result, err := w.Finish()
	require.NoError(s, err)
	return result
}

// put writes the entries in spans as files of one tier.
func (s *stratum) put(tier int, spans []Span, entries []export.Entry) {
	s.Helper()
	for _, span := range spans {
		task := s.tasks
		s.tasks++
		opts := sink.Options{Bucket: s.bucket, Tier: tier, NoDigest: true, Name: func(n int) string { return formatData(s.info.Path, s.info.ID, task, n) }}
		if !s.info.Full() || tier > 0 {
			opts.Overlay = sink.Above
		}
		s.files = append(s.files, s.write(span, entries, opts).Files...)
	}
	slices.SortStableFunc(s.files, func(a, b sink.File) int {
		return cmp.Or(a.Tier-b.Tier, cmp.Compare(string(a.Span.Start), string(b.Span.Start)))
	})
}

// commit writes the list, the entry of the index and the manifest. The rows of the
// state are those that a full would have.
func (s *stratum) commit(spans []Span, now []export.Entry) {
	s.Helper()
	var rows []digest.Row
	for _, span := range spans {
		scratch := objectio.New(faultblob.New(s, nil).Open(), "")
		rows = append(rows, s.write(span, now, sink.Options{Bucket: scratch, Name: func(n int) string { return fmt.Sprint(n) }}).Rows...)
	}
	list, err := writeFileList(s.Context(), s.bucket, s.info, nil, &contents{files: s.files, rows: rows})
	require.NoError(s, err)
	s.indexed(s.info)
	s.manifest(s.info, func(m *Manifest) {
		m.Spans, m.Introduced, m.FileList = spans, s.m.Introduced, list
		m.Complete = len(spans) == 1 && len(spans[0].Start)+len(spans[0].End) == 0
		for _, f := range s.files {
			m.Counts = m.Counts.Plus(f.Counts)
		}
		m.Digest = newDigest(digest.Total(rows), false)
		*s.m = *m
	})
}

// destination is somewhere to restore to, and how to see what is then in it.
type destination struct {
	name   string
	store  export.Store
	opened func() export.Store
}

func (s *strata) destinations() []destination {
	s.Helper()
	mem, err := memkv.New(&memkv.Options{SingleRevision: true})
	require.NoError(s, err)
	open := func(dir string, fs vfs.FS) *pebblekv.Store {
		db, store, err := pebblekv.Open(dir, &pebble.Options{FS: fs, Logger: silent{}, FormatMajorVersion: pebble.FormatNewest}, nil)
		require.NoError(s, err)
		s.Cleanup(func() { require.NoError(s, db.Close()) })
		return store
	}
	live := open("db", vfs.NewMem())
	fs := vfs.NewMem()
	dir := pebblekv.Dir("new", &pebblekv.Options{Pebble: &pebble.Options{FS: fs, Logger: silent{}, FormatMajorVersion: pebble.FormatNewest}})
	return []destination{
		{"entries", mem, func() export.Store { return mem }},
		{"a database", live, func() export.Store { return live }},
		{"a directory", dir, func() export.Store { return open("new", fs) }},
	}
}

// silent keeps Pebble's chatter out of the test's output.
type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { pebble.DefaultLogger.Fatalf(format, args...) }

// contentOf is all that a store holds.
func contentOf(ctx context.Context, store export.Store) (_ []export.Entry, err error) {
	snapshot, err := store.Snapshot(ctx, export.SnapshotOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	cursor, err := snapshot.Export(ctx, export.Request{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	var out []export.Entry
	for cursor.Next() {
		e := *cursor.Entry()
		e.Key, e.End, e.Suffix, e.Value = slices.Clone(e.Key), slices.Clone(e.End), slices.Clone(e.Suffix), slices.Clone(e.Value)
		out = append(out, e)
	}
	return stateIn(out, Span{}), cursor.Err()
}

// restoreAll restores the spans of a layer everywhere and compares.
func (s *strata) restoreAll(n int, opts RestoreOptions, spans ...Span) map[string]*Restored {
	s.Helper()
	m := s.layers[n]
	out := map[string]*Restored{}
	opts.From = m.Layer
	for _, d := range s.destinations() {
		targets := Spans(d.store, spans...)
		if len(spans) == 0 {
			spans = m.Spans
			if targets = Spans(d.store, spans...); m.Complete {
				targets = Cluster(d.store)
			}
		}
		restored, err := s.c.Restore(s.Context(), targets, &opts)
		require.NoError(s, err, "layer %d into %s", n, d.name)
		got, err := contentOf(s.Context(), d.opened())
		require.NoError(s, err)
		require.Equal(s, stateIn(s.states[n], spans...), got, "layer %d in %s", n, d.name)
		out[d.name] = restored
	}
	return out
}

// verifyAll reads the whole chain as far as digests.
func (s *strata) verifyAll(n int) *Report {
	s.Helper()
	report, err := s.c.Verify(s.Context(), s.layers[n].Layer, &VerifyOptions{Level: VerifyDigest})
	require.NoError(s, err, "layer %d", n)
	require.Len(s, report.Chain, n+1)
	return report
}

// TestStrata lays random chains whose targets change, and restores every layer into
// everything: each holds what the store held, and nothing from before a span was
// introduced (I2, I13).
func TestStrata(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			s := newStrata(t, seed)
			s.target, s.bare = 200<<s.rng.IntN(6), s.rng.IntN(2) == 0
			s.write(200)
			for range 2 + s.rng.IntN(6) {
				s.lay(s.someTargets()...)
				s.write(s.rng.IntN(60))
			}
			for n := range s.layers {
				s.verifyAll(n)
				s.restoreAll(n, RestoreOptions{Prove: s.rng.IntN(2) == 0})
				if m := s.layers[n]; s.rng.IntN(2) == 0 {
					s.restoreAll(n, RestoreOptions{}, intersectSpans(nil, m.Spans, []Span{keys(7, 23), keys(29, -1)})...)
				}
			}
		})
	}
}

// someTargets are everything, or a few spans.
func (s *strata) someTargets() []Span {
	if s.rng.IntN(3) == 0 {
		return []Span{{}}
	}
	var out []Span
	for at := s.rng.IntN(5); at < strataKeys; {
		end := at + 1 + s.rng.IntN(30)
		out = append(out, keys(at, end))
		at = end + s.rng.IntN(10)
	}
	return out
}

// TestNothingComesBack: keys that were deleted while a span was no target are not
// there when it is one again, whether tables are merged or linked.
func TestNothingComesBack(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{false, true} {
		t.Run(fmt.Sprintf("bare=%t", bare), func(t *testing.T) { narrowAndWiden(t, bare) })
	}
}

func narrowAndWiden(t *testing.T, bare bool) {
	s := newStrata(t, 1)
	s.bare = bare
	for i := range strataKeys {
		s.store.Set(strataKey(i), []byte("old"))
	}
	s.store.RangeKeySet(strataKey(35), strataKey(45), []byte("@1"), []byte("old"))
	s.lay(Span{})
	s.lay(keys(-1, 30))
	s.store.DeleteRange(strataKey(20), strataKey(50))
	s.store.RangeKeyDelete(strataKey(20), strataKey(50))
	s.lay(keys(-1, 30))
	s.store.Set(strataKey(40), []byte("new"))
	s.lay(keys(-1, 30), keys(35, 55))
	s.lay(Span{})
	for n := range s.layers {
		s.verifyAll(n)
		s.restoreAll(n, RestoreOptions{Prove: true})
	}
	s.restoreAll(4, RestoreOptions{}, keys(34, 36), keys(41, 52))
}

// TestSpansThatDoNotFit: a layer that speaks for keys which nobody exported is found
// out before the destination is touched, and so is one that introduces what it does
// not speak for.
func TestSpansThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		edit func(*Manifest)
		want string
	}{
		{"a gap", func(m *Manifest) { m.Introduced = []Span{keys(20, 25)} }, `want spans of the parent, or introduced ones, got [["k025", "k030")]`},
		{"introduced outside", func(m *Manifest) { m.Introduced = []Span{keys(20, 31)} }, `want introduced spans in the layer's, got [["k030", "k031")]`},
		{"introduced twice", func(m *Manifest) { m.Introduced = []Span{keys(20, 25), keys(24, 30)} }, "want introduced spans that ascend and are apart"},
		{"spans out of order", func(m *Manifest) { m.Spans = []Span{keys(20, 30), keys(10, 20)} }, "want spans that ascend and are apart"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStrata(t, 3)
			s.write(200)
			s.lay(keys(10, 20))
			m := s.lay(keys(10, 30))
			test.edit(m)
			s.record(manifestObject(m.Path), kindLayer, m)
			for _, d := range s.destinations() {
				_, err := s.c.Restore(t.Context(), Spans(d.store, keys(20, 22)), &RestoreOptions{From: m.Layer})
				var c *CorruptError
				require.ErrorAs(t, err, &c)
				require.Equal(t, manifestObject(m.Path), c.Object)
				require.ErrorContains(t, err, test.want)
			}
			_, err := s.c.Verify(t.Context(), m.Layer, &VerifyOptions{Level: VerifyOrder})
			require.ErrorContains(t, err, test.want)
		})
	}
}
