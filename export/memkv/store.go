package memkv

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/catalog"
)

// Store is one process's use of a database in memory. It implements
// [export.Store] and [export.SnapshotKeeper] and is safe for concurrent use.
type Store struct {
	db     *database
	closed bool // under db.mu
}

var (
	_ export.Store          = (*Store)(nil)
	_ export.SnapshotKeeper = (*Store)(nil)
)

// database is what a restart leaves. All of it is guarded by mu, save for what
// versions share.
type database struct {
	opts  Options
	order *export.Order

	mu        sync.Mutex
	lineage   string
	last      export.Timestamp // given out: every write comes after it
	oldest    export.Timestamp
	points    tree
	ranges    []rangeWrite  // only appended to, or made anew: versions share its array
	objects   []objectWrite // made anew at each change
	static    *catalog.Tree // in the place of objects, if Options has some
	lastID    uint64        // the greatest that an object was given
	locks     []lock        // by key; made anew at each change
	named     map[string]*kept
	staging   *staging // the one that has a name
	displaced int64    // bytes of values that were written over, ever
}

// version is what the database says at one moment. It never changes.
type version struct {
	points  *node
	ranges  []rangeWrite
	objects []objectWrite
	locks   []lock
	oldest  export.Timestamp
}

// New is an empty store.
func New(opts *Options) (*Store, error) {
	full := opts.withDefaults()
	if err := full.validate(); err != nil {
		return nil, err
	}
	db := &database{
		opts:    full,
		order:   full.Order,
		lineage: full.Lineage,
		points:  newTree(full.Order.Compare),
		named:   map[string]*kept{},
	}
	if len(full.Objects) > 0 {
		static, err := catalog.NewTree(full.Order, catalog.CloneAll(full.Objects))
		if err != nil {
			return nil, fmt.Errorf("memkv options: Objects: %w", err)
		}
		db.static = static
	}
	if db.lineage == "" {
		drawn, err := full.drawLineage()
		if err != nil {
			return nil, err
		}
		db.lineage = drawn
	}
	return &Store{db: db}, nil
}

// Reopen ends this store as if its process had died, and is the store of the
// next process.
func (s *Store) Reopen() *Store {
	s.Close()
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	for name, k := range s.db.named {
		k.users = 0
		if k.released {
			delete(s.db.named, name)
		}
	}
	return &Store{db: s.db}
}

// Close closes the database: calls on the store and on its snapshots, cursors and
// ingesters return export.ErrClosed from here on. A second Close does nothing.
func (s *Store) Close() {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.closed = true
}

// Info implements [export.Store].
func (s *Store) Info(ctx context.Context) (export.Info, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return export.Info{}, fmt.Errorf("info: %w", err)
	}
	return export.Info{
		Engine:       "memkv",
		Lineage:      s.db.lineage,
		Order:        s.db.order,
		Revisions:    !s.db.opts.SingleRevision,
		Locks:        s.db.opts.Locks,
		AtomicIngest: true,
		Oldest:       s.db.oldest,
		Regions:      slices.Clone(s.db.opts.Regions),
	}, nil
}

// usable is why no call can be served now. It needs db.mu.
func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return export.ErrClosed
	}
	return ctx.Err()
}

// freeze is the database as it is now. It needs mu.
func (db *database) freeze() version {
	return version{points: db.points.freeze(), ranges: db.ranges, objects: db.objects, locks: db.locks, oldest: db.oldest}
}

// wall is the first position of the present nanosecond.
func (db *database) wall() export.Timestamp { return export.At(db.opts.Now()) }

// tick is a timestamp after every other that was given out. It needs mu.
func (db *database) tick() export.Timestamp {
	db.last = later(db.wall(), db.last.Next())
	return db.last
}

func later(t, u export.Timestamp) export.Timestamp {
	if t.Compare(u) < 0 {
		return u
	}
	return t
}

// checkSpan refuses spans that tear a prefix apart.
func (db *database) checkSpan(span export.Span) error {
	if !db.order.CutPoint(span.Start) || !db.order.CutPoint(span.End) {
		return fmt.Errorf("span %s: an end is not a bare prefix", span)
	}
	return nil
}
