package varve_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// BenchmarkSealed compares a full backup that is sealed with one that is not, in turn, and
// so a restore of each.
func BenchmarkSealed(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	keys := []varve.Key{varve.Passphrase("a passphrase")}
	for _, d := range datasets {
		for name, compression := range map[string]varve.Compression{"zstd": varve.CompressZstd, "raw": varve.CompressNone} {
			b.Run(d.name+"/"+name, func(b *testing.B) {
				db, store := d.open(b)
				scan(b, db) // warm
				dir := filepath.Join(b.TempDir(), "collection")
				take := func(keys []varve.Key) time.Duration {
					defer func() { require.NoError(b, os.RemoveAll(dir)) }()
					return timed(func() {
						backupTo(b, store, dir, varve.BackupOptions{Compression: compression, Collection: &varve.CollectionOptions{Encryption: keys}})
					})
				}
				var plain, sealed []time.Duration
				for b.Loop() {
					for range *benchRounds {
						plain, sealed = append(plain, take(nil)), append(sealed, take(keys))
					}
				}
				b.ReportMetric(median(sealed).Seconds()/median(plain).Seconds(), "×unsealed")
			})
		}
	}
}
