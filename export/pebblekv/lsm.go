package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export/internal/tables"
)

// tableFile is a table of a checkpoint, and what it takes to read it without the
// database: bounds of virtual tables, sequence numbers of ingested ones and prefixes
// are in the manifest only.
type tableFile struct {
	pebble.SSTableInfo
	owner  *checkpoint
	level  int
	env    sstable.ReadEnv
	points sstable.IterTransforms
	ranges sstable.FragmentIterTransforms
	blobs  []string // paths of the files that hold values of it

	mu    sync.Mutex // over Properties
	spans []keySpan  // that range kinds cover; known when the properties are
}

// tableFiles are the tables of a checkpoint, by level and then by key; those of
// level 0 in no order. Nothing of them is read. They are listed once.
func (c *checkpoint) tableFiles() ([]*tableFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tables != nil {
		return c.tables, nil
	}
	all, err := c.listTables()
	if err == nil {
		c.tables = all
	}
	return all, err
}

func (c *checkpoint) listTables() ([]*tableFile, error) {
	levels, err := c.db.SSTables()
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	// The version of a database that is open for reading alone never changes.
	version := c.db.DebugCurrentVersion()
	var all []*tableFile
	for level, infos := range levels {
		i := 0
		for m := range version.Levels[level].All() {
			t := &tableFile{
				SSTableInfo: infos[i], owner: c, level: level,
				points: m.IterTransforms(), ranges: m.FragmentIterTransforms(),
			}
			t.env.Virtual = m.VirtualParams
			for _, ref := range m.BlobReferences {
				file, ok := version.BlobFiles.Lookup(ref.FileID)
				if !ok {
					return nil, fmt.Errorf("table %s: blob file %s is not known", t.FileNum, ref.FileID)
				}
				t.blobs = append(t.blobs, c.join(file.String()+".blob"))
			}
			all = append(all, t)
			i++
		}
	}
	return all, nil
}

func (c *checkpoint) join(name string) string { return c.pebble.FS.PathJoin(c.path, name) }

func (t *tableFile) path() string { return t.owner.join(t.BackingSSTNum.String() + ".sst") }

func (t *tableFile) open(ctx context.Context) (*sstable.Reader, error) {
	return tables.Open(ctx, t.owner.pebble.FS, t.path(), t.owner.pebble)
}

// identity is what two checkpoints must agree on before it is worth to ask whether
// their tables are one file. A number alone tells nothing: it is used again where
// a database was rolled back or copied, and an excise changes what is visible of a
// file without changing it.
type identity struct {
	table, backing    uint64
	smallest, largest string
	low, high         pebble.SeqNum
	virtual           bool
	prefix, suffix    string
}

func (t *tableFile) identity() identity {
	edge := func(k pebble.InternalKey) string { return fmt.Sprintf("%d %s", k.Trailer, k.UserKey) }
	synthetic := t.points.SyntheticPrefixAndSuffix
	return identity{
		table: uint64(t.FileNum), backing: uint64(t.BackingSSTNum),
		smallest: edge(t.Smallest), largest: edge(t.Largest),
		low: t.SmallestSeqNum, high: t.LargestSeqNum,
		virtual: t.Virtual,
		prefix:  string(synthetic.Prefix()), suffix: string(synthetic.Suffix()),
	}
}

// same reports whether t and u, of one identity, show the same: whether the files
// behind them are.
func (t *tableFile) same(u *tableFile) (bool, error) {
	if len(t.blobs) != len(u.blobs) {
		return false, nil
	}
	fs := t.owner.pebble.FS
	one, err := sameFile(fs, t.path(), u.path())
	for i := 0; one && err == nil && i < len(t.blobs); i++ {
		one, err = sameFile(fs, t.blobs[i], u.blobs[i])
	}
	return one, err
}

func (t *tableFile) properties(ctx context.Context, r *sstable.Reader) error {
	p, err := r.ReadPropertiesBlock(ctx, nil)
	if err != nil {
		return err
	}
	t.Properties = &p
	return nil
}

// cover calls visit for the spans of all range deletions and range keys of t.
func (t *tableFile) cover(ctx context.Context, r *sstable.Reader, visit func(start, end []byte)) error {
	open := r.NewRawRangeDelIter
	for range 2 {
		it, err := open(ctx, t.ranges, t.env)
		if err != nil {
			return err
		}
		open = r.NewRawRangeKeyIter
		if it == nil {
			continue
		}
		s, err := it.First()
		for ; s != nil && err == nil; s, err = it.Next() {
			visit(s.Start, s.End)
		}
		it.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// covered are the spans of all range deletions and range keys of t, whose properties
// are read with them. That is done once.
func (t *tableFile) covered(ctx context.Context) ([]keySpan, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Properties != nil {
		return t.spans, nil
	}
	r, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	t.spans = nil
	err = t.cover(ctx, r, func(start, end []byte) {
		t.spans = append(t.spans, keySpan{start: slices.Clone(start), end: slices.Clone(end)})
	})
	if err == nil {
		err = t.properties(ctx, r)
	}
	return t.spans, errors.Join(err, r.Close())
}

// known are the properties of t, nil if it was not looked into.
func (t *tableFile) known() *sstable.Properties {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Properties
}
