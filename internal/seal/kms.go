package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
)

const kmsKind = "kms"

// kms wraps with a keeper of gocloud.dev, whose driver the application imports.
type kms struct {
	url  string
	hint string
}

// KMS is the key of a key management service, by the URL that gocloud.dev/secrets has
// for it.
func KMS(keeperURL string) (Key, error) {
	u, err := url.Parse(keeperURL)
	if err != nil || u.Scheme == "" {
		return nil, errors.New("is no URL of a keeper")
	}
	if !secrets.DefaultURLMux().ValidKeeperScheme(u.Scheme) {
		return nil, fmt.Errorf("has the scheme %q, which no imported driver opens: the application must import the one of gocloud.dev/secrets", u.Scheme)
	}
	// Credentials may stand in the rest, and the URL of a local key is the key.
	sum := sha256.Sum256([]byte("varve keeper v1\x00" + u.Scheme + "\x00" + u.Host + "\x00" + u.Path))
	hint := hex.EncodeToString(sum[:8])
	if u.Scheme == "base64key" {
		hint = ""
	}
	return &kms{url: keeperURL, hint: hint}, nil
}

func (*kms) Seals() bool { return true }
func (*kms) Opens() bool { return true }

// with opens the keeper. Errors do not contain its URL.
func (m *kms) with(ctx context.Context, do func(*secrets.Keeper) error) (err error) {
	keeper, err := secrets.OpenKeeper(ctx, m.url)
	if err != nil {
		return errors.New("keeper cannot be opened")
	}
	defer func() { err = errors.Join(err, keeper.Close()) }()
	return do(keeper)
}

func (m *kms) Wrap(ctx context.Context, k *DataKey, s Scope) (Wrapped, error) {
	w := Wrapped{Kind: kmsKind, Hint: m.hint}
	err := m.with(ctx, func(keeper *secrets.Keeper) (err error) {
		w.Key, err = keeper.Encrypt(ctx, append(k.Bytes()[:KeySize:KeySize], s.bytes()...))
		return err
	})
	if err != nil {
		return Wrapped{}, fmt.Errorf("wrap with a key management service: %w", err)
	}
	return w, nil
}

// Unwrap asks the service about keys that others may have wrapped, too: one key can have
// several URLs. Only of its own is a refusal more than ErrOtherKey.
func (m *kms) Unwrap(ctx context.Context, w Wrapped, s Scope) (*DataKey, error) {
	if w.Kind != kmsKind {
		return nil, ErrOtherKey
	}
	var b []byte
	err := m.with(ctx, func(keeper *secrets.Keeper) (err error) {
		b, err = keeper.Decrypt(ctx, w.Key)
		return err
	})
	switch {
	case err != nil && w.Hint == m.hint && gcerrors.Code(err) != gcerrors.InvalidArgument && m.hint != "":
		return nil, fmt.Errorf("unwrap with a key management service: %w", err)
	case err != nil, len(b) < KeySize, !bytes.Equal(b[KeySize:], s.bytes()):
		return nil, ErrOtherKey
	}
	return ParseDataKey(b[:KeySize])
}
