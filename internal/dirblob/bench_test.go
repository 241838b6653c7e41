package dirblob_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/varvekv/varve/internal/dirblob"
)

const (
	benchFiles     = 8
	benchFileBytes = 64 << 20
)

// BenchmarkWrite writes files one after the other, synced, without this package
// and with it.
func BenchmarkWrite(b *testing.B) {
	body := make([]byte, benchFileBytes)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	b.Run("file", func(b *testing.B) {
		benchmark(b, func(dir, name string) {
			f, err := os.Create(filepath.Join(dir, name))
			require.NoError(b, err)
			_, err = io.Copy(f, bytes.NewReader(body))
			require.NoError(b, err)
			require.NoError(b, f.Sync())
			require.NoError(b, f.Close())
		})
	})
	b.Run("bucket", func(b *testing.B) {
		opts := &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: true}
		benchmark(b, func(dir, name string) {
			bucket, err := dirblob.Open(dir, nil)
			require.NoError(b, err)
			require.NoError(b, bucket.Upload(b.Context(), name, bytes.NewReader(body), opts))
			require.NoError(b, bucket.Close())
		})
	})
}

func benchmark(b *testing.B, write func(dir, name string)) {
	b.SetBytes(benchFiles * benchFileBytes)
	b.ReportAllocs()
	for b.Loop() {
		dir := b.TempDir()
		for i := range benchFiles {
			write(dir, fmt.Sprint(i))
		}
		b.StopTimer()
		require.NoError(b, os.RemoveAll(dir))
		b.StartTimer()
	}
}
