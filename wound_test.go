package varve

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// watched counts how often a restore came as far as the destination.
type watched struct {
	export.Store
	ingests *atomic.Int64
}

func (w watched) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	w.ingests.Add(1)
	return w.Store.Ingest(ctx, opts)
}

// fourLayers is a chain of which the top introduces a span.
func fourLayers(t *testing.T) *strata {
	t.Helper()
	s := newStrata(t, 5)
	for range 3 {
		s.write(150)
		s.lay(keys(0, 40))
	}
	s.write(60)
	s.lay(keys(0, 60))
	return s
}

// wounds are what can happen to the objects of a layer.
var wounds = map[string]func(*strata, *Manifest){
	"manifest gone":    func(s *strata, m *Manifest) { s.faults.Remove(manifestObject(m.Path)) },
	"manifest damaged": func(s *strata, m *Manifest) { s.faults.Flip(manifestObject(m.Path), 8*200) },
	"manifest void":    func(s *strata, m *Manifest) { s.void(m.info()) },
	"manifest of others": func(s *strata, m *Manifest) {
		s.faults.Replace(manifestObject(m.Path), s.faults.Read(manifestObject("layer/9")))
	},
	"list gone":    func(s *strata, m *Manifest) { s.faults.Remove(fileListObject(m.Path)) },
	"list damaged": func(s *strata, m *Manifest) { s.faults.Flip(fileListObject(m.Path), 8*20) },
	"list cut":     func(s *strata, m *Manifest) { s.faults.Truncate(fileListObject(m.Path), 50) },
	"table gone":   func(s *strata, m *Manifest) { s.faults.Remove(s.tables(m)[0]) },
	"table cut":    func(s *strata, m *Manifest) { s.faults.Truncate(s.tables(m)[0], 50) },
}

// tables are the files of a layer.
func (s *strata) tables(m *Manifest) []string {
	var out []string
	for _, key := range s.faults.Keys() {
		if strings.HasPrefix(key, m.Path+"/data/") {
			out = append(out, key)
		}
	}
	require.NotEmpty(s, out)
	return out
}

// TestWoundedChains: what is missing or damaged anywhere in a chain is found before
// the destination is touched, and what lies below it can be restored.
func TestWoundedChains(t *testing.T) {
	t.Parallel()
	for name, wound := range wounds {
		for at := range 4 {
			t.Run(fmt.Sprintf("%s in layer %d", name, at), func(t *testing.T) {
				t.Parallel()
				s := fourLayers(t)
				s.manifest(layerAt(9, none, 999), nil)
				wound(s, s.layers[at])
				for n, m := range s.layers {
					if n < at {
						s.restoreAll(n, RestoreOptions{})
						continue
					}
					for _, d := range s.destinations() {
						var ingests atomic.Int64
						_, err := s.c.Restore(t.Context(), Spans(watched{d.store, &ingests}, m.Spans...), &RestoreOptions{From: m.Path})
						require.Error(t, err)
						require.Zero(t, ingests.Load(), "layer %d into %s", n, d.name)
						require.ErrorContains(t, err, s.layers[at].Path)
					}
					for level := VerifyExists; level <= VerifyDigest; level++ {
						_, err := s.c.Verify(t.Context(), m.Path, &VerifyOptions{Level: level})
						if name == "table cut" && level == VerifyExists {
							require.NoError(t, err)
							continue
						}
						require.ErrorContains(t, err, s.layers[at].Path, level)
					}
				}
			})
		}
	}
}

// TestVerifyReportsTheWholeChain: what is wrong with one layer does not hide what is
// wrong with another.
func TestVerifyReportsTheWholeChain(t *testing.T) {
	t.Parallel()
	s := fourLayers(t)
	table, other := s.tables(s.layers[3])[0], s.tables(s.layers[0])[0]
	s.faults.Flip(table, 8*30)
	s.faults.Remove(other)
	s.faults.Remove(fileListObject(s.layers[1].Path))
	for level, objects := range map[VerifyLevel][]string{
		VerifyExists: {other, fileListObject(s.layers[1].Path)},
		VerifyHash:   {other, fileListObject(s.layers[1].Path), table},
		VerifyDigest: {other, fileListObject(s.layers[1].Path), table},
	} {
		report, err := s.c.Verify(t.Context(), s.layers[3].Layer, &VerifyOptions{Level: level})
		require.Len(t, report.Problems, len(objects), "%v", err)
		for _, object := range objects {
			require.ErrorContains(t, err, object)
		}
	}
	s.faults.Remove(manifestObject(s.layers[2].Path))
	report, err := s.c.Verify(t.Context(), s.layers[3].Layer, nil)
	require.ErrorIs(t, err, ErrNoLayer)
	for _, object := range []string{other, table, s.layers[2].Path, fileListObject(s.layers[1].Path)} {
		require.ErrorContains(t, err, object)
	}
	require.Len(t, report.Problems, 4)
	require.Len(t, report.Chain, 3)
}
