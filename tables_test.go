package varve

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
)

// TestFullOfTables: the bottom of a store is copied as it is, what lies over it comes
// above, and what follows such a full finds what has changed since, by the store's
// account or by the chain's.
func TestFullOfTables(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version pebble.FormatMajorVersion
		format  string
	}{
		"rows":    {pebble.FormatVirtualSSTables, "pebble.v4"},
		"columns": {pebble.FormatNewest, "pebble.v7"},
	} {
		for _, noDigest := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, digest %t", name, !noDigest), func(t *testing.T) {
				t.Parallel()
				s := newSettled(t, &pebble.Options{FormatMajorVersion: test.version, DisableAutomaticCompactions: true})
				s.opts.NoDigest = noDigest
				s.change()
				full, state := s.backup(s.store, "", s.opts)
				tables, others := s.copied(full)
				require.Greater(t, len(tables), 5)
				require.NotEmpty(t, others)
				upper := 0
				for _, f := range tables {
					require.Equal(t, test.format, f.Format)
					require.Equal(t, "pebble.concatenate", f.Merger)
				}
				for _, f := range others {
					upper += f.Tier
				}
				require.NotZero(t, upper, "what lies over tables is in tier 1")
				requireLinked(t, test.format, len(tables), s.prove(full, state))

				s.opts.NoBase = true
				s.change()
				second, state := s.backup(s.store, Latest, s.opts)
				require.Equal(t, Checkpoints, second.Stats.Changes)
				s.prove(second, state)

				s.change()
				s.compact()
				third, state := s.backup(s.store, Latest, s.opts)
				require.Equal(t, FromChain, third.Stats.Changes)
				s.prove(third, state)
			})
		}
	}
}

// requireLinked wants tables of a format linked where it and their merger are known.
func requireLinked(t *testing.T, format string, n int, beds map[string]*bed) {
	t.Helper()
	for name, b := range beds {
		if b.overseen == nil {
			continue
		}
		linked := 0
		for _, table := range b.tables {
			if table.Format == format {
				linked++
			}
		}
		if name == "a directory of the newest format" {
			require.Equal(t, n, linked, name)
		}
		if name == "a directory of the least format" || name == "a directory with an unknown merger" {
			require.Zero(t, linked, name)
			require.NotZero(t, b.loads, name)
		}
	}
}

// TestCompactedIsCopied: where nothing lies over the tables there is no upper tier.
func TestCompactedIsCopied(t *testing.T) {
	t.Parallel()
	s := newSettled(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest})
	full, state := s.backup(s.store, "", s.opts)
	tables, others := s.copied(full)
	require.NotEmpty(t, tables)
	require.Empty(t, others)
	require.Equal(t, int64(settledKeys), full.Stats.Keys)
	s.prove(full, state)
}

// TestSingleDeleteOverTables: a key that was written again, and lies in a table that was
// copied and over it, is gone for good when it is deleted as one that was set once.
func TestSingleDeleteOverTables(t *testing.T) {
	t.Parallel()
	s := newSettled(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, DisableAutomaticCompactions: true})
	for i := range 20 {
		s.set(7*i, "again")
	}
	full, state := s.backup(s.store, "", s.opts)
	tables, others := s.copied(full)
	require.NotEmpty(t, tables)
	require.NotEmpty(t, others)
	fs := vfs.NewMem()
	o := &pebble.Options{FS: fs, Logger: silent{}, FormatMajorVersion: pebble.FormatNewest}
	dir := &overseen{Store: pebblekv.Dir("new", &pebblekv.Options{Pebble: o})}
	_, err := s.c.Restore(t.Context(), Cluster(dir), nil)
	require.NoError(t, err)
	require.Zero(t, dir.loads)
	requireUncovered(t, fs, state)
}

// TestWorthCopying: a table whose blocks are compressed is larger than the same
// entries in compressed frames; one that does not shrink is as small.
func TestWorthCopying(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		compression Compression
		text        bool
		copied      bool
	}{{CompressNone, true, true}, {CompressNone, false, true}, {CompressZstd, true, false}, {CompressZstd, false, true}} {
		t.Run(fmt.Sprintf("%d, text %t", test.compression, test.text), func(t *testing.T) {
			t.Parallel()
			s := newSettled(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest})
			for i := range settledKeys {
				value := fmt.Sprintf("%d times the same text, the same text, the same text, the same text", i)
				if !test.text {
					value = string(noise(s.rng, 200))
				}
				s.set(i, value)
			}
			s.compact()
			s.opts.Compression = test.compression
			full, state := s.backup(s.store, "", s.opts)
			tables, others := s.copied(full)
			if test.copied {
				require.NotEmpty(t, tables)
				require.Empty(t, others)
			} else {
				require.LessOrEqual(t, len(tables), 1, "the last one may be small, and mostly what every table has")
				require.NotEmpty(t, others)
			}
			s.prove(full, state)
		})
	}
}

func noise(rng *rand.Rand, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rng.Uint32())
	}
	return out
}

// TestSpansOfTables: targets cut tables, and what they cut is not copied.
func TestSpansOfTables(t *testing.T) {
	t.Parallel()
	s := newSettled(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, DisableAutomaticCompactions: true})
	s.change()
	spans := []Span{{Start: settledKey(133), End: settledKey(377)}, {Start: settledKey(511)}}
	layer, err := s.c.Backup(s.Context(), Spans(s.store, spans...), &s.opts)
	require.NoError(t, err)
	state, err := contentOf(t.Context(), s.store)
	require.NoError(t, err)
	tables, _ := s.copied(layer)
	require.NotEmpty(t, tables)
	for _, f := range tables {
		require.True(t, slices.ContainsFunc(spans, func(span Span) bool { return span.Covers(nil, f.Span) }), f.Span)
	}
	_, err = s.c.Verify(t.Context(), layer.ID, &VerifyOptions{Level: VerifyDigest})
	require.NoError(t, err)
	dst, err := memkv.New(&memkv.Options{SingleRevision: true})
	require.NoError(t, err)
	_, err = s.c.Restore(t.Context(), Spans(dst, spans...), &RestoreOptions{From: layer.ID, Prove: true})
	require.NoError(t, err)
	got, err := contentOf(t.Context(), dst)
	require.NoError(t, err)
	require.Equal(t, stateIn(state, spans...), got)
}
