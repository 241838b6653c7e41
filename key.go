package varve

import (
	"fmt"

	"github.com/varvekv/varve/internal/seal"
)

// Key seals layers, opens sealed ones, or both: see CollectionOptions.Encryption. It
// prints as its kind alone. The zero Key is refused.
type Key struct {
	kind string
	key  seal.Key
	err  error // why there is no key; for OptionError
}

// Passphrase is a key made of a secret that people know. It seals and opens. To guess it
// from a collection costs Argon2id with 3 passes over 64 MiB for each try (the second
// recommended choice of RFC 9106), and so much once to use it.
func Passphrase(secret string) Key {
	k := Key{kind: "Passphrase"}
	if secret == "" {
		k.err = fmt.Errorf("is empty")
		return k
	}
	k.key = seal.Passphrase(secret)
	return k
}

// KMS is a key that a key management service keeps, by the URL of a keeper of
// gocloud.dev/secrets, whose driver the program must import. It seals and opens. Each layer
// costs one call to write and one to read.
func KMS(keeperURL string) Key {
	k := Key{kind: "KMS"}
	k.key, k.err = seal.KMS(keeperURL)
	return k
}

// Recipient is a public key of age ("age1…", see age-keygen). It seals only, so that a
// host that knows nothing else cannot read what it has written.
func Recipient(public string) Key {
	k := Key{kind: "Recipient"}
	k.key, k.err = seal.Recipient(public)
	return k
}

// Identity is a private key of age ("AGE-SECRET-KEY-1…"). It opens only, what was sealed
// for its Recipient.
func Identity(private string) Key {
	k := Key{kind: "Identity"}
	k.key, k.err = seal.Identity(private)
	return k
}

// String is the kind of the key.
func (k Key) String() string {
	if k.kind == "" {
		return "Key"
	}
	return k.kind
}

// GoString is the kind of the key.
func (k Key) GoString() string { return k.String() }

// keyring is what the keys of a collection can do.
type keyring []seal.Key

func newKeyring(keys []Key) (keyring, error) {
	var ring keyring
	for i, k := range keys {
		switch {
		case k.err != nil:
			return nil, &OptionError{Field: fmt.Sprintf("Encryption[%d]", i), Reason: fmt.Sprintf("%s %s", k, k.err)}
		case k.key == nil:
			return nil, &OptionError{Field: fmt.Sprintf("Encryption[%d]", i), Reason: "is the zero Key"}
		}
		ring = append(ring, k.key)
	}
	return ring, nil
}

func (r keyring) seals() bool {
	for _, k := range r {
		if k.Seals() {
			return true
		}
	}
	return false
}

func (r keyring) opens() bool {
	for _, k := range r {
		if k.Opens() {
			return true
		}
	}
	return false
}
