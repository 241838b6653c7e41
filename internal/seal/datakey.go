package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// KeySize is the length of a data key.
	KeySize = 32
	// SaltSize is the length of an object's salt.
	SaltSize = 32
	// Overhead is how many bytes longer a sealed message is.
	Overhead = 16
)

// DataKey seals the objects of one layer. It prints as nothing that would help to guess
// it. The zero DataKey is invalid.
type DataKey struct{ secret [KeySize]byte }

// NewDataKey draws a key, from the system's randomness alone.
func NewDataKey() *DataKey {
	k := new(DataKey)
	rand.Read(k.secret[:]) // which ends the program rather than fail
	return k
}

// ParseDataKey is the key that Bytes returned.
func ParseDataKey(b []byte) (*DataKey, error) {
	if len(b) != KeySize {
		return nil, fmt.Errorf("a data key of %d bytes", len(b))
	}
	return &DataKey{secret: [KeySize]byte(b)}, nil
}

// Bytes is the key itself, to be sealed.
func (k *DataKey) Bytes() []byte { return k.secret[:] }

// String hides the key.
func (k *DataKey) String() string { return "data key" }

// GoString hides the key.
func (k *DataKey) GoString() string { return k.String() }

// ErrOpen says that sealed bytes are not those that were sealed under the key, for that
// object and at that place.
var ErrOpen = errors.New("sealed bytes do not open")

// Object is the sealing of one object: messages with numbers. It is safe for concurrent
// use.
type Object struct {
	Salt [SaltSize]byte
	aead cipher.AEAD
}

// NewObject draws a salt and seals the object of that name. Each number must be used
// once.
func (k *DataKey) NewObject(name string) (*Object, error) {
	var salt [SaltSize]byte
	rand.Read(salt[:])
	return k.Object(salt, name)
}

// Object is the sealing of the object of that name which has that salt.
func (k *DataKey) Object(salt [SaltSize]byte, name string) (*Object, error) {
	secret, err := hkdf.Key(sha256.New, k.secret[:], salt[:], "varve object v1\x00"+name, KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive the key of %s: %w", name, err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", name, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", name, err)
	}
	return &Object{Salt: salt, aead: aead}, nil
}

// Seal appends message n, sealed together with clear, which is not in it.
func (o *Object) Seal(dst, plain []byte, n uint64, clear []byte) []byte {
	return o.aead.Seal(dst, nonce(n), plain, clear)
}

// Open appends what Seal was given.
func (o *Object) Open(dst, sealed []byte, n uint64, clear []byte) ([]byte, error) {
	plain, err := o.aead.Open(dst, nonce(n), sealed, clear)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

func nonce(n uint64) []byte {
	var b [12]byte
	binary.BigEndian.PutUint64(b[4:], n)
	return b[:]
}
