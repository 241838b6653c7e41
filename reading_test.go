package varve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// read reads a page in place: all of it, each key, and what came since another page (I13).
func (s *scribe) read(p *page) {
	s.Helper()
	opts := s.named(p)
	r := s.reader(opts.From, opts.AsOf)
	defer func() { require.NoError(s, r.Close()) }()
	require.Equal(s, p.End, r.AsOf())
	want := kvtest.Canonical(s.order, clipTo(s.order, p.state, p.spans))
	got := kvtest.Timeless(collected(s, scanned(s, r, varve.Span{})))
	s.same(clip(s.order, p.state, p.spans), clip(s.order, got, everywhere), s.what+" read in place")

	held, chain := pointsOf(want), s.pages(opts)
	for name := range modelNames {
		for version := range 3 {
			key := s.key(name, version)
			e, found, err := r.Get(s.Context(), key)
			if !slices.ContainsFunc(p.spans, func(span varve.Span) bool { return span.Contains(s.order, key) }) {
				var target *varve.TargetError
				require.ErrorAs(s, err, &target, "%q", key)
				continue
			}
			require.NoError(s, err)
			value, there := held[string(key)]
			require.Equal(s, there, found, "%q", key)
			require.Equal(s, value, string(e.Value), "%q", key)
			s.turns(r, chain, key)
		}
	}
	for range 3 {
		s.compare(r, p, s.layers[s.rng.IntN(len(s.layers))])
	}
}

func (s *scribe) reader(from string, asOf varve.Timestamp) *varve.Reader {
	s.Helper()
	r, err := s.c.OpenReader(s.Context(), from, &varve.ReaderOptions{AsOf: asOf})
	require.NoError(s, err)
	return r
}

// pages are those that are read, the newest first.
func (s *scribe) pages(opts *varve.RestoreOptions) (out []*page) {
	s.Helper()
	chain, err := s.c.Resolve(s.Context(), opts.From, opts.AsOf)
	require.NoError(s, err)
	for _, l := range slices.Backward(chain.Layers) {
		out = append(out, s.layers[slices.IndexFunc(s.layers, func(p *page) bool { return p.ID == l.ID })])
	}
	return out
}

// turns compares the history of a key with what it was at the end of each page of a chain.
func (s *scribe) turns(r *varve.Reader, chain []*page, key []byte) {
	s.Helper()
	var want []string // from the oldest
	for _, q := range chain {
		value := "gone"
		if slices.ContainsFunc(q.spans, func(span varve.Span) bool { return span.Contains(s.order, key) }) {
			if v, there := pointsOf(kvtest.Canonical(s.order, q.state))[string(key)]; there {
				value = fmt.Sprintf("%q at %s", v, q.End)
			}
		} else {
			return // it was introduced, or left out: what was before does not count
		}
		want = append(want, value)
		if slices.ContainsFunc(q.Manifest.Introduced, func(span varve.Span) bool { return span.Contains(s.order, key) }) {
			return // by one of the layers that a compacted one is made of
		}
	}
	slices.Reverse(want)
	var turned []string
	last := "gone"
	for _, w := range want {
		if before, _, _ := bytes.Cut([]byte(w), []byte(" at ")); string(before) != last {
			turned, last = append(turned, string(before)), string(before)
		}
	}
	slices.Reverse(turned)
	var got []string
	for v, err := range r.History(s.Context(), key) {
		require.NoError(s, err)
		if v.Deleted {
			got = append(got, "gone")
		} else {
			got = append(got, fmt.Sprintf("%q", v.Value))
		}
	}
	if chain[0].Manifest.Revisions { // also those that changed nothing
		got = slices.Compact(got)
		if n := len(got); n > len(turned) && got[n-1] == "gone" {
			got = got[:n-1]
		}
	}
	require.True(s, slices.Equal(turned, got), "%q was %q, and is said to have been %q", key, turned, got)
}

// compare makes one page out of another by what is between them.
func (s *scribe) compare(r *varve.Reader, p, q *page) {
	s.Helper()
	before := s.reader(q.ID, varve.Timestamp{})
	defer func() { require.NoError(s, before.Close()) }()
	s.Logf("compare %s of %v with %s of %v", p.ID, p.spans, q.ID, q.spans)
	changes, err := r.Diff(s.Context(), before, varve.Span{})
	require.NoError(s, err)
	was := kvtest.Canonical(s.order, clipTo(s.order, clipTo(s.order, q.state, q.spans), p.spans))
	is := kvtest.Canonical(s.order, clipTo(s.order, clipTo(s.order, p.state, p.spans), q.spans))
	all := requireChanges(s, s.order, changes, was, is)
	s.same(clip(s.order, is, everywhere), clip(s.order, kvtest.Apply(s.order, was, all), everywhere), "changed")
}

// requireChanges drains changes, which must come in order, once, be real and know what they
// replace.
func requireChanges(t require.TestingT, order *export.Order, changes export.Changes, was, is []export.Entry) []export.Entry {
	then, now := pointsOf(was), pointsOf(is)
	left := 0
	for key, value := range then {
		if v, there := now[key]; !there || v != value {
			left++
		}
	}
	for key := range now {
		if _, there := then[key]; !there {
			left++
		}
	}
	var all []export.Entry
	for changes.Next() {
		e, former := changes.Entry().Clone(), changes.Former()
		if n := len(all); n > 0 {
			c := order.WithDefaults().Compare(all[n-1].Key, e.Key)
			require.True(t, c < 0 || c == 0 && (e.Kind.IsRange() || all[n-1].Kind.IsRange()), "%q after %q", e.Key, all[n-1].Key)
		}
		stamp := e.Timestamp
		e.Timestamp = export.Timestamp{}
		all = append(all, e)
		if e.Kind.IsRange() {
			continue
		}
		value, there := then[string(e.Key)]
		if was, is := then[string(e.Key)], now[string(e.Key)]; there && e.Kind == export.Set && was == is {
			require.NotEqual(t, former.Timestamp, stamp, "%q is as it was", e.Key)
		} else {
			left--
		}
		require.Equal(t, there, former != nil, "%s %q: it was %q", e.Kind, e.Key, value)
		if there {
			require.Equal(t, value, string(former.Value))
		}
		value, there = now[string(e.Key)]
		require.Equal(t, there, e.Kind == export.Set)
		if there {
			require.Equal(t, value, string(e.Value))
		}
	}
	require.NoError(t, changes.Err())
	require.NoError(t, changes.Close())
	require.Zero(t, left, "changes that did not come")
	return all
}

func clipTo(order *export.Order, state []export.Entry, spans []varve.Span) []export.Entry {
	var all []export.Entry
	for _, s := range spans {
		all = append(all, kvtest.Clip(order, kvtest.Timeless(state), s)...)
	}
	return all
}

func pointsOf(state []export.Entry) map[string]string {
	out := map[string]string{}
	for _, e := range state {
		if e.Kind == export.Set {
			out[string(e.Key)] = string(e.Value)
		}
	}
	return out
}

func scanned(t testing.TB, r *varve.Reader, span varve.Span) export.Cursor {
	t.Helper()
	c, err := r.Scan(t.Context(), span)
	require.NoError(t, err)
	return c
}

func collected(t testing.TB, c export.Cursor) []export.Entry {
	t.Helper()
	var all []export.Entry
	for c.Next() {
		all = append(all, c.Entry().Clone())
	}
	require.NoError(t, c.Err())
	require.NoError(t, c.Close())
	return all
}

// read reads a moment in place: its state, what each key was before, and what came since
// the end of another layer.
func (a *annalist) read(l *annal, at export.Timestamp) {
	a.Helper()
	r, err := a.c.OpenReader(a.Context(), l.ID, &varve.ReaderOptions{AsOf: at})
	require.NoError(a, err)
	defer func() { require.NoError(a, r.Close()) }()
	state := kvtest.Clip(nil, a.annals.at(at), l.span)
	want := kvtest.Canonical(nil, kvtest.Timeless(state))
	require.Equal(a, want, kvtest.Canonical(nil, kvtest.Timeless(collected(a, scanned(a, r, varve.Span{})))))

	held := pointsOf(want)
	chain, err := a.c.Resolve(a.Context(), l.ID, at)
	require.NoError(a, err)
	for i := range pastKeys {
		key := fmt.Appendf(nil, "k%02d", i)
		if !l.span.Contains(nil, key) {
			continue
		}
		e, found, err := r.Get(a.Context(), key)
		require.NoError(a, err)
		value, there := held[string(key)]
		require.Equal(a, there, found, "%q", key)
		require.Equal(a, value, string(e.Value), "%q", key)
		a.revisions(r, chain, key, at)
	}

	other := a.layers[a.rng.IntN(len(a.layers))]
	before, err := a.c.OpenReader(a.Context(), other.ID, nil)
	require.NoError(a, err)
	defer func() { require.NoError(a, before.Close()) }()
	changes, err := r.Diff(a.Context(), before, varve.Span{})
	require.NoError(a, err)
	var got []export.Entry
	for changes.Next() {
		e := changes.Entry().Clone()
		e.Timestamp = export.Timestamp{}
		got = append(got, e)
	}
	require.NoError(a, errors.Join(changes.Err(), changes.Close()))
	was := clipTo(nil, clipTo(nil, a.annals.at(other.End), []varve.Span{other.span}), []varve.Span{l.span})
	is := clipTo(nil, want, []varve.Span{other.span})
	require.Equal(a, kvtest.Canonical(nil, is), kvtest.Apply(nil, was, got))
}

// revisions compares the history of a key with what it was at the moments of all windows.
func (a *annalist) revisions(r *varve.Reader, chain *varve.Chain, key []byte, at export.Timestamp) {
	a.Helper()
	var revisions []varve.Revision
	for v, err := range r.History(a.Context(), key) {
		require.NoError(a, err)
		require.LessOrEqual(a, v.Timestamp.Compare(at), 0)
		if n := len(revisions); n > 0 {
			require.Positive(a, revisions[n-1].Timestamp.Compare(v.Timestamp))
		}
		revisions = append(revisions, v)
	}
	has := func(s varve.Span) bool { return s.Contains(nil, key) }
	for i, l := range slices.Backward(chain.Layers) {
		if i+1 < len(chain.Layers) && slices.ContainsFunc(chain.Layers[i+1].Manifest.Introduced, has) {
			return // what was before it came into the chain does not count
		}
		window := chain.Points()[i]
		moments := append(slices.Clone(a.annals.when()), window.Oldest, window.Newest)
		for _, t := range moments {
			if t.Compare(window.Oldest) < 0 || t.Compare(window.Newest) > 0 || t.Compare(at) > 0 || t.IsZero() || t.Compare(l.Start) <= 0 {
				continue
			}
			value, there := pointsOf(a.annals.at(t))[string(key)]
			n := slices.IndexFunc(revisions, func(v varve.Revision) bool { return v.Timestamp.Compare(t) <= 0 })
			found := n >= 0 && !revisions[n].Deleted
			require.Equal(a, there, found, "%q at %s of %v", key, t, revisions)
			if found {
				require.Equal(a, value, string(revisions[n].Value), "%q at %s", key, t)
			}
		}
	}
}

// TestReaderRequests: to look a key up costs a few requests, however many files there are.
func TestReaderRequests(t *testing.T) {
	t.Parallel()
	bucket := faultblob.New(t, nil)
	store := pieced(t, 8_000, 1)
	c := collectionIn(t, bucket, nil)
	full, err := c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{TargetFileBytes: 2 << 10, Compression: varve.CompressNone})
	require.NoError(t, err)
	require.Greater(t, full.Stats.Files, int64(100))
	store.Set([]byte("key-004000"), []byte("another"))
	_, err = c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
	require.NoError(t, err)

	bucket.Reset()
	r, err := c.OpenReader(t.Context(), "", nil)
	require.NoError(t, err)
	opened := bucket.Count(faultblob.Get)
	require.LessOrEqual(t, opened, 12, bucket.Counts())
	require.Zero(t, len(dataRead(bucket)), "no data is read before it is asked for")

	get := func(key string, files, requests int) {
		t.Helper()
		bucket.Reset()
		_, _, err := r.Get(t.Context(), []byte(key))
		require.NoError(t, err)
		require.Len(t, dataRead(bucket), files, bucket.String())
		require.LessOrEqual(t, bucket.Count(faultblob.Get), requests, bucket.String())
	}
	get("key-000100", 1, 6) // the incremental's file does not reach to it
	get("key-000100", 1, 4) // its file is open
	get("key-004000", 1, 6) // the newest layer has it, and no other is asked

	bucket.Reset()
	before, err := c.OpenReader(t.Context(), full.ID, nil)
	require.NoError(t, err)
	changes, err := r.Diff(t.Context(), before, varve.Span{})
	require.NoError(t, err)
	require.True(t, changes.Next())
	require.Equal(t, "another", string(changes.Entry().Value))
	require.NotNil(t, changes.Former())
	require.False(t, changes.Next())
	require.NoError(t, errors.Join(changes.Err(), changes.Close(), before.Close(), r.Close()))
	require.LessOrEqual(t, len(dataRead(bucket)), 3, "only what changed is read")
}

// dataRead are the data files that were read from, each once.
func dataRead(b *faultblob.Bucket) []string {
	seen := map[string]bool{}
	for _, op := range b.Trace() {
		if op.Kind == faultblob.Get && bytes.Contains([]byte(op.Key), []byte("/data/")) {
			seen[op.Key] = true
		}
	}
	var out []string
	for key := range seen {
		out = append(out, key)
	}
	return out
}

// TestReaderIsBounded: of many files no more stay open than a few, and none after Close.
func TestReaderIsBounded(t *testing.T) {
	t.Parallel()
	bucket := faultblob.New(t, nil)
	store := pieced(t, 8_000, 1)
	c := collectionIn(t, bucket, nil)
	_, err := c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{TargetFileBytes: 2 << 10})
	require.NoError(t, err)
	r, err := c.OpenReader(t.Context(), varve.Latest, nil)
	require.NoError(t, err)
	want := stateOf(store)
	require.Equal(t, want, kvtest.Canonical(nil, collected(t, scanned(t, r, varve.Span{}))))

	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := worker; i < 2000; i += 40 {
				key := fmt.Appendf(nil, "key-%06d", (i*7919)%8_000)
				e, found, err := r.Get(t.Context(), key)
				value, there := store.Get(key)
				if err != nil || found != there || found && !bytes.Equal(e.Value, value) {
					t.Errorf("%q: %v %v %v", key, found, there, err)
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	require.Zero(t, bucket.Readers())
	_, _, err = r.Get(t.Context(), []byte("key-000000"))
	require.ErrorContains(t, err, "closed")
}

// TestReaderMeetsDamage: whatever part of a file is read that is damaged, it is named; and
// what does not need it is read.
func TestReaderMeetsDamage(t *testing.T) {
	t.Parallel()
	bucket := faultblob.New(t, nil)
	store := pieced(t, 5_000, 1)
	c := collectionIn(t, bucket, nil)
	_, err := c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{TargetFileBytes: 16 << 10})
	require.NoError(t, err)
	var files []string
	for _, key := range bucket.Keys() {
		if bytes.Contains([]byte(key), []byte("/data/")) {
			files = append(files, key)
		}
	}
	require.Greater(t, len(files), 5)
	for i, damage := range []func(string){
		func(f string) { bucket.Flip(f, 8*(len(bucket.Read(f))/2)) },
		func(f string) { bucket.Flip(f, 8*(len(bucket.Read(f))-20)) },
		func(f string) { bucket.Truncate(f, len(bucket.Read(f))-1) },
		func(f string) { bucket.Remove(f) },
	} {
		file, whole := files[i], bucket.Read(files[i])
		damage(file)
		r, err := c.OpenReader(t.Context(), varve.Latest, nil)
		require.NoError(t, err)
		cursor, n := scanned(t, r, varve.Span{}), 0
		for cursor.Next() {
			n++
		}
		var corrupt *varve.CorruptError
		require.ErrorAs(t, cursor.Err(), &corrupt)
		require.Equal(t, file, corrupt.Object)
		require.NoError(t, cursor.Close())
		last := []byte("key-004998")
		want, there := store.Get(last)
		e, found, err := r.Get(t.Context(), last)
		require.NoError(t, err, "another file has the key")
		require.Equal(t, there, found)
		require.Equal(t, want, e.Value)
		require.NoError(t, r.Close())
		bucket.Replace(file, whole)
	}
}

// TestReaderOfSealedLayers reads with a key what cannot be read without.
func TestReaderOfSealedLayers(t *testing.T) {
	t.Parallel()
	bucket := faultblob.New(t, nil)
	store := pieced(t, 1_000, 1)
	key := varve.Passphrase("correct horse battery staple")
	c := collectionIn(t, bucket, &varve.CollectionOptions{Encryption: []varve.Key{key}})
	_, err := c.Backup(t.Context(), varve.Cluster(store), nil)
	require.NoError(t, err)
	first, err := c.OpenReader(t.Context(), "", nil)
	require.NoError(t, err)
	was := stateOf(store)
	store.Set([]byte("key-000001"), []byte("new"))
	_, err = c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
	require.NoError(t, err)
	r, err := c.OpenReader(t.Context(), "", nil)
	require.NoError(t, err)
	require.Equal(t, stateOf(store), kvtest.Canonical(nil, collected(t, scanned(t, r, varve.Span{}))))
	require.Equal(t, was, kvtest.Canonical(nil, collected(t, scanned(t, first, varve.Span{}))))
	changes, err := r.Diff(t.Context(), first, varve.Span{})
	require.NoError(t, err)
	require.Len(t, requireChanges(t, nil, changes, was, stateOf(store)), 1)
	require.NoError(t, errors.Join(r.Close(), first.Close()))
	_, err = collectionIn(t, bucket, nil).OpenReader(t.Context(), "", nil)
	require.ErrorIs(t, err, varve.ErrNoKey)
	_, err = collectionIn(t, bucket, &varve.CollectionOptions{Encryption: []varve.Key{varve.Passphrase("no")}}).OpenReader(t.Context(), "", nil)
	require.ErrorIs(t, err, varve.ErrWrongKey)
}

// TestReaderRefusals: what cannot be read is refused by name.
func TestReaderRefusals(t *testing.T) {
	t.Parallel()
	bucket := faultblob.New(t, nil)
	store := pieced(t, 1_000, 1)
	c := collectionIn(t, bucket, nil)
	part := varve.Span{Start: []byte("key-0001"), End: []byte("key-0005")}
	hole := varve.Span{Start: []byte("key-0002"), End: []byte("key-0003")}
	_, err := c.Backup(t.Context(), varve.Spans(store, part), &varve.BackupOptions{Name: "part", Exclude: []varve.Span{hole}})
	require.NoError(t, err)
	r, err := c.OpenReader(t.Context(), "part", nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	require.Len(t, r.Spans(), 2)

	var target *varve.TargetError
	for _, key := range []string{"key-000001", "key-000200", "key-000500", ""} {
		_, _, err := r.Get(t.Context(), []byte(key))
		require.ErrorAs(t, err, &target, key)
	}
	for _, span := range []varve.Span{{Start: []byte("key-00")}, {End: []byte("key-0002")}, hole} {
		_, err := r.Scan(t.Context(), span)
		require.ErrorAs(t, err, &target, "%s", span)
	}
	require.Equal(t, stateOf(store, r.Spans()...), kvtest.Canonical(nil, collected(t, scanned(t, r, part))), "a hole that was meant to be is passed over")
	var option *varve.OptionError
	_, err = r.Scan(t.Context(), varve.Span{Start: []byte("key-0004"), End: []byte("key-0003")})
	require.ErrorAs(t, err, &option)
	var miss *varve.NoRestorePointError
	_, err = c.OpenReader(t.Context(), "part", &varve.ReaderOptions{AsOf: varve.Timestamp{WallNanos: 1}})
	require.ErrorAs(t, err, &miss)
	_, err = c.OpenReader(t.Context(), "nothing", nil)
	require.ErrorIs(t, err, varve.ErrNoLayer)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = r.Get(ctx, []byte("key-000100"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = r.Scan(ctx, varve.Span{})
	require.ErrorIs(t, err, context.Canceled)
	for _, err := range r.History(ctx, []byte("key-000100")) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

// TestReaderOfAnotherOrder: an order that is not known is named, and one that does not bear
// with a key panics into an error.
func TestReaderOfAnotherOrder(t *testing.T) {
	t.Parallel()
	order := &export.Order{Name: "strict", Compare: strict}
	bucket := faultblob.New(t, nil)
	store := newStore(t, &memkv.Options{SingleRevision: true, Order: order})
	for i := range 100 {
		store.Set(fmt.Appendf(nil, "key-%03d", i), []byte("v"))
	}
	_, err := collectionIn(t, bucket, nil).Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{TargetFileBytes: 256})
	require.NoError(t, err)
	var other *varve.OrderError
	_, err = collectionIn(t, bucket, nil).OpenReader(t.Context(), "", nil)
	require.ErrorAs(t, err, &other)
	require.Equal(t, "strict", other.Want)
	r, err := collectionIn(t, bucket, &varve.CollectionOptions{Orders: []export.Order{*order}}).OpenReader(t.Context(), "", nil)
	require.NoError(t, err)
	_, found, err := r.Get(t.Context(), []byte("key-007"))
	require.NoError(t, err)
	require.True(t, found)
	var option *varve.OptionError
	_, _, err = r.Get(t.Context(), []byte{0xff})
	require.ErrorAs(t, err, &option)
	require.NoError(t, r.Close())
}

// strict orders keys backwards, the empty one first, and takes no others than text.
func strict(a, b []byte) int {
	if slices.Contains(a, 0xff) {
		panic("no key of mine")
	}
	if len(a) == 0 || len(b) == 0 {
		return len(a) - len(b)
	}
	return bytes.Compare(b, a)
}
