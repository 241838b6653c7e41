package varve

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/internal/objectio"
)

// census is all that a collection consists of, by one listing. What it does not
// recognise is not in it, and so is left alone. Of sealed layers it sees what they show:
// it needs no key.
type census struct {
	b        *collectionBucket
	now      time.Time     // see clock
	ahead    time.Duration // of the bucket's clock before that of this process
	sites    map[string]*site
	layers   map[string]*stored   // that are committed, by ID
	stands   map[string][]*stored // those that stand for others, by the IDs of these
	homes    map[string]*site     // where a layer lies, committed or not, by its ID
	index    map[string][]objectio.Entry
	refs     []reference
	spoke    map[string]time.Time // when a layer or its run last said something outside its path
	jobs     map[string]*jobSign  // the last of each, by ID
	marks    map[string]time.Time // when a layer was retired
	verified map[string][]provedRecord
	records  []objectio.Entry // of runs that expire layers
	probes   []objectio.Entry // of somebody who tried what the bucket does
}

// stored is a committed layer.
type stored struct {
	info     LayerInfo
	manifest *Manifest
	site     *site
	at       time.Time // when the bucket got its manifest

	// As ways says:
	below  *stored   // what it is restored on; nil: it is a full, or the chain is broken
	shares []*stored // layers whose files it lists
	whole  bool      // there is a way down to a full
	bytes  int64     // to read, all the way
	count  int
}

// takeCensus lists the collection and reads its manifests, claims, references and
// verifications; those that an earlier census has read, it takes from there. Recent is an
// object that was written just now, and must be listed: so what was written before it is,
// too. "": there is none.
func takeCensus(ctx context.Context, b *collectionBucket, recent string, client time.Time, earlier *census) (*census, error) {
	c := &census{
		b: b, sites: map[string]*site{}, layers: map[string]*stored{}, homes: map[string]*site{},
		index: map[string][]objectio.Entry{}, spoke: map[string]time.Time{}, jobs: map[string]*jobSign{},
		marks: map[string]time.Time{}, verified: map[string][]provedRecord{},
	}
	var newest, written time.Time
	for object, err := range b.List(ctx, "") {
		if err != nil {
			return nil, storageError("list", "the collection", err)
		}
		c.add(object)
		newest = later(newest, object.ModTime)
		if object.Key == recent {
			written = object.ModTime
		}
	}
	if recent != "" {
		if written.IsZero() {
			return nil, staleError(recent)
		}
		newest = written
	}
	c.clock(newest, client)
	for _, read := range []func(context.Context) error{
		func(ctx context.Context) error { return c.readSites(ctx, earlier) }, c.readJobs, c.readRefs, c.readProofs,
	} {
		if err := read(ctx); err != nil {
			return nil, err
		}
	}
	c.ways()
	return c, nil
}

// clock says what time it is: what the bucket says, by the date of an object that was
// written just now, or else of the newest, which nobody wrote later than now; but no later
// than it is for this process. So what goes because it is old is old by two clocks, and one
// of them that jumps makes nothing go.
func (c *census) clock(bucket, client time.Time) {
	c.now, c.ahead = bucket, bucket.Sub(client)
	if c.ahead > 0 {
		c.now = client
	}
}

func staleError(object string) error {
	return fmt.Errorf("list the collection: %s is missing, which was just written: nothing was deleted", object)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (c *census) add(o objectio.Entry) {
	top, rest, _ := strings.Cut(o.Key, "/")
	switch top + "/" {
	case indexPrefix:
		if l, err := parseIndex(o.Key); err == nil {
			c.index[l.ID] = append(c.index[l.ID], o)
			c.spoke[l.ID] = later(c.spoke[l.ID], o.ModTime)
		}
	case refsPrefix:
		if layer, holder, err := parseRef(o.Key); err == nil {
			c.refs = append(c.refs, reference{Entry: o, layer: layer, holder: holder})
			c.spoke[holder], c.spoke[layer] = later(c.spoke[holder], o.ModTime), later(c.spoke[layer], o.ModTime)
		}
	case retiredPrefix:
		if layer, err := parseRetired(o.Key); err == nil {
			c.marks[layer] = o.ModTime
		}
	case verifiedPrefix:
		if layer, level, err := parseVerified(o.Key); err == nil {
			c.verified[layer] = append(c.verified[layer], provedRecord{Entry: o, level: level})
		}
	case expiredPrefix:
		if _, err := parseExpired(o.Key); err == nil {
			c.records = append(c.records, o)
		}
	case probePrefix:
		if id, _, _ := strings.Cut(rest, "/"); checkID(id) == nil {
			c.probes = append(c.probes, o)
		}
	case jobsPrefix:
		c.addJob(o, rest)
	default:
		c.addPart(o)
	}
}

// lastSeen is when the maker of an unfinished layer last wrote something.
func (c *census) lastSeen(layer string) time.Time {
	last := c.spoke[layer]
	if p := c.homes[layer]; p != nil {
		for _, o := range p.parts {
			last = later(last, o.ModTime)
		}
		if p.claim != nil {
			last = later(last, p.claim.ModTime)
		}
		last = later(last, c.lastOfJob(p.job))
	}
	return last
}

// old reports whether grace has passed since t. An object that is younger than now is
// not.
func (c *census) old(t time.Time) bool { return c.now.Sub(t) > grace }

// sorted are the committed layers, newest first.
func (c *census) sorted() []*stored {
	out := make([]*stored, 0, len(c.layers))
	for _, l := range c.layers {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *stored) int { return newestFirst(a.info, b.info) })
	return out
}

// openLabels lets the labels of sealed layers be seen, as far as the collection has keys
// that open them.
func (c *census) openLabels(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for _, l := range c.layers {
		g.Go(func() error {
			if err := c.b.unlock(gctx, l.manifest); err != nil && !isNoLayer(err) {
				return err
			}
			return nil // what is damaged in there stays shut, and so the layer stays
		})
	}
	return g.Wait()
}
