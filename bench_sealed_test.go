package varve_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// BenchmarkSealed compares full backups that are sealed with one that is not, in turn: for
// a public key, which costs what its ciphers do, and with a passphrase, whose guessing is
// made slow once a backup, however large.
func BenchmarkSealed(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	own, err := age.GenerateX25519Identity()
	require.NoError(b, err)
	public, passphrase := []varve.Key{varve.Recipient(own.Recipient().String())}, []varve.Key{varve.Passphrase("a passphrase")}
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
				var plain, toPublic, withPassphrase []time.Duration
				for b.Loop() {
					for range *benchRounds {
						plain, toPublic, withPassphrase = append(plain, take(nil)), append(toPublic, take(public)), append(withPassphrase, take(passphrase))
					}
				}
				over := func(times []time.Duration) float64 { return median(times).Seconds() / median(plain).Seconds() }
				b.ReportMetric(over(toPublic), "×unsealed/public")
				b.ReportMetric(over(withPassphrase), "×unsealed/passphrase")
				b.ReportMetric((median(withPassphrase) - median(toPublic)).Seconds(), "s/passphrase")
			})
		}
	}
}
