package pebblekv

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/catalog"
	"github.com/varvekv/varve/export/internal/durable"
)

// Options adjusts a [Store] or a [Directory]. It is copied; nil means all defaults.
type Options struct {
	// Pebble is what the database was opened with: comparer, merger, file system,
	// key schemas and level options are taken from it. nil: Pebble's defaults. The
	// names of comparer and merger are checked against the OPTIONS file in the
	// database's directory.
	Pebble *pebble.Options

	// SnapshotDir is where snapshots are kept and loads are staged. It must be on
	// the file system of the database, else tables are copied instead of linked,
	// and belong to this database alone. "": varve-snapshots inside the database's
	// directory, which Pebble leaves alone.
	SnapshotDir string

	// Objects are databases and tables over spans of keys, a catalog that stands still.
	// IDs are unique and not 0, names are unique in a parent, parents are among them, and
	// spans are apart and cut at bare prefixes: by export.PrefixSpan, where the order of the
	// keys is bytewise. A restore to another program's database finds an object under
	// its path, so that both may declare it at different places. nil: none, and snapshots
	// are no export.Cataloger.
	Objects []export.Object

	// Regions are what Info.Regions says.
	Regions []string

	// Now stamps snapshots. nil: time.Now.
	Now func() time.Time
}

// config is Options with every default filled in.
type config struct {
	pebble     *pebble.Options // never handed to Pebble without a clone
	fs         vfs.FS
	order      *export.Order
	objects    *catalog.Tree // nil: none
	badObjects error         // why they are none
	regions    []string
	now        func() time.Time
}

func (o *Options) config() config {
	if o == nil {
		o = &Options{}
	}
	p := o.Pebble.Clone()
	if p.FS == nil {
		p.FS = vfs.Default // EnsureDefaults would watch it, in a goroutine that nobody ends
	}
	p.EnsureDefaults()
	c := config{pebble: p, fs: p.FS, order: orderOf(p.Comparer), regions: slices.Clone(o.Regions), now: o.Now}
	if o.Objects != nil {
		c.objects, c.badObjects = catalog.NewTree(c.order, catalog.CloneAll(o.Objects))
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

// info is what a store with these options says of itself, lineage excepted.
func (c *config) info() export.Info {
	return export.Info{
		Engine: "pebble", Order: c.order, Merger: c.pebble.Merger.Name,
		Regions: slices.Clone(c.regions), AtomicIngest: true,
	}
}

// checkNames compares the names of comparer and merger with those that the
// database in dir was last opened with.
func (c *config) checkNames(dir string) error {
	desc, err := pebble.Peek(dir, c.fs)
	if err != nil {
		return err
	}
	if desc.OptionsFilename == "" {
		return errors.New("no Pebble database: it has no OPTIONS file")
	}
	text, err := durable.ReadFile(c.fs, desc.OptionsFilename)
	if err != nil {
		return err
	}
	o := c.pebble.Clone()
	o.Unsafe.AllowMissingWALDirs = true // where the log is does not matter here
	o.Logger = quietLogger{o.Logger}
	if err := o.CheckCompatibility(dir, string(text)); err != nil {
		return fmt.Errorf("options do not fit the database: %w", err)
	}
	return nil
}

// quietLogger keeps the chatter of databases that we open out of the user's log.
type quietLogger struct{ pebble.Logger }

func (quietLogger) Infof(string, ...any) {}
