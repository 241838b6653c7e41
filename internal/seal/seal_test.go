package seal

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
	_ "gocloud.dev/secrets/localsecrets"
)

var scope = Scope{Collection: "0123456789abcdef0123456789abcdef", Layer: "fedcba9876543210fedcba9876543210"}

const localKeeper = "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="

// cheap makes tests fast: what a passphrase costs is stored, and so may differ.
func cheap(secret string) Key {
	p := Passphrase(secret).(*passphrase)
	p.cost = cost{Time: 1, Memory: 8, Threads: 1}
	return p
}

// pairs are keys by kind: what seals, what opens it, and one of the same kind that must not.
type pair struct{ seals, opens, other Key }

func pairs(t *testing.T) map[string]pair {
	out := map[string]pair{"passphrase": {cheap("correct horse"), cheap("correct horse"), cheap("correct horses")}}
	own, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	other, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	out["x25519"] = pair{mustKey(t)(Recipient(own.Recipient().String())), mustKey(t)(Identity(own.String())), mustKey(t)(Identity(other.String()))}
	hybrid, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	out["hybrid"] = pair{mustKey(t)(Recipient(hybrid.Recipient().String())), mustKey(t)(Identity(hybrid.String())), mustKey(t)(Identity(own.String()))}
	out["kms"] = pair{mustKey(t)(KMS(localKeeper)), mustKey(t)(KMS(localKeeper)), mustKey(t)(KMS("base64key://"))} // a random key
	return out
}

func mustKey(t *testing.T) func(Key, error) Key {
	return func(k Key, err error) Key {
		require.NoError(t, err)
		return k
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for name, p := range pairs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			k := NewDataKey()
			w, err := p.seals.Wrap(ctx, k, scope)
			require.NoError(t, err)
			got, err := p.opens.Unwrap(ctx, w, scope)
			require.NoError(t, err)
			require.Equal(t, k.Bytes(), got.Bytes())
			_, err = p.other.Unwrap(ctx, w, scope)
			require.ErrorIs(t, err, ErrOtherKey)
			for _, s := range []Scope{{scope.Collection, scope.Collection}, {scope.Layer, scope.Layer}, {}} {
				_, err = p.opens.Unwrap(ctx, w, s)
				require.ErrorIs(t, err, ErrOtherKey, "a wrapped key opens for %v", s)
			}
			for i := range w.Key {
				bad := w
				bad.Key = append([]byte(nil), w.Key...)
				bad.Key[i] ^= 1
				_, err := p.opens.Unwrap(ctx, bad, scope)
				require.ErrorIs(t, err, ErrOtherKey, "byte %d", i)
				bad.Key = w.Key[:i]
				_, err = p.opens.Unwrap(ctx, bad, scope)
				require.ErrorIs(t, err, ErrOtherKey, "cut at %d", i)
			}
		})
	}
}

func TestAnyOfSeveralKeysOpens(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	all := pairs(t)
	var seals []Key
	for _, p := range all {
		seals = append(seals, p.seals)
	}
	k := NewDataKey()
	wrapped, err := WrapAll(ctx, seals, k, scope)
	require.NoError(t, err)
	require.Len(t, wrapped, len(all))
	for name, p := range all {
		got, err := UnwrapAny(ctx, []Key{p.other, p.opens}, wrapped, scope)
		require.NoError(t, err, name)
		require.Equal(t, k.Bytes(), got.Bytes())
	}
	stranger := cheap("nobody's")
	_, err = UnwrapAny(ctx, []Key{stranger, all["x25519"].seals}, wrapped, scope)
	require.ErrorIs(t, err, ErrOtherKey)
	_, err = UnwrapAny(ctx, seals, make([]Wrapped, maxWrapped+1), scope)
	require.ErrorIs(t, err, ErrOtherKey)
}

func TestPassphraseCost(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	k := NewDataKey()
	w, err := Passphrase("a real one").Wrap(ctx, k, scope)
	require.NoError(t, err)
	require.JSONEq(t, `{"time":3,"memory_kib":65536,"threads":4}`, string(w.Needs))
	got, err := Passphrase("a real one").Unwrap(ctx, w, scope)
	require.NoError(t, err)
	require.Equal(t, k.Bytes(), got.Bytes())
	for _, needs := range []string{`{"time":4294967295,"memory_kib":8,"threads":1}`, `{"time":1,"memory_kib":4294967295,"threads":1}`, `{}`, `{"time":1,"memory_kib":8}`} {
		w.Needs = []byte(needs)
		_, err = Passphrase("a real one").Unwrap(ctx, w, scope)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrOtherKey)
	}
}

func TestBadKeysSayNothingOfThemselves(t *testing.T) {
	t.Parallel()
	own, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	for _, secret := range []string{own.String(), own.String() + "x", "hunter2hunter2", "AGE-SECRET-KEY-1HUNTER2"} {
		_, err := Recipient(secret)
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret[len(secret)/2:])
		_, err = Identity(secret + "!")
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret[len(secret)/2:])
	}
	_, err = KMS("nosuchkeeper://user:hunter2@host/key")
	require.ErrorContains(t, err, "nosuchkeeper")
	require.NotContains(t, err.Error(), "hunter2")
	k := NewDataKey()
	_, err = mustKey(t)(KMS("base64key://hunter2")).Wrap(context.Background(), k, scope)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		require.NotContains(t, fmt.Sprintf(verb, k), fmt.Sprintf("%x", k.Bytes()[:4]))
	}
	_, err = mustKey(t)(Identity(own.String())).Wrap(context.Background(), k, scope)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestObjectsAreBound(t *testing.T) {
	t.Parallel()
	k := NewDataKey()
	o, err := k.NewObject("a/data/1.sst")
	require.NoError(t, err)
	sealed := o.Seal(nil, []byte("rows"), 7, []byte("clear"))
	require.Len(t, sealed, 4+Overhead)
	same, err := k.Object(o.Salt, "a/data/1.sst")
	require.NoError(t, err)
	plain, err := same.Open(nil, sealed, 7, []byte("clear"))
	require.NoError(t, err)
	require.Equal(t, "rows", string(plain))

	otherName, err := k.Object(o.Salt, "a/data/2.sst")
	require.NoError(t, err)
	otherSalt, err := k.NewObject("a/data/1.sst")
	require.NoError(t, err)
	otherKey, err := NewDataKey().Object(o.Salt, "a/data/1.sst")
	require.NoError(t, err)
	for name, open := range map[string]func() ([]byte, error){
		"another name":   func() ([]byte, error) { return otherName.Open(nil, sealed, 7, []byte("clear")) },
		"another salt":   func() ([]byte, error) { return otherSalt.Open(nil, sealed, 7, []byte("clear")) },
		"another key":    func() ([]byte, error) { return otherKey.Open(nil, sealed, 7, []byte("clear")) },
		"another number": func() ([]byte, error) { return same.Open(nil, sealed, 8, []byte("clear")) },
		"other clear":    func() ([]byte, error) { return same.Open(nil, sealed, 7, []byte("clean")) },
		"cut":            func() ([]byte, error) { return same.Open(nil, sealed[:len(sealed)-1], 7, []byte("clear")) },
	} {
		_, err := open()
		require.ErrorIs(t, err, ErrOpen, name)
	}
}
