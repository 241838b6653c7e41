package seal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Wrapped is a data key as it is stored, for one of the keys that open it. What it shows
// is the kind of that key, and its public parameters.
type Wrapped struct {
	Kind  string          `json:"kind"`
	Hint  string          `json:"hint,omitempty"` // by which its owner may know it
	Needs json.RawMessage `json:"needs,omitempty"`
	Key   []byte          `json:"key"`
}

// Scope is the layer that a data key is of. A wrapped key does not open for another.
type Scope struct{ Collection, Layer string }

func (s Scope) bytes() []byte { return []byte("varve layer v1\x00" + s.Collection + "\x00" + s.Layer) }

// Key wraps data keys, unwraps them, or both. It is safe for concurrent use.
type Key interface {
	// Wrap stores a data key for this key; errors.ErrUnsupported if it only unwraps.
	Wrap(ctx context.Context, k *DataKey, s Scope) (Wrapped, error)
	// Unwrap is the data key. ErrOtherKey says that w is for another key.
	Unwrap(ctx context.Context, w Wrapped, s Scope) (*DataKey, error)
	// Seals and Opens say which of the two the key can.
	Seals() bool
	Opens() bool
}

// ErrOtherKey says that a data key was wrapped for another key, or is damaged.
var ErrOtherKey = errors.New("wrapped for another key")

const (
	maxWrapped    = 256      // keys of a layer
	maxWrappedKey = 64 << 10 // bytes of one
)

// WrapAll wraps a data key for all keys that seal.
func WrapAll(ctx context.Context, keys []Key, k *DataKey, s Scope) ([]Wrapped, error) {
	var out []Wrapped
	for _, key := range keys {
		if !key.Seals() {
			continue
		}
		w, err := key.Wrap(ctx, k, s)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// UnwrapAny unwraps with the first key that opens any of them. If none does it is
// ErrOtherKey, or why one that might have could not be asked.
func UnwrapAny(ctx context.Context, keys []Key, wrapped []Wrapped, s Scope) (*DataKey, error) {
	if len(wrapped) > maxWrapped {
		return nil, fmt.Errorf("%d wrapped keys, the most are %d: %w", len(wrapped), maxWrapped, ErrOtherKey)
	}
	var failed error
	for _, w := range wrapped {
		if len(w.Key) > maxWrappedKey {
			continue
		}
		for _, key := range keys {
			if !key.Opens() {
				continue
			}
			k, err := key.Unwrap(ctx, w, s)
			switch {
			case err == nil:
				return k, nil
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case !errors.Is(err, ErrOtherKey):
				failed = errors.Join(failed, err)
			}
		}
	}
	if failed == nil {
		failed = ErrOtherKey
	}
	return nil, failed
}
