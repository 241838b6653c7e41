package pebblekv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
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
}

// tableFiles are the tables of a checkpoint, by level and then by key; those of
// level 0 in no order. Nothing of them is read.
func (c *checkpoint) tableFiles() ([]*tableFile, error) {
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
	return openTable(ctx, t.owner.pebble.FS, t.path(), t.owner.pebble)
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

// properties reads those of the table's file, once.
func (t *tableFile) properties(ctx context.Context, r *sstable.Reader) error {
	if t.Properties != nil {
		return nil
	}
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

// inspect opens t for its properties and range kinds.
func (t *tableFile) inspect(ctx context.Context, visit func(start, end []byte)) (err error) {
	r, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := t.properties(ctx, r); err != nil {
		return err
	}
	return t.cover(ctx, r, visit)
}
