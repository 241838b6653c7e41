package varve_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
)

// frozenSealedV1 is a chain as format 1 seals it: the full for a passphrase, incrementals
// for a public key and a keeper, and the last for all of them; the key of the passphrase was
// added to the second.
const frozenSealedV1 = "testdata/collections/v1-sealed"

// These keys seal nothing but the frozen collection.
const (
	frozenPassphrase = "a passphrase that everybody knows"
	frozenRecipient  = "age1ev3xt54dqvsy094v0tgpp3kr044s336980jcaw9ka90jtkc3vdgqcm8u6k"
	frozenIdentity   = "AGE-SECRET-KEY-12EW3DPRD5K5G7MFCHEFFRG0SYR7G8UVJERVY386E98DY7JRU5AKSAUXWHM"
	frozenKeeper     = "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="
)

func frozenSealedURL(t *testing.T) string {
	t.Helper()
	return thawed(t, frozenSealedV1)
}

func frozenKeys() (all []varve.Key, sealers [][]varve.Key) {
	passphrase, recipient, keeper := varve.Passphrase(frozenPassphrase), varve.Recipient(frozenRecipient), varve.KMS(frozenKeeper)
	all = []varve.Key{passphrase, varve.Identity(frozenIdentity), keeper}
	return all, [][]varve.Key{{passphrase}, {recipient}, {keeper}, {passphrase, recipient, keeper}}
}

func frozenSealedListing(n int) string {
	return filepath.FromSlash(fmt.Sprintf("%s.%d.txt", frozenSealedV1, n))
}

// TestFreezeSealed writes the collection, once.
func TestFreezeSealed(t *testing.T) {
	if !*freeze {
		t.Skip("only with -freeze")
	}
	_, err := os.Stat(frozenSealedV1)
	require.ErrorIs(t, err, fs.ErrNotExist, "it is frozen")
	at := time.Date(2026, 11, 24, 6, 31, 59, 370_000_000, time.UTC)
	now := func() time.Time { return at }
	s := newStore(t, &memkv.Options{SingleRevision: true, PartitionBytes: 2 << 10, Now: now, Lineage: fmt.Sprintf("%032x", 7)})
	rng := rand.New(rand.NewPCG(5, 5))
	all, sealers := frozenKeys()
	steps := frozenSteps()
	opts := varve.BackupOptions{TargetFileBytes: 2 << 10, Name: "sealed", Labels: map[string]string{"label": "secret"}}
	for i, keys := range sealers {
		at = at.Add(time.Hour)
		steps[i].change(s, rng)
		if i == 3 {
			keys = append(keys, all...) // all others are blind
		}
		opts.Collection = &varve.CollectionOptions{Now: now, Encryption: keys}
		_, err := varve.Backup(t.Context(), varve.Cluster(s), frozenSealedURL(t), &opts)
		require.NoError(t, err)
		opts.Name, opts.Into = "", "sealed"
		require.NoError(t, os.WriteFile(frozenSealedListing(i), []byte((&frozenLayer{}).state(s)), 0o644))
	}
	c, err := varve.OpenCollection(t.Context(), frozenSealedURL(t), &varve.CollectionOptions{Now: now, Encryption: all})
	require.NoError(t, err)
	require.NoError(t, c.AddKey(t.Context(), varve.Latest, all[0]))
	require.NoError(t, c.Close())
	require.NoError(t, os.Remove(filepath.Join(frozenSealedV1, ".varve-tmp")))
}

// TestFrozenSealedV1 reads, where it lies, what the first version that sealed layers wrote.
func TestFrozenSealedV1(t *testing.T) {
	t.Parallel()
	at := frozenSealedURL(t)
	all, sealers := frozenKeys()
	for name, keys := range map[string][]varve.Key{"all": all, "passphrase": all[:1]} {
		c, err := varve.OpenCollection(t.Context(), at, &varve.CollectionOptions{Encryption: keys})
		require.NoError(t, err)
		var layers []varve.LayerInfo
		for info, err := range c.Layers(t.Context()) {
			require.NoError(t, err)
			layers = append([]varve.LayerInfo{info}, layers...)
		}
		require.Len(t, layers, len(sealers))
		for i, l := range layers {
			want, err := os.ReadFile(frozenSealedListing(i))
			require.NoError(t, err)
			_, err = c.Verify(t.Context(), l.ID, &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: newStore(t, &memkv.Options{SingleRevision: true})})
			require.NoError(t, err, name)
			dst := newStore(t, &memkv.Options{SingleRevision: true})
			restored, err := c.Restore(t.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: l.ID})
			require.NoError(t, err, name)
			require.Equal(t, varve.ProofDigest, restored.Proof)
			require.Equal(t, string(want), (&frozenLayer{}).state(dst))
			layer, err := c.Layer(t.Context(), l.Path)
			require.NoError(t, err)
			require.Equal(t, "secret", layer.Manifest.Labels["label"])
		}
		require.NoError(t, c.Close())
	}
	c, err := varve.OpenCollection(t.Context(), at, &varve.CollectionOptions{Encryption: all[2:]})
	require.NoError(t, err)
	layer, err := c.Layer(t.Context(), varve.Latest)
	require.NoError(t, err)
	require.NotEmpty(t, layer.Manifest.Labels, "its key opens the last layer")
	_, err = c.Restore(t.Context(), varve.Cluster(newStore(t, &memkv.Options{SingleRevision: true})), nil)
	require.ErrorIs(t, err, varve.ErrWrongKey, "and not the first")
	require.NoError(t, c.Close())
	requireUntouched(t, frozenSealedV1, at)
}
