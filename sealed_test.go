package varve_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	_ "gocloud.dev/secrets/localsecrets"

	"github.com/varvekv/varve"
)

// pair is the key of a writer and that of a reader.
type pair struct {
	name          string
	writer        varve.Key
	reader, wrong varve.Key
}

func pairsOfKeys(t testing.TB) []pair {
	own, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	other, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	passphrase := varve.Passphrase("correct horse battery staple")
	kms := varve.KMS("base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=")
	return []pair{
		{"passphrase", passphrase, passphrase, varve.Passphrase("wrong horse")},
		{"kms", kms, kms, varve.KMS("base64key://")},
		{"recipient", varve.Recipient(own.Recipient().String()), varve.Identity(own.String()), varve.Identity(other.String())},
		{"hybrid recipient", varve.Recipient(other.Recipient().String()), varve.Identity(other.String()), varve.Identity(own.String())},
	}
}

// sealedScene is a scene of a full and three incrementals that are sealed for a key: the
// last of them without a base, unless the writer is blind.
func sealedScene(t testing.TB, opts varve.BackupOptions, writer, reader varve.Key) *scene {
	s := newScene(t, opts)
	s.keys = []varve.Key{writer}
	require.NoError(t, s.backup())
	s.opts.Into = varve.Latest
	for i := range 2 {
		s.change(uint64(i) + 1)
		require.NoError(t, s.backup())
	}
	s.keys = []varve.Key{reader}
	return s
}

func TestSealedChains(t *testing.T) {
	t.Parallel()
	for _, p := range pairsOfKeys(t) {
		for name, opts := range map[string]varve.BackupOptions{
			"": {}, " with history": {RevisionHistory: true}, " without digests": {NoDigest: true}, " uncompressed": {Compression: varve.CompressNone},
		} {
			t.Run(p.name+name, func(t *testing.T) {
				t.Parallel()
				s := sealedScene(t, opts, p.writer, p.reader)
				if opts.NoDigest {
					for id := range s.states {
						require.NoError(t, s.restore(s.newStore(), id))
					}
				} else {
					s.requireWhole()
				}
				requireHidden(t, s, opts)
				for keys, want := range map[*varve.Key]error{nil: varve.ErrNoKey, &p.wrong: varve.ErrWrongKey} {
					s.keys = nil
					if keys != nil {
						s.keys = []varve.Key{*keys}
					}
					for id := range s.states {
						require.ErrorIs(t, s.restore(s.newStore(), id), want)
						_, err := s.collection().Verify(t.Context(), id, &varve.VerifyOptions{Level: varve.VerifyOrder})
						require.ErrorIs(t, err, want)
						_, err = s.collection().Verify(t.Context(), id, nil)
						require.NoError(t, err, "hashes need no key")
					}
					s.requireListed()
				}
			})
		}
	}
}

// requireHidden wants nothing of the store in the bucket.
func requireHidden(t testing.TB, s *scene, opts varve.BackupOptions) {
	t.Helper()
	for _, name := range s.bucket.Keys() {
		body := s.bucket.Read(name)
		for _, secret := range []string{"key-0", "value", "correct horse", "a2V5LT"} { // also "key-" in base64
			require.False(t, bytes.Contains(body, []byte(secret)), "%s shows %q", name, secret)
		}
		if opts.Compression != varve.CompressNone && strings.HasSuffix(name, ".sst") && !strings.HasSuffix(name, "objects.sst") {
			require.True(t, bytes.HasPrefix(body, []byte("varve sealed v1\n")), name)
		}
	}
}

// TestBlindWriter: whoever only has public keys can append, as long as its store can tell
// what changed.
func TestBlindWriter(t *testing.T) {
	t.Parallel()
	p := pairsOfKeys(t)[2]
	s := sealedScene(t, varve.BackupOptions{}, p.writer, p.reader)
	require.NotNil(t, s.last.Manifest.Digest)
	require.Equal(t, varve.DigestScan, s.last.Manifest.Digest.Source, "the parent's digest could not be updated")

	s.keys = []varve.Key{p.writer}
	s.opts.NoBase = true
	require.NoError(t, s.backup())
	err := s.attempt(t.Context())
	require.ErrorIs(t, err, varve.ErrNoKey, "without a base it would have to read the chain")
	require.ErrorContains(t, err, "take a full")

	s.opts.NoBase, s.opts.Into = false, ""
	require.NoError(t, s.backup())
	s.opts.Into, s.spans = varve.Latest, []varve.Span{span("key-00001", "key-00005")}
	err = s.attempt(t.Context())
	require.ErrorIs(t, err, varve.ErrNoKey, "of other targets it cannot know what the parent has")
	require.ErrorContains(t, err, "take a full")
	s.keys = []varve.Key{p.writer, p.reader}
	require.NoError(t, s.backup())
	s.requireWhole()
}

func TestSealedCollectionTakesNothingElse(t *testing.T) {
	t.Parallel()
	p := pairsOfKeys(t)[2]
	s := sealedScene(t, varve.BackupOptions{}, p.writer, p.reader)
	for _, into := range []string{"", varve.Latest} {
		s.opts.Into = into
		s.keys = nil
		require.ErrorIs(t, s.attempt(t.Context()), varve.ErrNoKey)
		s.keys = []varve.Key{p.reader}
		var option *varve.OptionError
		require.ErrorAs(t, s.attempt(t.Context()), &option)
		require.Equal(t, "Encryption", option.Field)
	}
	s.requireWhole()
}

// TestKeysOfAPlainCollection: layers that are sealed may follow such that are not.
func TestKeysOfAPlainCollection(t *testing.T) {
	t.Parallel()
	p := pairsOfKeys(t)[0]
	s := backedUp(t)
	s.opts.Into, s.keys = varve.Latest, []varve.Key{p.writer}
	for range 2 {
		s.change(1)
		require.NoError(t, s.backup())
	}
	s.requireWhole()
	s.keys = nil
	require.ErrorIs(t, s.attempt(t.Context()), varve.ErrNoKey, "the parent is sealed")
	s.opts.Into = ""
	require.NoError(t, s.backup(), "a full, as the first one")
}

func TestAddKey(t *testing.T) {
	t.Parallel()
	pairs := pairsOfKeys(t)
	first := pairs[0]
	s := sealedScene(t, varve.BackupOptions{}, first.writer, first.reader)
	before := s.bucket.Keys()
	for _, p := range pairs[1:] {
		s.keys = []varve.Key{p.reader}
		require.Error(t, s.collection().AddKey(t.Context(), "", p.writer), "without a key that opens it")
		s.keys = []varve.Key{first.reader}
		require.NoError(t, s.collection().AddKey(t.Context(), "", p.writer))
		s.keys = []varve.Key{p.wrong, p.reader}
		s.requireWhole()
		s.keys = []varve.Key{p.wrong}
		if p.name != "hybrid recipient" { // whose wrong key is another's right one
			require.ErrorIs(t, s.restore(s.newStore(), s.last.ID), varve.ErrWrongKey)
		}
	}
	added := slices.DeleteFunc(s.bucket.Keys(), func(k string) bool {
		return slices.Contains(before, k) || strings.HasPrefix(k, "jobs/")
	})
	require.Len(t, added, 3*(len(pairs)-1), "one small object for each layer and key: %v", added)
	requireHidden(t, s, varve.BackupOptions{})

	s.keys = []varve.Key{first.reader}
	var option *varve.OptionError
	require.ErrorAs(t, s.collection().AddKey(t.Context(), "", pairs[2].reader), &option)
	var target *varve.TargetError
	require.ErrorAs(t, backedUp(t).collection().AddKey(t.Context(), "", first.writer), &target)
	s.opts.Into = varve.Latest
	s.change(9)
	require.NoError(t, s.backup())
	s.requireWhole()
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]varve.Key{
		"zero": {}, "empty": varve.Passphrase(""), "no recipient": varve.Recipient("hunter2hunter2"),
		"no identity": varve.Identity("hunter2hunter2"), "no keeper": varve.KMS("nosuch://hunter2hunter2"), "no URL": varve.KMS("hunter2hunter2"),
	} {
		_, err := varve.NewCollection(newScene(t, varve.BackupOptions{}).bucket.Open(), &varve.CollectionOptions{Encryption: []varve.Key{varve.Passphrase("x"), key}})
		var option *varve.OptionError
		require.ErrorAs(t, err, &option, name)
		require.Equal(t, "Encryption[1]", option.Field)
		require.NotContains(t, err.Error(), "hunter2")
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			require.NotContains(t, fmt.Sprintf(verb, key), "hunter2")
			require.NotContains(t, fmt.Sprintf(verb, varve.Passphrase("hunter2")), "hunter2")
		}
	}
}

// TestSealedObjectsCannotBeExchanged swaps each object of a layer with each other one of
// its kind, in this layer and in others, and edits what is clear.
func TestSealedObjectsCannotBeExchanged(t *testing.T) {
	t.Parallel()
	p := pairsOfKeys(t)[2]
	s := sealedScene(t, varve.BackupOptions{}, p.writer, p.reader)
	kinds := []string{"/data/", "files.sst", "BACKUP_MANIFEST"}
	swaps := 0
	for _, kind := range kinds {
		all := slices.DeleteFunc(s.bucket.Keys(), func(k string) bool { return !strings.Contains(k, kind) })
		for i, a := range all {
			for _, b := range all[:i] {
				if swaps++; kind == "/data/" && swaps%7 != 0 {
					continue // there are many
				}
				s.bucket.Swap(a, b)
				var failed int
				for id := range s.states {
					if s.restore(s.newStore(), id) != nil {
						failed++
					}
				}
				require.Positive(t, failed, "%s in the place of %s", a, b)
				s.bucket.Swap(a, b)
			}
		}
	}
	s.requireWhole()
}

// TestClearPartOfASealedManifest edits each member of what is shown, and hashes the record
// again, as anybody can.
func TestClearPartOfASealedManifest(t *testing.T) {
	t.Parallel()
	p := pairsOfKeys(t)[2]
	s := sealedScene(t, varve.BackupOptions{}, p.writer, p.reader)
	edits := 0
	for _, name := range s.bucket.Keys() {
		if !strings.HasSuffix(name, "BACKUP_MANIFEST") {
			continue
		}
		before := s.bucket.Read(name)
		err := varve.EditBodies(before, func(member string, edited []byte) {
			edits++
			s.bucket.Replace(name, edited)
			failed := 0
			for id := range s.states {
				if s.restore(s.newStore(), id) != nil {
					failed++
				}
			}
			require.Positive(t, failed, "%s of %s was edited", member, name)
		})
		require.NoError(t, err)
		s.bucket.Replace(name, before)
	}
	require.Greater(t, edits, 3*12)
	s.requireWhole()
}

// TestDamagedSealedLayer damages each object of a sealed chain in some places.
func TestDamagedSealedLayer(t *testing.T) {
	t.Parallel()
	skipUnderRace(t)
	p := pairsOfKeys(t)[2]
	s := sealedScene(t, varve.BackupOptions{}, p.writer, p.reader)
	tip := s.last.ID
	damages := 0
	for _, name := range s.bucket.Keys() {
		if !strings.HasPrefix(name, "2026/") || strings.Contains(name, "progress") {
			continue
		}
		body := s.bucket.Read(name)
		bodies := [][]byte{{}, body[:len(body)-2], body[:len(body)/2]}
		for i := range 8 {
			flipped := bytes.Clone(body)
			flipped[16+i*(len(body)-17)/7] ^= 4 // behind the magic, which not every restore reads
			bodies = append(bodies, flipped)
		}
		for i, b := range bodies {
			s.bucket.Replace(name, b)
			damages++
			_, err := s.collection().Verify(t.Context(), tip, nil)
			require.Error(t, err, "damage %d of %s", i, name)
			_, err = s.collection().Verify(t.Context(), tip, &varve.VerifyOptions{Level: varve.VerifyOrder})
			require.Error(t, err, "damage %d of %s, to the order of keys", i, name)
			keys := s.keys
			s.keys = nil
			_, err = s.collection().Verify(t.Context(), tip, nil)
			require.Error(t, err, "damage %d of %s, without a key", i, name)
			s.keys = keys
			if !strings.HasSuffix(name, "objects.sst") { // which a restore does not need
				require.Error(t, s.restore(s.newStore(), tip), "damage %d of %s", i, name)
			}
		}
		s.bucket.Replace(name, body)
	}
	require.Greater(t, damages, 100)
	s.requireWhole()
}

// TestSealedTables: tables of a database that are copied as they are, and those that a
// synthetic full refers to, are sealed as others are.
func TestSealedTables(t *testing.T) {
	t.Parallel()
	p := pairsOfKeys(t)[0]
	engine := shelfOf(t, &pebble.Options{})
	s := newScene(t, varve.BackupOptions{})
	s.keys = []varve.Key{p.writer}
	opts := &varve.BackupOptions{Compression: varve.CompressNone, TargetFileBytes: 64 << 10}
	full, err := s.collection().Backup(t.Context(), varve.Cluster(engine), opts)
	require.NoError(t, err)
	require.Positive(t, full.Stats.CopiedBytes, "no table was copied")
	rewrite(t, engine, 0, 1000, "second")
	opts.Synthetic = true
	synthetic, err := s.collection().Backup(t.Context(), varve.Cluster(engine), opts)
	require.NoError(t, err)
	require.Positive(t, synthetic.Stats.SharedBytes, "nothing was shared")
	requireHidden(t, s, *opts)
	for _, l := range []*varve.Layer{full, synthetic} {
		_, err := s.collection().Verify(t.Context(), l.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
		require.NoError(t, err)
		_, dst := openPebble(t, &pebble.Options{FS: vfs.NewMem()})
		restored, err := s.collection().Restore(t.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: l.ID, Prove: true})
		require.NoError(t, err)
		require.Equal(t, varve.ProofDigest, restored.Proof)
	}
}
