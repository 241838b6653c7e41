package varve_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// BenchmarkCompact compacts a full and four incrementals of one changed row in a hundred, at random
// or in a row: all of it again, what was changed alone, and the incrementals. It compares with a full
// backup of the database.
func BenchmarkCompact(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	d := datasets[0]
	db, store := d.open(b)
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for _, c := range []change{changesOfRows[1], changesOfRows[4]} {
		dir := filepath.Join(b.TempDir(), c.name)
		opts := varve.BackupOptions{TargetFileBytes: 16 << 20, NoBase: true}
		full := backupTo(b, store, dir, opts)
		opts.Into, opts.NoBase = varve.Latest, false
		tip := full
		for range 4 {
			d.update(b, db, c, rng)
			tip = backupTo(b, store, dir, opts)
		}
		chain, err := openDir(b, dir).Resolve(b.Context(), tip.ID, varve.Timestamp{})
		require.NoError(b, err)
		for _, way := range []struct {
			name string
			opts varve.CompactOptions
		}{{"shared", varve.CompactOptions{}}, {"again", varve.CompactOptions{Rewrite: true}}, {"window", varve.CompactOptions{First: chain.Layers[1].ID}}} {
			b.Run(c.name+"/"+way.name, func(b *testing.B) {
				opts := way.opts
				opts.TargetFileBytes = 16 << 20
				var layer *varve.Layer
				var took, fresh time.Duration
				var memory int64
				for n := 0; b.Loop(); n++ {
					if n > 0 {
						b.Fatal("what is compacted once is compacted: -benchtime 1x")
					}
					fresh = timed(func() {
						backupTo(b, store, filepath.Join(b.TempDir(), "fresh"), varve.BackupOptions{TargetFileBytes: 16 << 20, NoBase: true})
					})
					memory = peak(func() {
						took = timed(func() {
							layer, err = openDir(b, dir).Compact(b.Context(), tip.ID, &opts)
							require.NoError(b, err)
						})
					})
				}
				b.ReportMetric(took.Seconds()/fresh.Seconds(), "×full")
				b.ReportMetric(float64(layer.Stats.LogicalBytes)/1e6/took.Seconds(), "MB/s")
				b.ReportMetric(float64(layer.Stats.StoredBytes)/1e6, "stored-MB")
				b.ReportMetric(float64(layer.Stats.SharedBytes)/1e6, "shared-MB")
				b.ReportMetric(float64(layer.Stats.Requests), "requests")
				b.ReportMetric(float64(memory)/(1<<20), "peak-MiB")
			})
		}
	}
}

func openDir(b *testing.B, dir string) *varve.Collection {
	c, err := varve.OpenCollection(b.Context(), "file://"+dir, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, c.Close()) })
	return c
}
