package seal

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"golang.org/x/crypto/argon2"
)

// cost is what it takes to make a key of a passphrase, stored beside what it wraps.
type cost struct {
	Time    uint32 `json:"time"`
	Memory  uint32 `json:"memory_kib"`
	Threads uint8  `json:"threads"`
}

// usualCost is the second recommended choice of RFC 9106 §4, for machines that do not
// have 2 GiB to spare.
var usualCost = cost{Time: 3, Memory: 64 << 10, Threads: 4}

// highestCost bounds what a stored record can make a reader spend.
var highestCost = cost{Time: 16, Memory: 1 << 20, Threads: 16}

func (c cost) check() error {
	if c.Time < 1 || c.Time > highestCost.Time || c.Memory < 8 || c.Memory > highestCost.Memory || c.Threads < 1 || c.Threads > highestCost.Threads {
		return fmt.Errorf("argon2id with %d passes over %d KiB in %d threads is not accepted", c.Time, c.Memory, c.Threads)
	}
	return nil
}

const passphraseKind = "passphrase"

// passphrase wraps under a key that Argon2id makes of it. The salt is the ID of the
// collection, which is random: so one derivation serves all layers of a collection.
type passphrase struct {
	secret string
	cost   cost

	mu   sync.Mutex
	made map[derivation]*DataKey
}

type derivation struct {
	collection string
	cost       cost
}

// maxDerivations bounds how many keys of one passphrase are kept.
const maxDerivations = 16

// Passphrase is the key that a passphrase makes.
func Passphrase(secret string) Key {
	return &passphrase{secret: secret, cost: usualCost, made: map[derivation]*DataKey{}}
}

func (*passphrase) Seals() bool { return true }
func (*passphrase) Opens() bool { return true }

// key derives what wraps. One derivation runs at a time: each takes all its memory.
func (p *passphrase) key(s Scope, c cost) *DataKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := derivation{s.Collection, c}
	if p.made[d] == nil {
		if len(p.made) >= maxDerivations {
			clear(p.made)
		}
		b := argon2.IDKey([]byte(p.secret), []byte("varve collection v1\x00"+s.Collection), c.Time, c.Memory, c.Threads, KeySize)
		p.made[d] = &DataKey{secret: [KeySize]byte(b)}
	}
	return p.made[d]
}

func (p *passphrase) Wrap(_ context.Context, k *DataKey, s Scope) (Wrapped, error) {
	o, err := p.key(s, p.cost).NewObject(passphraseKind)
	if err != nil {
		return Wrapped{}, err
	}
	needs, err := json.Marshal(p.cost)
	if err != nil {
		return Wrapped{}, err
	}
	return Wrapped{Kind: passphraseKind, Needs: needs, Key: o.Seal(o.Salt[:], k.Bytes(), 0, s.bytes())}, nil
}

func (p *passphrase) Unwrap(_ context.Context, w Wrapped, s Scope) (*DataKey, error) {
	if w.Kind != passphraseKind || len(w.Key) != SaltSize+KeySize+Overhead {
		return nil, ErrOtherKey
	}
	var c cost
	if err := json.Unmarshal(w.Needs, &c); err != nil {
		return nil, ErrOtherKey
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	o, err := p.key(s, c).Object([SaltSize]byte(w.Key[:SaltSize]), passphraseKind)
	if err != nil {
		return nil, err
	}
	b, err := o.Open(nil, w.Key[SaltSize:], 0, s.bytes())
	if err != nil {
		return nil, ErrOtherKey
	}
	return ParseDataKey(b)
}
