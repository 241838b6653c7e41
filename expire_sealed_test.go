package varve_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// sealedArchive is an archive that seals what it writes, and whoever expires it has no key.
func sealedArchive(t testing.TB) (a *archive, key varve.Key) {
	a, key = newArchive(t), pairsOfKeys(t)[1].writer
	a.keys = []varve.Key{key}
	return a, key
}

// blind does something without a key.
func (a *archive) blind(do func()) {
	keys := a.keys
	a.keys = nil
	defer func() { a.keys = keys }()
	do()
}

// requireNothingAt wants no object at the paths of layers, but those of layers below them.
func (a *archive) requireNothingAt(layers ...*varve.Layer) {
	a.Helper()
	for _, key := range a.bucket.Keys() {
		for _, l := range layers {
			rest, at := strings.CutPrefix(key, l.Path+"/")
			first, _, _ := strings.Cut(rest, "/")
			require.False(a, at && !strings.HasPrefix(first, "2026"), "%s is left", key)
		}
	}
}

// TestExpireSealed: expiry sees what sealed layers show, and needs no key: it counts them
// by their targets, keeps what others need, and leaves nothing of what goes.
func TestExpireSealed(t *testing.T) {
	t.Parallel()
	a, key := sealedArchive(t)
	n := a.nights(9) // fulls are 0, 4 and 8
	require.NoError(t, a.collection().AddKey(t.Context(), n[2].ID, pairsOfKeys(t)[0].writer))
	policy := varve.Policy{KeepLast: 2}
	a.blind(func() {
		plan := a.plan(policy)
		require.Len(t, plan.Drops(), 4)
		for _, pt := range plan.Points {
			require.NotZero(t, pt.StoredBytes)
		}
		_, why := fateOf(plan, n[4])
		require.Contains(t, why, "needed by")
		require.Len(t, a.settle(policy).Expired, 4)
		a.requireNothingOf(n[:4]...)
		a.requireNothingAt(n[:4]...)
	})
	a.requireExactly(n[4:]...)

	// What is added while it goes, and so is found by nobody, is swept later.
	late := n[1].Path + "/keys/" + strings.Repeat("7", 32)
	a.bucket.Replace(late, []byte("{}"))
	a.blind(func() {
		_, err := a.expire(policy)
		require.NoError(t, err)
		require.Contains(t, a.bucket.Keys(), late, "it is young")
		require.Empty(t, a.plan(policy).Odd)
		a.wait(25 * time.Hour)
		_, err = a.expire(policy)
		require.NoError(t, err)
		require.NotContains(t, a.bucket.Keys(), late)
	})
	a.keys = []varve.Key{key}
	a.requireExactly(n[4:]...)
}

// TestSealedLabels: a label that cannot be seen keeps its layer, and is shown to nobody.
func TestSealedLabels(t *testing.T) {
	t.Parallel()
	a, _ := sealedArchive(t)
	a.opts.Labels = map[string]string{"release": "hush-hush"}
	first := a.layer(time.Hour, "")
	a.opts.Labels = nil
	rest := []*varve.Layer{a.layer(time.Hour, ""), a.layer(time.Hour, "")}
	policy := varve.Policy{KeepLast: 1, KeepLabels: map[string]string{"release": "hush-hush"}}
	a.blind(func() {
		plan := a.plan(policy)
		require.Empty(t, plan.Drops())
		_, why := fateOf(plan, rest[0])
		require.Contains(t, why, "labels are not known")
		require.Len(t, a.plan(varve.Policy{KeepLast: 1}).Drops(), 2, "where nobody asks for labels they matter to none")
	})
	plan := a.plan(policy)
	require.Equal(t, []varve.LayerInfo{rest[0].LayerInfo}, plan.Drops())
	_, why := fateOf(plan, first)
	require.Equal(t, "label release=hush-hush", why)
	a.settle(policy)
	for _, key := range a.bucket.Keys() {
		require.False(t, bytes.Contains(a.bucket.Read(key), []byte("hush-hush")), key)
	}
	a.requireExactly(first, rest[1])
}

// TestNamedTargetsAreCounted by their names, whatever is in them, sealed or not.
func TestNamedTargetsAreCounted(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]varve.Key{nil, {pairsOfKeys(t)[1].writer}} {
		w := newTown(t, memkv.Options{})
		w.bucket = faultblob.New(t, &faultblob.Options{Now: func() time.Time { return *w.now }})
		now := func() time.Time { return *w.now }
		with := collectionIn(t, w.bucket, &varve.CollectionOptions{Now: now, Encryption: keys})
		backup := func(targets varve.Targets) *varve.Layer {
			*w.now = w.now.Add(time.Hour)
			layer, err := with.Backup(t.Context(), targets, nil)
			require.NoError(t, err)
			return layer
		}
		old := backup(w.databases("bank"))
		shop := backup(w.databases("shop"))
		table := backup(w.tables("shop.orders"))
		_, err := w.store.PutObjects(export.Object{ID: 21, Parent: bankID, Kind: export.TableObject, Name: "late", Spans: tableSpans(21, 0)})
		require.NoError(t, err)
		newest := backup(w.databases("bank"))
		blind := collectionIn(t, w.bucket, &varve.CollectionOptions{Now: now})
		plan, err := blind.PlanExpire(t.Context(), varve.Policy{KeepLast: 1})
		require.NoError(t, err)
		require.Equal(t, []varve.LayerInfo{old.LayerInfo}, plan.Drops(), "another table is in the same database")
		for _, l := range []*varve.Layer{shop, table, newest} {
			keep, _ := fateOf(plan, l)
			require.True(t, keep)
		}
	}
}
