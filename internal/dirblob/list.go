package dirblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"gocloud.dev/blob/driver"
)

const (
	// pageObjects bounds a page, and what is held of one folder.
	pageObjects = 4096

	readDirNames = 512
)

// ListPaged lists the objects in the order of their keys. Of each folder on the
// way it holds at most 2·pageObjects names, however many there are, and it opens
// no folder that cannot hold what is asked for. A page token is the last key of
// the page before.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if opts.BeforeList != nil {
		if err := opts.BeforeList(none); err != nil {
			return nil, err
		}
	}
	p := &page{prefix: opts.Prefix, delimiter: opts.Delimiter, limit: pageObjects, last: string(opts.PageToken)}
	if opts.PageSize > 0 {
		p.limit = min(p.limit, opts.PageSize)
	}
	if err := p.fill(ctx, b); err != nil {
		return nil, fmt.Errorf("list %s: %w", b.dir, err)
	}
	result := &driver.ListPage{Objects: p.objects}
	if p.more {
		result.NextPageToken = []byte(p.last)
	}
	return result, nil
}

// page is a page being filled. Names are keys, those of folders with a slash at
// the end: that is what sorts "a-" before the objects of "a/".
type page struct {
	prefix, delimiter string
	limit             int

	last    string // where the page before ended; then, what was added last
	objects []*driver.ListObject
	more    bool // there is an object that the page has no room for
}

// entry is a file or a folder that may be, or hold, what is asked for.
type entry struct {
	fs.DirEntry
	name string
}

func (p *page) fill(ctx context.Context, b *bucket) error {
	root, err := b.openRoot(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return p.walk(ctx, root, "")
}

// walk adds what a folder holds, some names at a time.
func (p *page) walk(ctx context.Context, root *os.Root, folder string) error {
	after := ""
	for !p.more {
		entries, err := p.entries(ctx, root, folder, after)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := p.visit(ctx, root, e); err != nil {
				return err
			}
			after = e.name
		}
		if len(entries) < pageObjects {
			return nil
		}
	}
	return nil
}

func (p *page) visit(ctx context.Context, root *os.Root, e entry) error {
	switch {
	case p.more || !p.wants(e.name):
		return nil
	case e.IsDir():
		return p.walk(ctx, root, e.name)
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	p.add(e.name, info)
	return nil
}

func (p *page) add(key string, info fs.FileInfo) {
	if len(p.objects) == p.limit {
		p.more = true
		return
	}
	object := &driver.ListObject{Key: key, ModTime: info.ModTime(), Size: info.Size(), AsFunc: none}
	if n := p.folds(key); n > 0 {
		object = &driver.ListObject{Key: key[:n], IsDir: true, AsFunc: none}
	}
	p.objects = append(p.objects, object)
	p.last = object.Key
}

// folds returns the length of the key up to the delimiter that folds it, or 0.
func (p *page) folds(key string) int {
	if p.delimiter == "" {
		return 0
	}
	i := strings.Index(key[len(p.prefix):], p.delimiter)
	if i < 0 {
		return 0
	}
	return len(p.prefix) + i + len(p.delimiter)
}

// wants tells whether the name is, or may lead to, an object of the prefix that
// comes after the last.
func (p *page) wants(name string) bool {
	folder := strings.HasSuffix(name, "/")
	if !strings.HasPrefix(name, p.prefix) && !(folder && strings.HasPrefix(p.prefix, name)) {
		return false
	}
	if !strings.HasPrefix(p.last, p.prefix) {
		return true // nothing was added before
	}
	if p.folds(p.last) > 0 && strings.HasPrefix(name, p.last) {
		return false
	}
	return name > p.last || folder && strings.HasPrefix(p.last, name)
}

// entries returns, in order, the first of the folder's entries after a name that
// the page wants: pageObjects of them, or all there are.
func (p *page) entries(ctx context.Context, root *os.Root, folder, after string) ([]entry, error) {
	f, err := root.Open("./" + folder)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var kept []entry
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := f.ReadDir(readDirNames)
		for _, d := range found {
			if e, ok := named(folder, d); ok && e.name > after && p.wants(e.name) {
				kept = append(kept, e)
			}
		}
		if err == io.EOF || gone(err) {
			return first(kept), nil
		}
		if err != nil {
			return nil, err
		}
		if len(kept) > 2*pageObjects-readDirNames {
			kept = first(kept)
		}
	}
}

// named gives an entry its name; what no key can name is left out.
func named(folder string, d fs.DirEntry) (entry, bool) {
	if reserved(d.Name()) || !fs.ValidPath(d.Name()) {
		return entry{}, false
	}
	if d.IsDir() {
		return entry{d, folder + d.Name() + "/"}, true
	}
	return entry{d, folder + d.Name()}, d.Type().IsRegular()
}

func first(entries []entry) []entry {
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries[:min(len(entries), pageObjects)]
}
