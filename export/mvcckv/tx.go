package mvcckv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// Priority says who gives way: who wants a key that a transaction of a lower priority
// has locked aborts that one. Between equals the one who comes later gives way.
type Priority int

// TxOptions adjusts a transaction. nil means all defaults.
type TxOptions struct {
	// Name is what others see as the holder of its locks. "": its ID.
	Name string
	// Priority decides who gives way. 0 is ordinary.
	Priority Priority
	// AsOf is the moment that is read. It makes the transaction one that does not
	// write. Zero: now.
	AsOf export.Timestamp
}

type txState int

const (
	running    txState = iota
	dead               // its process ended before it: only to be aborted
	committing         // decided, its locks still stand
	committed
	aborted
)

// Tx is a transaction: it reads what was committed when it began, and what it has
// written itself; what it writes shows at one timestamp when it is committed, or not
// at all. It is used by one goroutine at a time, and must be ended by Commit or
// Rollback, of which the second of both does nothing. As long as it is open it holds
// back what [Store.Collect] forgets.
type Tx struct {
	store    *Store
	id       txID
	name     string
	priority Priority
	read     export.Timestamp
	past     bool // as of a moment that was given

	// Under store.mu. write is at what its provisional versions stand, zero until it
	// has written.
	write export.Timestamp
	keys  map[string]bool
	state txState
	why   *RetryError   // it was aborted for
	over  chan struct{} // closed when it is committed or aborted
}

func (s *Store) newTx(id txID, name string) *Tx {
	if name == "" {
		name = id.String()
	}
	return &Tx{store: s, id: id, name: name, keys: map[string]bool{}, over: make(chan struct{})}
}

// Begin begins a transaction. The context is for this call only.
func (s *Store) Begin(ctx context.Context, opts *TxOptions) (*Tx, error) {
	var o TxOptions
	if opts != nil {
		o = *opts
	}
	if err := s.begin(ctx); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer s.mu.Unlock()
	read, err := s.readable(o.AsOf)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	id, err := s.opts.drawID()
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	t := s.newTx(id, o.Name)
	t.priority, t.read, t.past = o.Priority, read, !o.AsOf.IsZero()
	s.open[t] = true
	return t, nil
}

// readable is the timestamp to read at for who asks for asOf, zero for now. It needs
// mu.
func (s *Store) readable(asOf export.Timestamp) (export.Timestamp, error) {
	now, err := s.clock.present()
	if err != nil || asOf.IsZero() {
		return now, err
	}
	if asOf.Compare(now) > 0 {
		return asOf, fmt.Errorf("as of %s: it is %s now", asOf, now)
	}
	return asOf, s.keeps(asOf)
}

// keeps is a *export.BeforeGCError where history at t is gone. It needs mu.
func (s *Store) keeps(t export.Timestamp) error {
	if t.Compare(s.meta.Oldest) < 0 {
		return &export.BeforeGCError{AsOf: t, Threshold: s.meta.Oldest}
	}
	return nil
}

// Timestamp is the moment that the transaction reads at.
func (t *Tx) Timestamp() export.Timestamp { return t.read }

// enter takes the store's mu for a call on a transaction that can go on.
func (t *Tx) enter(ctx context.Context) error {
	if err := t.store.begin(ctx); err != nil {
		return err
	}
	err := t.ended()
	if err != nil {
		t.store.mu.Unlock()
	}
	return err
}

func (t *Tx) ended() error {
	switch {
	case t.state == running:
		return nil
	case t.why != nil:
		return t.why
	}
	return errEnded
}

func (t *Tx) lock(key []byte) {
	t.keys[string(key)] = true
	t.store.locks[string(key)] = lock{string(key), t}
}

// end marks a transaction that is out of the way. It needs mu.
func (t *Tx) end(to txState) {
	s := t.store
	t.state = to
	delete(s.open, t)
	close(t.over)
	if !s.writing() {
		s.reads.forget()
	}
}

// writing reports whether somebody may still write below the clock. It needs mu.
func (s *Store) writing() bool {
	if s.building > 0 {
		return true
	}
	for t := range s.open {
		if !t.write.IsZero() {
			return true
		}
	}
	return false
}

// Commit makes what was written durable and visible at the timestamp that it returns,
// zero where nothing was written. A *[RetryError] says that somebody has pushed the
// transaction, which is no more. Once the commit is decided the context plays no part.
//
//	record {write: 7}        Put: with the lock and the version, in one batch
//	record {committed: true} Commit: synced, and all is decided
//	no record, no locks      then
//
// Up to the sync a crash leaves a dead transaction, from there on a committed one,
// which Open resolves. In between others meet the locks, so that nobody sees what a
// crash could take back.
func (t *Tx) Commit(ctx context.Context) (export.Timestamp, error) {
	at, err := t.commit(ctx)
	if err != nil {
		return at, fmt.Errorf("commit: %w", err)
	}
	return at, nil
}

func (t *Tx) commit(ctx context.Context) (export.Timestamp, error) {
	s := t.store
	if err := t.enter(ctx); err != nil {
		return export.Timestamp{}, err
	}
	defer s.mu.Unlock()
	if t.write.IsZero() {
		t.end(committed)
		return t.write, nil
	}
	t.state = committing
	s.running.Add(1)
	defer s.running.Done()
	err := t.decide()
	if err == nil {
		err = s.resolve(t, committed)
	}
	if err != nil { // the next process finds out
		s.broken = fmt.Errorf("the store is in doubt about a commit: %w", err)
		t.end(committing)
		return export.Timestamp{}, s.broken
	}
	return t.write, nil
}

// decide makes the record of a committed transaction durable, and with it, for they
// came before it in the log, all its versions. It lets go of mu while it waits.
func (t *Tx) decide() error {
	s := t.store
	stored, err := json.Marshal(txRecord{Name: t.name, Write: t.write, Committed: true})
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	if err := b.Set(txKey(t.id), stored, nil); err != nil {
		return err
	}
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return err
	}
	s.mu.Unlock()
	err = b.SyncWait()
	s.mu.Lock()
	return errors.Join(err, b.Close())
}

// Rollback ends the transaction and takes back what it has written. After Commit it
// does nothing, so that deferring it is always right.
func (t *Tx) Rollback() error {
	s := t.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.state != running || s.closed || s.broken != nil {
		return nil
	}
	if err := s.resolve(t, aborted); err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	return nil
}

// Update runs do in a transaction and commits it, again from the beginning for as long
// as that ends with a *[RetryError]: after each it waits until the other transaction
// has ended. do must not end the transaction, and may be called many times.
func (s *Store) Update(ctx context.Context, opts *TxOptions, do func(t *Tx) error) (export.Timestamp, error) {
	for {
		at, err := s.try(ctx, opts, do)
		var retry *RetryError
		if !errors.As(err, &retry) {
			return at, err
		}
		if retry.over == nil {
			continue
		}
		select {
		case <-retry.over:
		case <-ctx.Done():
			return at, errors.Join(ctx.Err(), err)
		}
	}
}

func (s *Store) try(ctx context.Context, opts *TxOptions, do func(t *Tx) error) (at export.Timestamp, err error) {
	t, err := s.Begin(ctx, opts)
	if err != nil {
		return at, err
	}
	if err := do(t); err != nil {
		return at, errors.Join(err, t.Rollback())
	}
	at, err = t.Commit(ctx)
	if err != nil {
		err = errors.Join(err, t.Rollback())
	}
	return at, err
}
