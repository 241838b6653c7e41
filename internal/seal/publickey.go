package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

const ageKind = "age"

// recipient wraps for the owner of a private key.
type recipient struct{ to []age.Recipient }

// Recipient is a public key as age-keygen prints it: "age1…". It seals only.
func Recipient(public string) (Key, error) {
	to, err := age.ParseRecipients(strings.NewReader(public))
	if err != nil {
		return nil, errors.New("is no recipient of age") // the text may be a private key, pasted in the wrong place
	}
	if len(to) != 1 {
		return nil, fmt.Errorf("has %d recipients of age, and must have one", len(to))
	}
	return &recipient{to}, nil
}

func (*recipient) Seals() bool { return true }
func (*recipient) Opens() bool { return false }

func (r *recipient) Wrap(_ context.Context, k *DataKey, s Scope) (Wrapped, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r.to...)
	if err != nil {
		return Wrapped{}, fmt.Errorf("wrap for a recipient: %w", err)
	}
	if _, err := w.Write(append(k.Bytes()[:KeySize:KeySize], s.bytes()...)); err != nil {
		return Wrapped{}, fmt.Errorf("wrap for a recipient: %w", err)
	}
	if err := w.Close(); err != nil {
		return Wrapped{}, fmt.Errorf("wrap for a recipient: %w", err)
	}
	return Wrapped{Kind: ageKind, Key: out.Bytes()}, nil
}

func (*recipient) Unwrap(context.Context, Wrapped, Scope) (*DataKey, error) { return nil, ErrOtherKey }

// identity unwraps what was wrapped for its recipient.
type identity struct{ own []age.Identity }

// Identity is a private key as age-keygen prints it: "AGE-SECRET-KEY-1…". It opens only.
func Identity(private string) (Key, error) {
	own, err := age.ParseIdentities(strings.NewReader(private))
	if err != nil {
		return nil, errors.New("is no identity of age") // and says nothing of the secret
	}
	return &identity{own}, nil
}

func (*identity) Seals() bool { return false }
func (*identity) Opens() bool { return true }

func (*identity) Wrap(context.Context, *DataKey, Scope) (Wrapped, error) {
	return Wrapped{}, errors.ErrUnsupported
}

func (i *identity) Unwrap(_ context.Context, w Wrapped, s Scope) (*DataKey, error) {
	if w.Kind != ageKind {
		return nil, ErrOtherKey
	}
	r, err := age.Decrypt(bytes.NewReader(w.Key), i.own...)
	if err != nil {
		return nil, ErrOtherKey
	}
	b, err := io.ReadAll(io.LimitReader(r, maxWrappedKey))
	if err != nil || len(b) < KeySize || !bytes.Equal(b[KeySize:], s.bytes()) {
		return nil, ErrOtherKey
	}
	return ParseDataKey(b[:KeySize])
}
