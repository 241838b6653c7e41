package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"
)

// copying is a bare limit: the files of a checkpoint are copied, hashed with BLAKE3
// and synced, and copied back and synced. A table that the last backup has is linked.
type copying struct {
	workers int
}

const copyOne = "limit: copy"

func (c copying) name() string {
	if c.workers > 1 {
		return fmt.Sprintf("%s, %d at once", copyOne, c.workers)
	}
	return copyOne
}

func (copying) engine() engine { return pebbles{} }

func (c copying) full(ctx context.Context, j *job) error { return c.incremental(ctx, j) }

func (c copying) incremental(ctx context.Context, j *job) error {
	checkpoint := filepath.Join(j.scratch, "checkpoint")
	if err := j.checkpoint(checkpoint); err != nil {
		return err
	}
	last, n, err := newestCopy(j)
	if err != nil {
		return err
	}
	to := filepath.Join(j.backups, fmt.Sprintf("%03d", n))
	sums, err := c.copy(ctx, checkpoint, to, last, true)
	if err != nil {
		return err
	}
	j.synced = byBench
	return errors.Join(writeSynced(to+".blake3", func(w io.Writer) error {
		_, err := fmt.Fprint(w, sums)
		return err
	}), syncFolder(j.backups))
}

func (c copying) restore(ctx context.Context, j *job) error {
	from, _, err := newestCopy(j)
	if err != nil {
		return err
	}
	j.synced = byBench
	_, err = c.copy(ctx, from, j.to, "", false)
	return err
}

// newestCopy is the folder of the newest backup, "" if there is none, and how many
// there are.
func newestCopy(j *job) (dir string, n int, err error) {
	sums, err := filepath.Glob(filepath.Join(j.backups, "*.blake3"))
	if n = len(sums); n > 0 {
		dir = filepath.Join(j.backups, fmt.Sprintf("%03d", n-1))
	}
	return dir, n, err
}

// copy copies files and returns hashes by name if it is told to hash. Tables that
// last has are linked: Pebble never uses the number of a table again.
func (c copying) copy(ctx context.Context, from, to, last string, hash bool) (sums map[string]string, err error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, err
	}
	sums = map[string]string{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.workers)
	for _, e := range entries {
		name := e.Name()
		if last != "" && immutable(name) && os.Link(filepath.Join(last, name), filepath.Join(to, name)) == nil {
			continue // what cannot be linked is new
		}
		g.Go(func() error {
			var sum *blake3.Hasher
			if hash {
				sum = blake3.New()
			}
			if err := errors.Join(ctx.Err(), copySynced(filepath.Join(from, name), filepath.Join(to, name), sum)); err != nil || !hash {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			sums[name] = fmt.Sprintf("%x", sum.Sum(nil))
			return nil
		})
	}
	return sums, errors.Join(g.Wait(), syncFolder(to))
}

// scanning is a bare limit: an iterator reads every row of a checkpoint. It keeps
// nothing.
type scanning struct{}

func (scanning) name() string   { return "limit: scan" }
func (scanning) engine() engine { return pebbles{} }

func (scanning) full(_ context.Context, j *job) (err error) {
	checkpoint := filepath.Join(j.scratch, "checkpoint")
	if err := j.checkpoint(checkpoint); err != nil {
		return err
	}
	o := pebbleOptions(anySize)
	o.ReadOnly = true
	db, err := pebble.Open(checkpoint, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	j.synced = "nothing to"
	var bytes int
	return iterate(db, func(key, value []byte) { bytes += len(key) + len(value) })
}

func (scanning) incremental(context.Context, *job) error { return errors.ErrUnsupported }
func (scanning) restore(context.Context, *job) error     { return errors.ErrUnsupported }
