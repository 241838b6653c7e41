package varve_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// deepen lays two layers on a full that change a part of it, so that files of each are
// changed no more.
func (s *scene) deepen() {
	s.Helper()
	s.opts.Into = varve.Latest
	for i := range 2 {
		for j := range 30 {
			s.store.Set(fmt.Appendf(nil, "key-%06d", 20*i+j), fmt.Appendf(nil, "value %d of layer %d", j, i))
		}
		s.store.Delete(fmt.Appendf(nil, "key-%06d", 20*i))
		s.store.DeleteRange(fmt.Appendf(nil, "key-%06d", 20*i+5), fmt.Appendf(nil, "key-%06d", 20*i+8))
		require.NoError(s, s.attempt(s.Context()))
	}
	s.change(2)
}

// compacted compacts, and is what comes of it.
func (s *scene) compacted(from string, opts varve.CompactOptions) *varve.Layer {
	s.Helper()
	before := slices.Collect(maps.Keys(s.states))
	require.NoError(s, s.compact(s.Context(), from, opts))
	for id := range s.states {
		if !slices.Contains(before, id) {
			layer, err := s.collection().Layer(s.Context(), id)
			require.NoError(s, err)
			return layer
		}
	}
	s.Fatal("nothing was compacted")
	return nil
}

// compact compacts, and notes what comes of it.
func (s *scene) compact(ctx context.Context, from string, opts varve.CompactOptions) error {
	s.Helper()
	opts.Concurrency, opts.TargetFileBytes = 1, 2<<10
	layer, err := s.collection().Compact(ctx, from, &opts)
	if err != nil {
		return err
	}
	if _, known := s.states[layer.ID]; !known {
		s.noteCompacted(layer)
	}
	return nil
}

// noteCompacted notes a layer that stands for another.
func (s *scene) noteCompacted(layer *varve.Layer) {
	s.Helper()
	require.Contains(s, s.states, layer.Manifest.StandsFor)
	s.states[layer.ID] = s.states[layer.Manifest.StandsFor]
	if layer.Full() {
		s.last = layer
	}
}

// TestCompact (I9, I13): a chain becomes a synthetic full, a window of it an incremental; each
// has the digest of what it stands for, restores the same, and is extended exactly.
func TestCompact(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mode.opts)
			s.keys = mode.keys
			var layers []*varve.Layer
			for i := range uint64(5) {
				require.NoError(t, s.backup())
				layers = append(layers, s.last)
				s.change(i)
				s.opts.Into = varve.Latest
			}
			s.compacted(varve.Latest, varve.CompactOptions{First: layers[3].ID})
			s.requireWhole() // and what was backed up is the latest
			window := s.compacted(layers[3].ID, varve.CompactOptions{First: layers[2].ID})
			require.Equal(t, layers[1].ID, window.ParentID)
			require.Equal(t, layers[3].Manifest.Digest, window.Manifest.Digest)
			require.Equal(t, []string{layers[2].ID, layers[3].ID}, window.Manifest.Covers)
			s.requireWhole()
			full := s.compacted(varve.Latest, varve.CompactOptions{})
			require.True(t, full.Full())
			require.Equal(t, layers[4].ID, full.Manifest.StandsFor)
			require.Equal(t, layers[4].Manifest.Digest, full.Manifest.Digest)
			s.requireWhole()
			require.NoError(t, s.backup(), "extends the full by the base of what that stands for")
			require.Equal(t, full.ID, s.last.ParentID)
			s.requireWhole()
		})
	}
}

// TestCompactAgain: what is compacted already is not compacted again, and nothing is written.
func TestCompactAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	require.NoError(t, s.backup())
	alone := s.last
	s.deepen()
	tip := s.last
	full, window := s.compacted(tip.ID, varve.CompactOptions{}), varve.CompactOptions{First: s.firstOf(tip)}
	part := s.compacted(tip.ID, window)
	require.NotEmpty(t, full.Manifest.Refers)
	keys := s.bucket.Keys()
	for _, tc := range []struct {
		from string
		opts varve.CompactOptions
		want *varve.Layer
	}{
		{tip.ID, varve.CompactOptions{}, full},
		{tip.Path, window, part},
		{part.ID, varve.CompactOptions{First: part.ID}, part},
		{varve.Latest, varve.CompactOptions{}, full},
		{"", varve.CompactOptions{}, full},
		{full.Path, varve.CompactOptions{First: full.ID}, full},
		{alone.ID, varve.CompactOptions{Rewrite: true}, alone},
		{tip.ID, varve.CompactOptions{First: tip.ID}, tip},
	} {
		got, err := s.collection().Compact(t.Context(), tc.from, &tc.opts)
		require.NoError(t, err)
		require.Equal(t, tc.want.LayerInfo, got.LayerInfo, "%s from %s", tc.from, tc.opts.First)
		require.Equal(t, keys, s.bucket.Keys())
	}
	again := s.compacted(full.ID, varve.CompactOptions{Rewrite: true})
	require.Empty(t, again.Manifest.Refers)
	require.Equal(t, full.ID, again.Manifest.StandsFor)
	s.requireAll()
}

// firstOf is the lowest incremental of a chain.
func (s *scene) firstOf(tip *varve.Layer) string {
	s.Helper()
	for tip.ParentID != tip.ChainID {
		var err error
		tip, err = s.collection().Layer(s.Context(), tip.ParentID)
		require.NoError(s, err)
	}
	return tip.ID
}

// TestCompactRefusals: what cannot be is told by its type, and nothing is written.
func TestCompactRefusals(t *testing.T) {
	t.Parallel()
	modes := modes(t)
	sealed := newScene(t, varve.BackupOptions{})
	sealed.keys = modes[1].keys
	require.NoError(t, sealed.backup())
	sealed.deepen()
	s := newScene(t, varve.BackupOptions{})
	require.NoError(t, s.backup())
	s.deepen()
	s.opts.Into = ""
	other := s.last
	require.NoError(t, s.backup())
	s.deepen()
	tip := s.last

	try := func(s *scene, keys []varve.Key, from string, opts varve.CompactOptions) error {
		before := s.bucket.Keys()
		_, err := s.collectionUnder(keys).Compact(t.Context(), from, &opts)
		require.Error(t, err)
		require.Equal(t, before, s.bucket.Keys())
		return err
	}
	var option *varve.OptionError
	for field, opts := range map[string]varve.CompactOptions{
		"Concurrency": {Concurrency: -1}, "TargetFileBytes": {TargetFileBytes: -1}, "BytesPerSecond": {BytesPerSecond: -1},
		"Compression": {Compression: 9}, "First": {First: other.ID},
	} {
		require.ErrorAs(t, try(s, nil, tip.ID, opts), &option)
		require.Equal(t, field, option.Field)
	}
	require.ErrorIs(t, try(s, nil, "nowhere", varve.CompactOptions{}), varve.ErrNoLayer)
	require.ErrorIs(t, try(s, nil, tip.ID, varve.CompactOptions{First: "nowhere"}), varve.ErrNoLayer)
	require.ErrorIs(t, try(sealed, nil, varve.Latest, varve.CompactOptions{}), varve.ErrNoKey)
	require.ErrorIs(t, try(sealed, sealed.keys[:1], varve.Latest, varve.CompactOptions{}), varve.ErrNoKey)
	require.ErrorIs(t, try(sealed, []varve.Key{modes[1].more, varve.Passphrase("another")}, varve.Latest, varve.CompactOptions{}), varve.ErrWrongKey)
	require.ErrorAs(t, try(sealed, sealed.keys[1:], varve.Latest, varve.CompactOptions{}), &option, "it opens only")

	parent, err := s.collection().Layer(t.Context(), tip.ChainID)
	require.NoError(t, err)
	s.bucket.Replace("retired/"+parent.ID, []byte("{}"))
	first := s.firstOf(tip)
	_, err = s.collection().Compact(t.Context(), tip.ID, &varve.CompactOptions{First: first})
	require.ErrorIs(t, err, varve.ErrConflict, "what is on its way out is not extended")
	full := s.compacted(tip.ID, varve.CompactOptions{})
	require.NotContains(t, full.Manifest.Refers, parent.ID, "nor referred to")
	s.bucket.Remove("retired/" + parent.ID)
	s.bucket.Remove("refs/" + parent.ID + "/" + full.ID)
	s.requireAll()
}
