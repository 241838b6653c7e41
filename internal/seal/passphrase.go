package seal

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
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

const (
	// maxDerivations bounds how many keys of one passphrase are kept.
	maxDerivations = 16
	// maxCosts bounds what the records of one collection can make a reader spend: keys
	// are made of a passphrase at so many different costs. Writers have one, and another
	// when a version of varve changes it.
	maxCosts = 4
)

// Passphrase is the key that a passphrase makes.
func Passphrase(secret string) Key {
	return &passphrase{secret: secret, cost: usualCost, made: map[derivation]*DataKey{}}
}

func (*passphrase) Seals() bool { return true }
func (*passphrase) Opens() bool { return true }

// key derives what wraps. One derivation runs at a time: each takes all its memory.
func (p *passphrase) key(ctx context.Context, s Scope, c cost) (*DataKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := derivation{s.Collection, c}
	if k := p.made[d]; k != nil {
		return k, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	others := 0
	for made := range p.made {
		if made.collection == s.Collection {
			others++
		}
	}
	if others >= maxCosts {
		return nil, fmt.Errorf("a key of a passphrase at another cost than %d others of the collection is not accepted", maxCosts)
	}
	if len(p.made) >= maxDerivations {
		maps.DeleteFunc(p.made, func(made derivation, _ *DataKey) bool { return made.collection != s.Collection })
	}
	b := argon2.IDKey([]byte(p.secret), []byte("varve collection v1\x00"+s.Collection), c.Time, c.Memory, c.Threads, KeySize)
	p.made[d] = &DataKey{secret: [KeySize]byte(b)}
	return p.made[d], nil
}

func (p *passphrase) Wrap(ctx context.Context, k *DataKey, s Scope) (Wrapped, error) {
	own, err := p.key(ctx, s, p.cost)
	if err != nil {
		return Wrapped{}, err
	}
	o, err := own.NewObject(passphraseKind)
	if err != nil {
		return Wrapped{}, err
	}
	needs, err := json.Marshal(p.cost)
	if err != nil {
		return Wrapped{}, err
	}
	return Wrapped{Kind: passphraseKind, Needs: needs, Key: o.Seal(o.Salt[:], k.Bytes(), 0, s.bytes())}, nil
}

func (p *passphrase) Unwrap(ctx context.Context, w Wrapped, s Scope) (*DataKey, error) {
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
	own, err := p.key(ctx, s, c)
	if err != nil {
		return nil, err
	}
	o, err := own.Object([SaltSize]byte(w.Key[:SaltSize]), passphraseKind)
	if err != nil {
		return nil, err
	}
	b, err := o.Open(nil, w.Key[SaltSize:], 0, s.bytes())
	if err != nil {
		return nil, ErrOtherKey
	}
	return ParseDataKey(b)
}
