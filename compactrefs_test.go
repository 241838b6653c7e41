package varve_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestCompactRefersToWhatIsUntouched: of a full of many files, two of which were changed, the
// others are neither read nor written again, and the layer that has them has a reference. An
// incremental whose one file spans everything is looked into.
func TestCompactRefersToWhatIsUntouched(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mode.opts)
			s.keys = mode.keys
			fill(s.store, 400, 1)
			require.NoError(t, s.backup())
			full := s.last
			s.opts.Into = varve.Latest
			require.Greater(t, full.Stats.Files, int64(8))
			for i := range 2 {
				s.opts.TargetFileBytes = 1 << 20 // one file, from the first key to the last
				s.store.Set([]byte("key-000003"), fmt.Append(nil, "changed ", i))
				s.store.Delete([]byte("key-000390"))
				s.store.Set([]byte("key-000391"), fmt.Append(nil, "changed ", i))
				require.NoError(t, s.backup())
			}
			s.bucket.Reset()
			tip := s.last
			out := s.compacted(tip.ID, varve.CompactOptions{})
			require.Equal(t, []string{full.ID}, out.Manifest.Refers)
			require.Greater(t, out.Stats.SharedBytes, 2*out.Stats.StoredBytes)
			stored, read := int64(0), map[string]bool{}
			for _, op := range s.bucket.Trace() {
				switch {
				case op.Kind == faultblob.Put && strings.HasSuffix(op.Key, ".sst") && strings.Contains(op.Key, "/data/"):
					require.True(t, strings.HasPrefix(op.Key, out.Path+"/data/"), op.Key)
					stored += int64(len(s.bucket.Read(op.Key)))
				case op.Kind == faultblob.Get && strings.HasPrefix(op.Key, full.Path+"/data/"):
					read[op.Key] = true
				}
			}
			require.Equal(t, out.Stats.StoredBytes, stored)
			require.Len(t, read, 2, "files of the full that were changed")
			require.Contains(t, s.bucket.Keys(), "refs/"+full.ID+"/"+out.ID)
			require.NotContains(t, strings.Join(s.bucket.Keys(), " "), "refs/"+tip.ID)
			s.requireAll()
		})
	}
}

// cutter partitions where the test says, as a store may cut at keys that nobody has.
type cutter struct {
	*memkv.Store
	cuts []string // ascending
}

func (c *cutter) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	s, err := c.Store.Snapshot(ctx, opts)
	if err != nil {
		return nil, err
	}
	if d, ok := s.(export.Differ); ok {
		return &cutDiffer{cutSnapshot{s, c}, d}, nil
	}
	return &cutSnapshot{s, c}, nil
}

type cutSnapshot struct {
	export.Snapshot
	c *cutter
}

type cutDiffer struct {
	cutSnapshot
	export.Differ
}

func (s *cutSnapshot) Partition(_ context.Context, span export.Span, _ export.Timestamp) (out []export.Partition, _ error) {
	for _, cut := range s.c.cuts {
		if span.Contains(&export.Order{}, []byte(cut)) {
			out = append(out, export.Partition{Span: export.Span{Start: span.Start, End: []byte(cut)}, Bytes: 64 << 20})
			span.Start = []byte(cut)
		}
	}
	return append(out, export.Partition{Span: span, Bytes: 64 << 20}), nil
}

// TestCompactWhereSpansCross: no file has an entry in the span of another, and yet their spans
// overlap, so that they cannot all stay.
func TestCompactWhereSpansCross(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	s.store = s.newStore()
	set := func(prefix string) {
		for i := range 50 {
			s.store.Set(fmt.Appendf(nil, "%s-%03d", prefix, i), []byte("v"))
		}
	}
	set("c")
	set("z")
	engine := &cutter{Store: s.store, cuts: []string{"m"}}
	_, err := s.collection().Backup(t.Context(), varve.Cluster(engine), nil)
	require.NoError(t, err)
	set("p")
	engine.cuts = []string{"h", "z"}
	_, err = s.collection().Backup(t.Context(), varve.Cluster(engine), &varve.BackupOptions{Into: varve.Latest})
	require.NoError(t, err)
	out, err := s.collection().Compact(t.Context(), varve.Latest, nil)
	require.NoError(t, err)
	require.NotEmpty(t, out.Manifest.Refers)
	_, err = s.collection().Verify(t.Context(), out.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(t, err)
	dst := s.newStore()
	_, err = s.collection().Restore(t.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: out.ID})
	require.NoError(t, err)
	require.Equal(t, stateOf(s.store), stateOf(dst))
}

// TestCompactThenExpire: a layer and what stands for it are one restore point, so that the layer
// goes, and those that it is made of as the policy says; but those stay whose files the new one
// has. The base of the layer that went serves the next incremental.
func TestCompactThenExpire(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		opts   varve.CompactOptions
		window bool
		keep   int
		stays  []int // of four layers, the full first
	}{
		{"all of it again", varve.CompactOptions{Rewrite: true}, false, 1, nil},
		{"with files of the full and the last one", varve.CompactOptions{}, false, 1, nil},
		{"another point", varve.CompactOptions{Rewrite: true}, false, 2, []int{0, 1, 2}},
		{"a window", varve.CompactOptions{Rewrite: true}, true, 1, []int{0}},
		{"a window, another point", varve.CompactOptions{Rewrite: true}, true, 2, []int{0, 1, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, varve.BackupOptions{})
			s.bucket = faultblob.New(t, &faultblob.Options{Now: func() time.Time { return *s.now }})
			fill(s.store, 300, 1)
			var layers []*varve.Layer
			for i := range 4 {
				require.NoError(t, s.backup())
				layers = append(layers, s.last)
				s.opts.Into = varve.Latest
				for j := range 40 {
					s.store.Set(fmt.Appendf(nil, "key-%06d", 60*i+j), fmt.Append(nil, "changed ", i, j))
				}
			}
			if tc.window {
				tc.opts.First = layers[1].ID
			}
			out := s.compacted(layers[3].ID, tc.opts)
			kept := append([]string{out.ID}, out.Manifest.Refers...)
			for _, i := range tc.stays {
				kept = append(kept, layers[i].ID)
			}
			slices.Sort(kept)
			for id, reasons := range s.expireAll(varve.Policy{KeepLast: 100}) {
				require.Equal(t, layers[3].ID, id)
				require.Equal(t, []string{out.Path + " stands for it"}, reasons)
			}
			s.expireAll(varve.Policy{KeepLast: tc.keep})
			require.Equal(t, slices.Compact(kept), slices.Sorted(maps.Keys(s.states)))
			s.last = out
			s.requireWhole()
			require.NoError(t, s.backup())
			require.Equal(t, varve.Checkpoints, s.last.Stats.Changes)
			s.requireWhole()
		})
	}
}

// TestStandInIsKeptUntilItCounts: on its first day a rule may not need it, and would drop what
// was just written.
func TestStandInIsKeptUntilItCounts(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	s.bucket = faultblob.New(t, &faultblob.Options{Now: func() time.Time { return *s.now }})
	var layers []*varve.Layer
	for i := range 4 {
		require.NoError(t, s.backup())
		layers = append(layers, s.last)
		s.opts.Into = varve.Latest
		s.change(uint64(i))
	}
	out := s.compacted(layers[2].ID, varve.CompactOptions{Rewrite: true})
	s.last = layers[3]
	for i := range 2 {
		require.NoError(t, s.backup())
		s.change(uint64(10 + i))
	}
	plan, err := s.collection().PlanExpire(t.Context(), varve.Policy{KeepLast: 2})
	require.NoError(t, err)
	i := slices.IndexFunc(plan.Points, func(p varve.ExpirePoint) bool { return p.ID == out.ID })
	require.True(t, plan.Points[i].Keep)
	require.Contains(t, plan.Points[i].Reasons, "will stand for "+layers[2].Path)
	_, err = s.collection().Expire(t.Context(), plan)
	require.NoError(t, err)
	again, err := s.collection().Compact(t.Context(), layers[2].ID, nil)
	require.NoError(t, err)
	require.Equal(t, out.ID, again.ID, "what is there is not written again")
	s.expireAll(varve.Policy{KeepLast: 2})
	s.requireWhole()
}

// expireAll carries a policy out for some days, and says why which layers went.
func (s *scene) expireAll(policy varve.Policy) map[string][]string {
	s.Helper()
	reasons := map[string][]string{}
	for range 3 {
		*s.now = s.now.Add(25 * time.Hour)
		plan, err := s.collection().PlanExpire(s.Context(), policy)
		require.NoError(s, err)
		report, err := s.collection().Expire(s.Context(), plan)
		require.NoError(s, err)
		for _, l := range report.Expired {
			delete(s.states, l.ID)
		}
		for _, p := range plan.Points {
			if !p.Keep && !p.Retired {
				reasons[p.ID] = p.Reasons
			}
		}
	}
	return reasons
}
