package varve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/varvekv/varve/internal/objectio"
)

// errUntried stands for a finding that needs a right which is missing.
var errUntried = errors.New("not tried: what it needs was refused")

// probe is one run of Check.
type probe struct {
	report  *StorageReport
	handles []*objectio.Bucket // of the same place; the first is the collection's
	close   func() error       // of the others
	now     func() time.Time
	noise   []byte // for the large object; it does not compress
	prefix  string

	mu      sync.Mutex
	written map[string]int64 // sizes of objects that may be there, by key
}

const (
	probeSamples = 5       // small objects
	probeWriters = 4       // that race
	probeRounds  = 5       // of them
	probeLarge   = 8 << 20 // of the large object: more than is sent whole
)

func (c *Collection) newProbe(ctx context.Context) (*probe, error) {
	id, err := newID(c.opts.Rand)
	if err != nil {
		return nil, err
	}
	noise := make([]byte, probeLarge)
	if _, err := io.ReadFull(c.opts.Rand, noise); err != nil {
		return nil, fmt.Errorf("draw bytes: %w", err)
	}
	handles, closeAll, err := c.secondHandle(ctx)
	if err != nil {
		return nil, err
	}
	report := &StorageReport{Place: c.name, Delete: errUntried, CreateOnly: errUntried, Listing: errUntried}
	return &probe{
		report: report, handles: handles, close: closeAll, now: c.opts.Now, noise: noise,
		prefix: probePrefix + id + "/", written: map[string]int64{},
	}, nil
}

// secondHandle is the collection's bucket and, where there is a URL to open it by again,
// one that shares nothing with it, as another process has it.
func (c *Collection) secondHandle(ctx context.Context) ([]*objectio.Bucket, func() error, error) {
	if c.reopen == nil {
		return []*objectio.Bucket{c.bucket}, func() error { return nil }, nil
	}
	other, closeOther, err := c.reopen(ctx)
	if err != nil {
		return nil, nil, err
	}
	return []*objectio.Bucket{c.bucket, other}, closeOther, nil
}

// create makes an object that is to be deleted again, be it there or not.
func (p *probe) create(ctx context.Context, b *objectio.Bucket, name string, body []byte) error {
	p.mu.Lock()
	p.written[p.prefix+name] = int64(len(body))
	p.mu.Unlock()
	return b.Create(ctx, p.prefix+name, body)
}

// small is the body of a small object, which no other has.
func (p *probe) small(name string, writer int) []byte {
	head := fmt.Sprintf("%s%s of writer %d\n", p.prefix, name, writer)
	return append([]byte(head), p.noise[:1<<10]...)
}

// rights writes small objects, reads and lists them.
func (p *probe) rights(ctx context.Context) {
	var writes, reads []time.Duration
	for i := range probeSamples {
		name := fmt.Sprintf("small-%d", i)
		took, err := p.timed(func() error { return p.create(ctx, p.handles[0], name, p.small(name, 0)) })
		writes = append(writes, took)
		p.report.Write = errors.Join(p.report.Write, storageError("write", p.prefix+name, err))
		if err != nil {
			break
		}
	}
	for i := range probeSamples {
		name := fmt.Sprintf("small-%d", i)
		took, err := p.timed(func() error { return p.read(ctx, name) })
		reads = append(reads, took)
		if p.report.Read = err; err != nil {
			break
		}
	}
	if p.report.Write == nil && p.report.Read == nil {
		p.report.WriteLatency, p.report.ReadLatency = middle(writes), middle(reads)
	}
}

// read reads a small object of rights. That there is none tells of the right, too,
// where none could be written.
func (p *probe) read(ctx context.Context, name string) error {
	want := p.small(name, 0)
	got, err := p.handles[0].Get(ctx, p.prefix+name, 2*int64(len(want)))
	switch {
	case p.report.Write != nil && errors.Is(err, objectio.ErrNotExist):
		return nil
	case err != nil:
		return storageError("read", p.prefix+name, err)
	case p.report.Write == nil && !bytes.Equal(got, want):
		return &CorruptError{Object: p.prefix + name, Want: "what was written", Got: "something else"}
	}
	return nil
}

// createOnly lets several create one object: first one after the other, then at once.
func (p *probe) createOnly(ctx context.Context) {
	p.report.CreateOnly = p.race(ctx, "again", 1)
	for i := 0; i < probeRounds && p.report.CreateOnly == nil; i++ {
		p.report.CreateOnly = p.race(ctx, fmt.Sprintf("race-%d", i), probeWriters)
	}
}

// race lets so many create an object at once, then one more. One of the former must
// win, and its object be there.
func (p *probe) race(ctx context.Context, name string, writers int) error {
	errs := make([]error, writers+1)
	write := func(i int) { errs[i] = p.create(ctx, p.handles[i%len(p.handles)], name, p.small(name, i)) }
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { write(i) })
	}
	wg.Wait()
	write(writers)
	winner, winners := 0, 0
	for i, err := range errs {
		switch {
		case err == nil:
			winner = i
			winners++
		case !errors.Is(err, objectio.ErrExist):
			return storageError("write", p.prefix+name, err)
		}
	}
	if winners != 1 {
		return fmt.Errorf("of %d that created %s, %d were told that they did; it must be one", len(errs), p.prefix+name, winners)
	}
	want := p.small(name, winner)
	got, err := p.handles[0].Get(ctx, p.prefix+name, 2*int64(len(want)))
	if err != nil {
		return storageError("read", p.prefix+name, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s is not what the one stored that was told that it did", p.prefix+name)
	}
	return nil
}

// listing wants everything written to be listed.
func (p *probe) listing(ctx context.Context) {
	missing := map[string]bool{}
	for key := range p.written {
		missing[key] = true
	}
	for e, err := range p.handles[len(p.handles)-1].List(ctx, p.prefix) {
		if err != nil {
			p.report.List = storageError("list", p.prefix, err)
			return
		}
		delete(missing, e.Key)
	}
	if p.report.Write != nil {
		return
	}
	p.report.Listing = nil
	for key := range missing {
		p.report.Listing = fmt.Errorf("a listing does not show %s, and %d more of %d that were there before it", key, len(missing)-1, len(p.written))
	}
}

// speed writes one larger object and reads it.
func (p *probe) speed(ctx context.Context) {
	key := p.prefix + "large"
	p.written[key] = probeLarge
	took, err := p.timed(func() error {
		_, err := p.handles[0].Put(ctx, key, func(w io.Writer) error {
			_, err := w.Write(p.noise)
			return err
		})
		return err
	})
	if err != nil {
		p.report.Write = storageError("write", key, err)
		return
	}
	p.report.UploadRate = rate(probeLarge, took)
	got := make([]byte, probeLarge)
	took, err = p.timed(func() error { return p.handles[0].Object(key, probeLarge).ReadAt(ctx, got, 0) })
	if err == nil && !bytes.Equal(got, p.noise) {
		err = &CorruptError{Object: key, Want: "what was written", Got: "something else"}
	}
	p.report.Read = storageError("read", key, err)
	p.report.DownloadRate = rate(probeLarge, took)
}

// cleanUpTime is what is left for deleting when the caller has no more time.
const cleanUpTime = 10 * time.Second

// cleanUp deletes what may be there, also when ctx is over.
func (p *probe) cleanUp(ctx context.Context) {
	over := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(over, func() { time.AfterFunc(cleanUpTime, cancel) })()
	if p.report.Write == nil {
		p.report.Delete = nil
	}
	for key := range p.written {
		err := p.delete(ctx, key)
		if err == nil {
			continue
		}
		p.report.Delete = err
		if _, err := p.handles[0].Size(ctx, key); !errors.Is(err, objectio.ErrNotExist) {
			p.report.Left = append(p.report.Left, key)
		}
	}
	slices.Sort(p.report.Left)
}

// delete deletes an object, and looks whether it did.
func (p *probe) delete(ctx context.Context, key string) error {
	if err := p.handles[0].Delete(ctx, key); err != nil {
		return storageError("delete", key, err)
	}
	_, err := p.handles[0].Size(ctx, key)
	switch {
	case err == nil:
		return fmt.Errorf("delete %s: storage says that it did, and the object is there", key)
	case errors.Is(err, objectio.ErrNotExist):
		return nil
	}
	return storageError("read", key, err)
}

// timed is how long do takes.
func (p *probe) timed(do func() error) (time.Duration, error) {
	begun := p.now()
	err := do()
	return p.now().Sub(begun), err
}

func middle(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)/2]
}

func rate(size int64, took time.Duration) int64 {
	if took <= 0 {
		return 0 // the clock stood still
	}
	return int64(float64(size) / took.Seconds())
}
