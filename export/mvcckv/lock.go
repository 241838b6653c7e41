package mvcckv

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// lock says that the version of key at the holder's write timestamp is provisional.
type lock struct {
	key    string
	holder *Tx
}

// lockRecord points to the provisional version.
type lockRecord struct {
	Write export.Timestamp `json:"write"`
}

// txRecord is what is durable of a transaction as long as it has locks. A record that
// is committed makes all its versions final, wherever their locks still stand.
type txRecord struct {
	Name      string           `json:"name,omitempty"`
	Write     export.Timestamp `json:"write"`
	Committed bool             `json:"committed,omitempty"`
}

func lockKey(key string, id txID) []byte { return systemKey(lockArea, []byte(key), id) }

func txKey(id txID) []byte { return systemKey(txArea, nil, id) }

// locksIn are the locks in span that stand in the way of somebody else who reads at
// t, by key. It needs mu.
func (s *Store) locksIn(span export.Span, t export.Timestamp, reader *Tx) []lock {
	var met []lock
	for _, l := range s.locks {
		if l.meets(t, reader) && span.Contains(nil, []byte(l.key)) {
			met = append(met, l)
		}
	}
	slices.SortFunc(met, func(a, b lock) int { return strings.Compare(a.key, b.key) })
	return met
}

// lockAt is locksIn of a single key.
func (s *Store) lockAt(key []byte, t export.Timestamp, reader *Tx) []lock {
	if l, ok := s.locks[string(key)]; ok && l.meets(t, reader) {
		return []lock{l}
	}
	return nil
}

// meets reports whether a reader at t meets the lock: whether it may come to be that
// the version is in what he reads.
func (l lock) meets(t export.Timestamp, reader *Tx) bool {
	return l.holder != reader && l.holder.write.Compare(t) <= 0
}

// recover takes up the transactions of a process that ended without them. Nobody has
// decided them and nobody will, so all but the committed ones are dead. It runs before
// the store is used.
func (s *Store) recover() error {
	txs := map[txID]*Tx{}
	err := s.eachRecord(txArea, func(_ []byte, id txID, stored []byte) error {
		var r txRecord
		if err := json.Unmarshal(stored, &r); err != nil {
			return fmt.Errorf("transaction record %s: %w", id, err)
		}
		t := s.newTx(id, r.Name)
		t.write, t.state = r.Write, dead
		if r.Committed {
			t.state = committing
		}
		txs[id] = t
		return nil
	})
	if err != nil {
		return err
	}
	err = s.eachRecord(lockArea, func(key []byte, id txID, _ []byte) error {
		t := txs[id]
		if t == nil {
			return fmt.Errorf("lock of key %q: its transaction %s has no record", key, id)
		}
		t.lock(key)
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range txs {
		if t.state != committing {
			continue
		}
		if err := s.resolve(t, committed); err != nil {
			return err
		}
	}
	return nil
}

// resolve ends t: its locks and its record go, and unless it is committed its
// provisional versions with them, in one batch. That need not be durable: the record
// of a committed one is, and any other is dead after a crash. It needs mu.
func (s *Store) resolve(t *Tx, to txState) error {
	b := s.db.NewBatch()
	for key := range t.keys {
		err := b.Delete(lockKey(key, t.id), nil)
		if err == nil && to == aborted {
			err = b.Delete(versionKey(nil, []byte(key), t.write), nil)
		}
		if err != nil {
			return err
		}
	}
	if err := b.Delete(txKey(t.id), nil); err != nil {
		return err
	}
	if err := s.apply(b); err != nil {
		return err
	}
	for key := range t.keys {
		delete(s.locks, key)
	}
	t.end(to)
	return nil
}

// putLocks adds what makes t the holder of keys to a batch: its record and the locks.
func (t *Tx) putLocks(b *pebble.Batch, keys ...string) error {
	stored, err := json.Marshal(txRecord{Name: t.name, Write: t.write})
	if err != nil {
		return err
	}
	if err := b.Set(txKey(t.id), stored, nil); err != nil {
		return err
	}
	if stored, err = json.Marshal(lockRecord{Write: t.write}); err != nil {
		return err
	}
	for _, key := range keys {
		if err := b.Set(lockKey(key, t.id), stored, nil); err != nil {
			return err
		}
	}
	return nil
}
