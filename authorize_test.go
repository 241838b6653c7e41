package varve_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestAuthorizeRestore: each object is asked about once, as it will be named, before anything
// is written, and whoever may not restore the last one restores none.
func TestAuthorizeRestore(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	w.backup(varve.Cluster(w.store), varve.BackupOptions{})
	denied := errors.New("not for you")
	all := []string{
		"admin cluster ", "restore database bank", "restore table accounts", "restore table entries", "restore view rich",
		"restore database shop", "restore table orders", "restore database system", "restore system users",
	}
	for _, tc := range []struct {
		targets func(to *memkv.Store) varve.Targets
		opts    varve.RestoreOptions
		want    []string
	}{
		{targets: func(to *memkv.Store) varve.Targets { return varve.Databases(to, "shop") }, want: []string{"restore database shop", "restore table orders"}},
		{
			targets: func(to *memkv.Store) varve.Targets { return varve.Databases(to, "shop") },
			opts:    varve.RestoreOptions{Rename: []varve.Rename{{From: "shop", To: "store"}, {From: "shop.orders", To: "store.bills"}}},
			want:    []string{"restore database store", "restore table bills"},
		},
		{targets: func(to *memkv.Store) varve.Targets { return varve.Databases(to, "shop") }, opts: varve.RestoreOptions{SchemaOnly: true}, want: []string{"restore database shop", "restore table orders"}},
		{targets: func(to *memkv.Store) varve.Targets { return varve.Databases(to, "shop") }, opts: varve.RestoreOptions{VerifyOnly: true}, want: []string{"restore database shop", "restore table orders"}},
		{targets: func(to *memkv.Store) varve.Targets { return varve.Spans(to, tableSpans(usersID, 0)...) }, want: []string{`restore span ["008/0/", "008/00")`}},
		{targets: func(to *memkv.Store) varve.Targets { return varve.Cluster(to) }, want: all},
		{targets: func(to *memkv.Store) varve.Targets { return varve.Cluster(to) }, opts: varve.RestoreOptions{VerifyOnly: true}, want: all},
	} {
		for _, allowed := range []bool{false, true} {
			var asked []string
			to := w.empty()
			tc.opts.Authorize = func(_ context.Context, p varve.Privilege, o export.Object) error {
				asked = append(asked, p.String()+" "+o.Kind+" "+o.Name)
				require.Empty(t, stateOf(to))
				if len(asked) == len(tc.want) && !allowed {
					return denied
				}
				return nil
			}
			_, err := w.collection().Restore(t.Context(), tc.targets(to), &tc.opts)
			require.ElementsMatch(t, tc.want, asked)
			if allowed {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, denied)
			require.Empty(t, stateOf(to))
			require.Empty(t, objectsOf(t, to, export.Timestamp{}))
		}
	}
}

// TestMissingRightToRestore names the right, whichever object of the collection it is that
// may not be read, and nothing is restored.
func TestMissingRightToRestore(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	w.backup(varve.Cluster(w.store), varve.BackupOptions{})
	for kind, right := range map[faultblob.Kind]string{faultblob.Get: "read", faultblob.List: "list"} {
		for n := 0; ; n++ {
			left, hit := n, false
			w.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
				if op.Kind != kind {
					return faultblob.Fault{}
				}
				if left--; left < 0 {
					hit = true
					return faultblob.Fault{Kind: faultblob.Denied}
				}
				return faultblob.Fault{}
			})
			to := w.empty()
			_, err := w.collection().Restore(t.Context(), varve.Databases(to, "shop"), &varve.RestoreOptions{Concurrency: 1})
			if !hit {
				require.NoError(t, err)
				require.Positive(t, n)
				break
			}
			var access *varve.AccessError
			require.ErrorAs(t, err, &access, "%s, after %d", right, n)
			require.Equal(t, right, access.Right)
			require.Empty(t, stateOf(to))
		}
	}
	w.bucket.Inject(nil)
}
