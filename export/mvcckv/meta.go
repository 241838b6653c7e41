package mvcckv

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// meta is what the store knows of itself, one record that is replaced as a whole.
type meta struct {
	Version int              `json:"version"`
	Lineage string           `json:"lineage"`
	Oldest  export.Timestamp `json:"oldest"`         // GC threshold
	Bound   int64            `json:"bound,string"`   // of the clock
	LastID  uint64           `json:"last_id,string"` // the greatest that an object was given
	Written int64            `json:"written,string"` // bytes of versions that were ever written, roughly
}

var metaKey = systemKey(metaArea, nil, txID{})

// saveMeta makes m durable, and everything that was written before with it. It needs
// mu.
func (s *Store) saveMeta(m meta) error {
	if err := s.putRecord(metaKey, m, pebble.Sync); err != nil {
		return fmt.Errorf("save the store's record: %w", err)
	}
	s.meta = m
	return nil
}

// loadMeta reads the record, or begins one where the database is new.
func (s *Store) loadMeta() error {
	stored, closer, err := s.db.Get(metaKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return s.found()
	}
	if err != nil {
		return err
	}
	err = json.Unmarshal(stored, &s.meta)
	if err := errors.Join(err, closer.Close()); err != nil {
		return fmt.Errorf("the store's record: %w", err)
	}
	if s.meta.Version != 1 || s.meta.Lineage == "" {
		return fmt.Errorf("the store's record: version %d with lineage %q is not known", s.meta.Version, s.meta.Lineage)
	}
	s.clock.begin(s.meta.Bound)
	return nil
}

// found begins the history of an empty database.
func (s *Store) found() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	filled := it.First()
	if err := it.Close(); err != nil {
		return err
	}
	if filled {
		return errors.New("a database that is none of this package")
	}
	id, err := s.opts.drawID()
	if err != nil {
		return err
	}
	return s.saveMeta(meta{Version: 1, Lineage: id.String()})
}

// putRecord stores v as JSON.
func (s *Store) putRecord(key []byte, v any, how *pebble.WriteOptions) error {
	stored, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.db.Set(key, stored, how)
}

// eachRecord calls visit with each record of a kind. The bytes are valid until it
// returns.
func (s *Store) eachRecord(a area, visit func(name []byte, id txID, stored []byte) error) (err error) {
	lower, upper := areaBounds(a)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		name, id, isSystem := splitSystem(it.Key())
		if !isSystem {
			continue // a user's key that lies there
		}
		stored, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := visit(name, id, stored); err != nil {
			return err
		}
	}
	return it.Error()
}
