package varve_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

func TestFullBackupAndRestore(t *testing.T) {
	t.Parallel()
	for _, single := range []bool{true, false} {
		t.Run(fmt.Sprintf("single=%t", single), func(t *testing.T) {
			t.Parallel()
			opts := &memkv.Options{SingleRevision: single, PartitionBytes: 4 << 10}
			src, err := memkv.New(opts)
			require.NoError(t, err)
			fill(src, 2000, 1)

			c := collectionIn(t, faultblob.New(t, nil), nil)
			layer, err := c.Backup(t.Context(), varve.Cluster(src), &varve.BackupOptions{TargetFileBytes: 16 << 10, Audit: true})
			require.NoError(t, err)
			require.Greater(t, layer.Stats.Files, int64(3))

			for level := varve.VerifyExists; level <= varve.VerifyRehearsal; level++ {
				scratch, err := memkv.New(opts)
				require.NoError(t, err)
				report, err := c.Verify(t.Context(), varve.Latest, &varve.VerifyOptions{Level: level, Scratch: scratch})
				require.NoError(t, err, level)
				require.Equal(t, layer.Stats.Files, report.Files)
			}
			dst, err := memkv.New(opts)
			require.NoError(t, err)
			restored, err := c.Restore(t.Context(), varve.Cluster(dst), nil)
			require.NoError(t, err)
			require.Equal(t, varve.ProofDigest, restored.Proof)
			requireSameState(t, src, dst, varve.Span{})
		})
	}
}
