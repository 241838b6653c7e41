package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// A store that keeps revisions, or has locks, is read in pages: each is an attempt of its
// own, which has its time, holds nothing open in the store while what it read is stored,
// and is the place at which the next one goes on. A page may end between two revisions of
// one key (I4).

// pageBytes is about how much one attempt reads into memory. It is less where files are
// smaller.
const pageBytes = 4 << 20

// errAttempt is why the context of an attempt ended that took too long.
var errAttempt = errors.New("attempt took too long")

// pages joins them to one cursor.
type pages struct {
	r    *run
	ctx  context.Context
	open func(ctx context.Context, req export.Request) (export.Cursor, error)
	req  export.Request

	page  []pageEntry
	bytes []byte // of the entries in it, save where it had to grow
	size  int64
	at    int   // place of the next entry in the page
	end   error // what comes behind the page: errEnd at the end, nil if another page does
}

// pageEntry is an entry and, of changes that tell it, what it replaced.
type pageEntry struct{ entry, former export.Entry }

var errEnd = errors.New("nothing follows")

// read opens an export of the snapshot.
func (r *run) read(ctx context.Context, s export.Snapshot, req export.Request) (export.Cursor, error) {
	if !r.pages() {
		return s.Export(ctx, req)
	}
	return &pages{r: r, ctx: ctx, open: s.Export, req: req}, nil
}

// readChanges opens an export of changes with what they replaced.
func (r *run) readChanges(ctx context.Context, s export.Snapshot, req export.Request) (export.Changes, error) {
	changes := s.(export.Differ).Changes
	if !r.pages() {
		return changes(ctx, req)
	}
	open := func(ctx context.Context, req export.Request) (export.Cursor, error) { return changes(ctx, req) }
	return &pages{r: r, ctx: ctx, open: open, req: req}, nil
}

// pages reports whether the store is read so.
func (r *run) pages() bool { return r.info.Revisions || r.info.Locks }

// Next implements [export.Cursor].
func (p *pages) Next() bool {
	for p.at == len(p.page) && p.end == nil {
		p.end = p.turn()
	}
	if p.at == len(p.page) {
		return false
	}
	p.at++
	return true
}

// turn reads the next page, and is what comes behind it.
func (p *pages) turn() error {
	p.page, p.bytes, p.at, p.size = p.page[:0], p.bytes[:0], 0, 0
	limit := p.r.opts.Locks.AttemptTimeout
	ctx, cancel := context.WithTimeoutCause(p.ctx, limit, errAttempt)
	defer cancel()
	req := p.req
	if p.r.pushes.Load() {
		req.Locks = export.PushLocks
	}
	err := p.attempt(ctx, req)
	if req.Locks == export.PushLocks && locked(err) != nil {
		err = fmt.Errorf("%w, and still: %w", errPushed, err)
	}
	if err != nil && p.ctx.Err() == nil && errors.Is(context.Cause(ctx), errAttempt) {
		if p.cut() {
			err = nil // it was slow, and got somewhere
		} else {
			err = fmt.Errorf("store gave no answer within %s: %w", limit, err)
		}
	}
	if n := len(p.page); n > 0 {
		position := p.page[n-1].entry.Position()
		position.Key = slices.Clone(position.Key)
		p.req.Resume = &position
	}
	return err
}

// attempt reads one page from the store.
func (p *pages) attempt(ctx context.Context, req export.Request) (err error) {
	in, err := p.open(ctx, req)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := in.Close(); closeErr != nil && (err == nil || errors.Is(err, errEnd)) {
			err = closeErr
		}
	}()
	changes, _ := in.(export.Changes)
	for in.Next() {
		next := pageEntry{entry: p.keep(in.Entry())}
		if changes != nil {
			if former := changes.Former(); former != nil {
				next.former = p.keep(former)
			}
		}
		p.page = append(p.page, next)
		p.size += next.entry.Size()
		if p.size >= min(pageBytes, p.r.opts.TargetFileBytes) && !next.entry.Kind.IsRange() {
			return nil
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	return errEnd
}

// keep is a copy of e whose bytes are the page's.
func (p *pages) keep(e *export.Entry) export.Entry {
	out := *e
	for _, b := range []*[]byte{&out.Key, &out.End, &out.Suffix, &out.Value} {
		if len(*b) > 0 {
			from := len(p.bytes)
			p.bytes = append(p.bytes, *b...)
			*b = p.bytes[from:len(p.bytes):len(p.bytes)]
		}
	}
	return out
}

// cut leaves of the page what another can go on after, and is false if that is nothing.
func (p *pages) cut() bool {
	for n := len(p.page); n > 0; n-- {
		if !p.page[n-1].entry.Kind.IsRange() {
			p.page = p.page[:n]
			return true
		}
	}
	return false
}

// Entry implements [export.Cursor].
func (p *pages) Entry() *export.Entry { return &p.page[p.at-1].entry }

// Former implements [export.Changes].
func (p *pages) Former() *export.Entry {
	if former := &p.page[p.at-1].former; former.Kind != 0 {
		return former
	}
	return nil
}

// Err implements [export.Cursor].
func (p *pages) Err() error {
	if errors.Is(p.end, errEnd) {
		return nil
	}
	return p.end
}

// Close implements [export.Cursor].
func (p *pages) Close() error {
	p.page, p.at, p.end = nil, 0, errEnd
	return nil
}
