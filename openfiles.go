package varve

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// lender lends readers of files. Whoever borrows one gives it back.
type lender interface {
	borrow(ctx context.Context, f *leveledFile) (*sink.Reader, error)
	giveBack(f *leveledFile) error
}

// openFiles lends readers of files to whoever looks things up, in no known order. Those
// that were used last stay open, up to a limit, beside those that are lent. It is safe for
// concurrent use.
type openFiles struct {
	bucket *objectio.Bucket
	limit  int // of files that nobody uses

	mu     sync.Mutex
	open   map[*leveledFile]*openFile
	idle   []*leveledFile // the one that was given back last at the end
	closed bool
}

type openFile struct {
	users  int
	ready  chan struct{} // closed when it is known how opening it went
	reader *sink.Reader
	err    error
}

func newOpenFiles(bucket *objectio.Bucket, limit int) *openFiles {
	return &openFiles{bucket: bucket, limit: limit, open: map[*leveledFile]*openFile{}}
}

// errReaderClosed is for calls on a reader after its Close.
var errReaderClosed = errors.New("the reader is closed")

// borrow opens the file, or waits for whoever is about to. One that could not be opened is
// tried again by the next who asks: what failed may be the other's context.
func (o *openFiles) borrow(ctx context.Context, f *leveledFile) (*sink.Reader, error) {
	for {
		of, first, err := o.take(f)
		if err != nil {
			return nil, err
		}
		if first {
			of.reader, of.err = sink.Open(ctx, o.bucket, f.form, f.File)
			if of.err != nil {
				o.forget(f)
			}
			close(of.ready)
			return of.reader, of.err
		}
		select {
		case <-of.ready:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), o.leave(f, of))
		}
		if of.err == nil {
			return of.reader, nil
		}
	}
}

// take counts a user in. First is whether that one is to open the file.
func (o *openFiles) take(f *leveledFile) (_ *openFile, first bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, false, errReaderClosed
	}
	of := o.open[f]
	if of == nil {
		of = &openFile{ready: make(chan struct{})}
		o.open[f], first = of, true
	} else if of.users == 0 {
		o.idle = slices.DeleteFunc(o.idle, func(g *leveledFile) bool { return g == f })
	}
	of.users++
	return of, first, nil
}

// forget drops a file that could not be opened, and all who waited for it with it.
func (o *openFiles) forget(f *leveledFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, f)
}

func (o *openFiles) giveBack(f *leveledFile) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.drop(f)
}

// leave is for one who did not wait until the file was open. It may be forgotten by now.
func (o *openFiles) leave(f *leveledFile, of *openFile) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[f] != of {
		return nil
	}
	return o.drop(f)
}

func (o *openFiles) drop(f *leveledFile) error {
	of := o.open[f]
	if of.users--; of.users > 0 {
		return nil
	}
	o.idle = append(o.idle, f)
	if len(o.idle) <= o.limit && !o.closed {
		return nil
	}
	return o.remove(o.idle[0])
}

// remove closes a file that nobody uses.
func (o *openFiles) remove(f *leveledFile) error {
	of := o.open[f]
	delete(o.open, f)
	o.idle = slices.DeleteFunc(o.idle, func(g *leveledFile) bool { return g == f })
	return of.reader.Close()
}

// close closes what nobody uses, and lets the rest be closed when it is given back.
func (o *openFiles) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	var err error
	for len(o.idle) > 0 {
		err = errors.Join(err, o.remove(o.idle[0]))
	}
	return err
}
