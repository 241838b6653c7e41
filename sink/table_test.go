package sink_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, b, 0o600))
}

// kindsOf are the kinds of the points of a plain table, as they lie in it.
func kindsOf(t *testing.T, plain []byte) (kinds []pebble.InternalKeyKind) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table")
	writeFile(t, path, plain)
	file, err := vfs.Default.Open(path)
	require.NoError(t, err)
	readable, err := sstable.NewSimpleReadable(file)
	require.NoError(t, err)
	r, err := sstable.NewReader(t.Context(), readable, sstable.ReaderOptions{})
	require.NoError(t, err)
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	require.NoError(t, err)
	for kv := it.First(); kv != nil; kv = it.Next() {
		kinds = append(kinds, kv.Kind())
	}
	require.NoError(t, it.Close())
	require.NoError(t, r.Close())
	return kinds
}
