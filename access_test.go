package varve_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestMissingRight: a right that is missing is named before the store is read.
func TestMissingRight(t *testing.T) {
	t.Parallel()
	for kind, right := range map[faultblob.Kind]string{faultblob.Get: "read", faultblob.Put: "write", faultblob.List: "list"} {
		for _, history := range []bool{false, true} {
			for _, into := range []string{"", varve.Latest} {
				w := newTown(t, memkv.Options{SingleRevision: !history})
				if into != "" {
					w.backup(varve.Cluster(w.store), varve.BackupOptions{})
				}
				before := len(w.bucket.Keys())
				w.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
					if op.Kind == kind {
						return faultblob.Fault{Kind: faultblob.Denied}
					}
					return faultblob.Fault{}
				})
				exported := false
				_, err := w.collection().Backup(t.Context(), varve.Cluster(w.store), &varve.BackupOptions{
					Into: into, Events: &varve.Events{Progress: func(i varve.ProgressInfo) { exported = exported || i.Phase == varve.PhaseExport }},
				})
				var access *varve.AccessError
				require.ErrorAs(t, err, &access, "%s, history %v, into %q", right, history, into)
				require.Equal(t, right, access.Right)
				require.False(t, exported)
				w.bucket.Inject(nil)
				require.Len(t, w.bucket.Keys(), before, "nothing was written")
			}
		}
	}
}
