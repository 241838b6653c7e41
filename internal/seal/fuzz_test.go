package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
)

// FuzzUnwrap gives every kind of key what nobody has wrapped for it.
func FuzzUnwrap(f *testing.F) {
	own, err := age.GenerateX25519Identity()
	require.NoError(f, err)
	recipient, err := Recipient(own.Recipient().String())
	require.NoError(f, err)
	identity, err := Identity(own.String())
	require.NoError(f, err)
	keeper, err := KMS(localKeeper)
	require.NoError(f, err)
	secret := cheap("correct horse")
	ctx := context.Background()
	only, err := ParseDataKey(bytes.Repeat([]byte{7}, KeySize)) // that was ever wrapped, also by other processes that fuzz
	require.NoError(f, err)
	for _, k := range []Key{recipient, keeper, secret} {
		w, err := k.Wrap(ctx, only, scope)
		require.NoError(f, err)
		f.Add(w.Kind, []byte(w.Needs), w.Key)
		f.Add(w.Kind, []byte(w.Needs), w.Key[:len(w.Key)-1])
		f.Add(w.Kind, []byte(`{"time":99,"memory_kib":1048577,"threads":255}`), w.Key)
	}
	f.Add("", []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, kind string, needs, key []byte) {
		var c cost
		if json.Unmarshal(needs, &c) == nil && c.check() == nil && (c.Memory > 64 || c.Time > 1) {
			return // takes the time that it says
		}
		w := Wrapped{Kind: kind, Needs: needs, Key: key}
		for _, k := range []Key{recipient, identity, keeper, secret} {
			if got, err := k.Unwrap(ctx, w, scope); err == nil {
				require.Equal(t, only.Bytes(), got.Bytes(), "%s opens", kind)
			}
		}
	})
}

// TestCostsAreBounded: a collection cannot make a passphrase be tried at ever other costs.
func TestCostsAreBounded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	own := cheap("correct horse")
	k := NewDataKey()
	w, err := own.Wrap(ctx, k, scope)
	require.NoError(t, err)
	wrapped := []Wrapped{}
	for i := range 100 {
		other := w
		other.Needs = fmt.Appendf(nil, `{"time":1,"memory_kib":%d,"threads":1}`, i+9)
		wrapped = append(wrapped, other)
	}
	reader := cheap("correct horse").(*passphrase)
	_, err = UnwrapAny(ctx, []Key{reader}, wrapped, scope)
	require.ErrorContains(t, err, "is not accepted")
	require.NotErrorIs(t, err, ErrOtherKey)
	require.Len(t, reader.made, maxCosts)

	reader = cheap("correct horse").(*passphrase)
	got, err := UnwrapAny(ctx, []Key{reader}, append([]Wrapped{w}, wrapped...), scope)
	require.NoError(t, err)
	require.Equal(t, k.Bytes(), got.Bytes())
	for i := range maxDerivations + 3 {
		s := Scope{Collection: fmt.Sprint(i), Layer: scope.Layer}
		w, err := reader.Wrap(ctx, k, s)
		require.NoError(t, err)
		_, err = reader.Unwrap(ctx, w, s)
		require.NoError(t, err)
		require.LessOrEqual(t, len(reader.made), maxDerivations)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = cheap("correct horse").Unwrap(gone, w, scope)
	require.True(t, errors.Is(err, context.Canceled), err)
}
