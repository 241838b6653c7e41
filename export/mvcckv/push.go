package mvcckv

import (
	"context"

	"github.com/varvekv/varve/export"
)

// settle makes way for t at a lock, or says that t has to give way: who is dead or of
// a lower priority is aborted. It needs mu.
func (t *Tx) settle(l lock) error {
	h := l.holder
	if h.state == dead || h.state == running && h.priority < t.priority {
		return t.store.push(h, l.key, t.name)
	}
	return &RetryError{Conflict: Locked, Key: []byte(l.key), Holder: h.name, over: h.over}
}

// push aborts a transaction that is running or dead. What it does next ends with a
// *RetryError. It needs mu.
func (s *Store) push(h *Tx, key, pusher string) error {
	h.why = &RetryError{Conflict: Pushed, Key: []byte(key), Holder: pusher}
	return s.resolve(h, aborted)
}

// pass settles the locks that find finds until there are none. One whose commit was
// decided is waited for, without mu: it waits for nobody but the disk. It needs mu.
func (s *Store) pass(ctx context.Context, find func() []lock, settle func(lock) error) error {
	for {
		if err := s.usable(ctx); err != nil {
			return err
		}
		var decided *Tx
		for _, l := range find() {
			switch l.holder.state {
			case committing:
				decided = l.holder
			case running, dead: // else an earlier lock of it was settled
				if err := settle(l); err != nil {
					return err
				}
			}
		}
		if decided == nil {
			return nil
		}
		s.mu.Unlock()
		select {
		case <-decided.over:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
}

// pass notes that t reads span, and settles the locks in it. It needs mu.
func (t *Tx) pass(ctx context.Context, span export.Span) error {
	s := t.store
	if s.writing() {
		s.reads.span(span, t.read)
	}
	return s.pass(ctx, func() []lock { return s.locksIn(span, t.read, t) }, t.settle)
}
