package varve_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
)

func (p *past) now() export.Timestamp { return export.At(p.clock.now()) }

func (p *past) kept() (names []string) {
	p.Helper()
	kept, err := p.store.Snapshots(p.Context())
	require.NoError(p, err)
	for _, k := range kept {
		names = append(names, k.Name)
	}
	return names
}

// TestHistoryIsHeld: between the layers of a chain the store forgets nothing that the next
// one needs, however often it is told to, and everything else.
func TestHistoryIsHeld(t *testing.T) {
	t.Parallel()
	p := newPast(t, 21)
	p.write(20)
	end := p.backup(varve.BackupOptions{RevisionHistory: true}).End
	for range 3 {
		p.write(20)
		require.Equal(t, end, p.store.Collect(p.now()))
		layer := p.backup(varve.BackupOptions{Into: varve.Latest, RevisionHistory: true})
		require.Equal(t, varve.Revisions, layer.Stats.Changes)
		require.Equal(t, end, layer.Manifest.Oldest)
		require.Equal(t, []string{layer.ID}, p.kept())
		end = layer.End
	}
}

// TestBaseIsTakenAgain: also of a chain that keeps nothing in the store the history is held
// while a run needs it. One that fails leaves nothing.
func TestBaseIsTakenAgain(t *testing.T) {
	t.Parallel()
	p := newPast(t, 22)
	p.write(20)
	full := p.backup(varve.BackupOptions{NoBase: true})
	require.Empty(t, p.kept())
	p.write(20)
	w, fails := &watched{Store: p.store}, error(nil)
	w.fail = func(op string, done bool) error {
		if op != "partition" || !done {
			return nil
		}
		require.Equal(t, full.End, p.store.Collect(p.now()))
		return fails
	}
	opts := varve.BackupOptions{Into: varve.Latest, NoBase: true, RevisionHistory: true}
	fails = errors.New("store is out of order")
	_, err := p.c.Backup(t.Context(), varve.Cluster(w), &opts)
	require.ErrorIs(t, err, fails)
	require.Empty(t, p.kept())
	fails = nil
	layer, err := p.c.Backup(t.Context(), varve.Cluster(w), &opts)
	require.NoError(t, err)
	require.Equal(t, varve.Revisions, layer.Stats.Changes)
	require.Empty(t, p.kept())
	p.moments = p.moments[20:]
	p.requireWindows(layer.ID)
}

// TestHistoryIsGone: then the store is compared with the chain, and only the end of the
// layer can be restored. Chains go on as before.
func TestHistoryIsGone(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]string{"before": "", "after the plan": "partition", "while exporting": "close cursor"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPast(t, 23)
			p.write(40)
			opts := varve.BackupOptions{RevisionHistory: true, TargetFileBytes: 64}
			opts.Into = p.backup(opts).ID
			p.write(40)
			p.store.DeleteRange([]byte("k03"), []byte("k06"))
			forget := func() {
				for _, name := range p.kept() {
					require.NoError(t, p.store.Release(t.Context(), name))
				}
				p.store.Collect(p.now())
			}
			w := &watched{Store: p.store}
			if when == "" {
				forget()
			}
			w.fail = func(op string, done bool) error {
				if op == when && done {
					forget()
				}
				return nil
			}
			layer, err := p.c.Backup(t.Context(), varve.Cluster(&forgetful{w}), &opts)
			require.NoError(t, err)
			require.Equal(t, varve.FromChain, layer.Stats.Changes)
			require.Equal(t, layer.End, layer.Manifest.Oldest)
			opts.Into = varve.Latest
			p.write(30)
			layer = p.backup(opts)
			if when != "" { // the base was released while it was in use
				require.Contains(t, []varve.ChangeSource{varve.Revisions, varve.FromChain}, layer.Stats.Changes)
				return
			}
			require.Equal(t, varve.Revisions, layer.Stats.Changes)
			p.requireAt(layer.End, "")
			p.requireAt(p.moments[len(p.moments)-10], "")
		})
	}
}

// forgetful is a store whose snapshots do not keep what it forgets: it says so.
type forgetful struct{ *watched }

func (f *forgetful) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	s, err := f.watched.Snapshot(ctx, opts)
	return &forgetfulSnapshot{s, f}, err
}

type forgetfulSnapshot struct {
	export.Snapshot
	store *forgetful
}

func (s *forgetfulSnapshot) check(ctx context.Context, since export.Timestamp) error {
	info, err := s.store.Store.Info(ctx)
	if err == nil && !since.IsZero() && since.Compare(info.Oldest) < 0 {
		err = export.ErrNoBase
	}
	return err
}

func (s *forgetfulSnapshot) Partition(ctx context.Context, span varve.Span, since export.Timestamp) ([]export.Partition, error) {
	if err := s.check(ctx, since); err != nil {
		return nil, err
	}
	return s.Snapshot.Partition(ctx, span, since)
}

func (s *forgetfulSnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	if err := s.check(ctx, req.Since); err != nil {
		return nil, err
	}
	return s.Snapshot.Export(ctx, req)
}

// TestBaseAge: a base that nobody comes back for does not hold history for ever.
func TestBaseAge(t *testing.T) {
	t.Parallel()
	p := newPast(t, 24)
	p.write(20)
	part := varve.Spans(p.store, span("k03", "k09"))
	left, err := p.c.Backup(t.Context(), part, nil)
	require.NoError(t, err)
	whole := p.backup(varve.BackupOptions{BaseAge: time.Hour})
	require.Equal(t, []string{left.ID, whole.ID}, p.kept())
	p.clock.set(2 * time.Hour)
	p.write(20)
	require.Equal(t, left.End, p.store.Collect(p.now()))
	whole = p.backup(varve.BackupOptions{Into: whole.ID, BaseAge: time.Hour})
	require.Equal(t, varve.Revisions, whole.Stats.Changes, "old as it is, the base was there")
	require.Equal(t, []string{whole.ID}, p.kept())
	require.Equal(t, whole.End, p.store.Collect(p.now()))
	var option *varve.OptionError
	_, err = p.c.Backup(t.Context(), part, &varve.BackupOptions{BaseAge: -1})
	require.ErrorAs(t, err, &option)
	require.Equal(t, "BaseAge", option.Field)
}

// loaded is a store into which a span was loaded with the revisions of before, as one that
// links whole tables does: what changed there since then it cannot tell.
type loaded struct {
	*memkv.Store
	span  varve.Span
	state []export.Entry // what was loaded
}

func (l *loaded) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	s, err := l.Store.Snapshot(ctx, opts)
	return &loadedSnapshot{s, l}, err
}

type loadedSnapshot struct {
	export.Snapshot
	store *loaded
}

func (s *loadedSnapshot) Partition(ctx context.Context, span varve.Span, since export.Timestamp) ([]export.Partition, error) {
	if !since.IsZero() && span.Overlaps(nil, s.store.span) {
		return nil, export.ErrNoBase
	}
	return s.Snapshot.Partition(ctx, span, since)
}

func (s *loadedSnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	if !req.Since.IsZero() && req.Span.Overlaps(nil, s.store.span) {
		return nil, export.ErrNoBase
	}
	resume := req.Resume
	req.Resume = nil
	entries, err := kvtest.Collect(ctx, s.Snapshot, req)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e export.Entry) bool { return s.store.span.Contains(nil, e.Key) })
	entries = append(entries, kvtest.Clip(nil, s.store.state, req.Span)...)
	slices.SortStableFunc(entries, func(a, b export.Entry) int { return slices.Compare(a.Key, b.Key) })
	if resume != nil {
		entries = slices.DeleteFunc(entries, func(e export.Entry) bool {
			c := slices.Compare(e.Key, resume.Key)
			return c < 0 || c == 0 && (e.Kind.IsRange() || e.Timestamp.Compare(resume.Timestamp) >= 0)
		})
	}
	return &listed{entries: entries}, nil
}

// TestSpanWasLoaded: a span that was restored with its old revisions into a store that goes
// on is exported from the beginning; what the chain has there no longer counts. Where the
// store has forgotten, too, everything is.
func TestSpanWasLoaded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		forgets bool
		want    varve.ChangeSource
	}{"remembers": {false, varve.Revisions}, "forgot": {true, varve.Everything}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPast(t, 25)
			p.store = newStore(t, &memkv.Options{PartitionBytes: 16, Now: p.clock.now})
			for i := range 60 { // no ranges, so that a part is easily replaced
				p.moments = append(p.moments, p.store.Set(p.key(), []byte{byte(i)}))
			}
			opts := varve.BackupOptions{RevisionHistory: true, TargetFileBytes: 64}
			full := p.backup(opts)
			opts.Into = varve.Latest
			s := &loaded{Store: p.store, span: span("k05", "k09")}
			s.state = p.store.StateAt(p.moments[30], s.span)
			before := kvtest.Canonical(nil, kvtest.Timeless(p.store.StateAt(p.moments[50], varve.Span{})))
			for i := range 10 {
				p.store.Set([]byte("k01"), []byte{byte(i)})
			}
			if test.forgets {
				require.NoError(t, p.store.Release(t.Context(), full.ID))
				p.store.Collect(p.now())
			}
			layer, err := p.c.Backup(t.Context(), varve.Cluster(s), &opts)
			require.NoError(t, err)
			require.Equal(t, test.want, layer.Stats.Changes)
			if !test.forgets {
				require.Equal(t, []varve.Span{span("k04", "k08"), span("k08", "k12")}, layer.Manifest.Introduced, "the pieces that overlap it")
			}
			var want []export.Entry
			for _, e := range p.store.StateAt(layer.End, varve.Span{}) {
				if !s.span.Contains(nil, e.Key) {
					want = append(want, e)
				}
			}
			got, err := p.restored("", varve.Timestamp{})
			require.NoError(t, err)
			require.Equal(t, kvtest.Canonical(nil, kvtest.Timeless(append(want, s.state...))), got)
			_, err = p.c.Verify(t.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
			require.NoError(t, err)
			got, err = p.restored(layer.ID, p.moments[50])
			require.NoError(t, err)
			require.Equal(t, before, got, "older layers are as they were")
		})
	}
}
