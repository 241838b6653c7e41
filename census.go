package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/internal/objectio"
)

// census is all that a collection consists of, by one listing. What it does not
// recognise is not in it, and so is left alone.
type census struct {
	b        *collectionBucket
	now      time.Time // by the bucket's clock: when the newest object was written, or later
	sites    map[string]*site
	layers   map[string]*stored // that are committed, by ID
	homes    map[string]*site   // where a layer lies, committed or not, by its ID
	index    map[string][]objectio.Entry
	refs     []reference
	marks    map[string]time.Time // when a layer was retired
	verified map[string][]provedRecord
	records  []objectio.Entry // of runs that expire layers
}

// site is a path of a layer.
type site struct {
	path     string
	manifest *objectio.Entry
	claim    *objectio.Entry
	parts    []objectio.Entry // whatever else lies there
	layer    string           // ID of that which claimed it; "": not known
	state    siteState
}

type siteState int

const (
	siteOpen      siteState = iota // there is no manifest
	siteCommitted                  // a layer
	siteVoid                       // declared dead
	siteOdd                        // nobody knows: damaged, too new, or going away just now
)

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

// reference is one that is there.
type reference struct {
	objectio.Entry
	layer, holder string
	use           refUse
	note          string
	read          bool // what it is for is known
}

// provedRecord is the record of one verification.
type provedRecord struct {
	objectio.Entry
	level VerifyLevel
}

// takeCensus lists the collection and reads its manifests, claims and references. The
// time is that of an object which was written just now, and must be listed: so what was
// written before it is, too. "": that of the newest object, which nobody wrote later
// than now.
func takeCensus(ctx context.Context, b *collectionBucket, recent string) (*census, error) {
	c := &census{
		b: b, sites: map[string]*site{}, layers: map[string]*stored{}, homes: map[string]*site{},
		index: map[string][]objectio.Entry{}, marks: map[string]time.Time{}, verified: map[string][]provedRecord{},
	}
	var written time.Time
	for object, err := range b.List(ctx, "") {
		if err != nil {
			return nil, storageError("list", "the collection", err)
		}
		c.add(object)
		if object.Key == recent {
			written = object.ModTime
		}
	}
	if recent != "" {
		if written.IsZero() {
			return nil, staleError(recent)
		}
		c.now = written
	}
	if err := c.readSites(ctx); err != nil {
		return nil, err
	}
	if err := c.readRefs(ctx); err != nil {
		return nil, err
	}
	c.ways()
	return c, nil
}

func staleError(object string) error {
	return fmt.Errorf("list the collection: %s is missing, which was just written: nothing was deleted", object)
}

func (c *census) add(o objectio.Entry) {
	if o.ModTime.After(c.now) {
		c.now = o.ModTime
	}
	top, _, _ := strings.Cut(o.Key, "/")
	switch top + "/" {
	case indexPrefix:
		if l, err := parseIndex(o.Key); err == nil {
			c.index[l.ID] = append(c.index[l.ID], o)
		}
	case refsPrefix:
		if layer, holder, err := parseRef(o.Key); err == nil {
			c.refs = append(c.refs, reference{Entry: o, layer: layer, holder: holder})
		}
	case retiredPrefix:
		if layer, err := parseRetired(o.Key); err == nil {
			c.marks[layer] = o.ModTime
		}
	case verifiedPrefix:
		if layer, level, err := parseVerified(o.Key); err == nil {
			c.verified[layer] = append(c.verified[layer], provedRecord{o, level})
		}
	case expiredPrefix:
		if _, err := parseExpired(o.Key); err == nil {
			c.records = append(c.records, o)
		}
	default:
		c.addPart(o)
	}
}

func (c *census) addPart(o objectio.Entry) {
	layerPath, part, err := parsePart(o.Key)
	if err != nil {
		return
	}
	p := c.sites[layerPath]
	if p == nil {
		p = &site{path: layerPath}
		c.sites[layerPath] = p
	}
	switch part {
	case manifestName:
		p.manifest = &o
	case claimName:
		p.claim = &o
	default:
		p.parts = append(p.parts, o)
	}
}

// readSites finds out what is at each path, several at once.
func (c *census) readSites(ctx context.Context) error {
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for _, p := range c.sites {
		g.Go(func() error {
			m, err := c.readSite(gctx, p)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if m != nil {
				c.layers[m.Layer] = &stored{info: m.info(), manifest: m, site: p, at: p.manifest.ModTime}
			}
			for _, id := range p.residents(m) {
				c.homes[id] = p
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for id, entries := range c.index {
		l, err := parseIndex(entries[0].Key)
		if p := c.sites[l.Path]; err == nil && p != nil && c.homes[id] == nil && p.state == siteOdd {
			c.homes[id] = p
		}
	}
	return nil
}

// residents are the IDs of the layers that have something at a path.
func (p *site) residents(m *Manifest) []string {
	switch {
	case m != nil:
		return []string{m.Layer}
	case p.layer != "":
		return []string{p.layer}
	}
	var ids []string
	for _, o := range p.parts {
		if _, id, _, _, err := parseData(o.Key); err == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// readSite is the manifest at a path, nil if there is none of a layer.
func (c *census) readSite(ctx context.Context, p *site) (*Manifest, error) {
	m, err := c.readCommitted(ctx, p)
	if err != nil || m != nil {
		return m, err
	}
	if err := c.readClaim(ctx, p); err != nil {
		return nil, err
	}
	if p.state == siteOpen && p.layer == "" {
		p.state = siteOdd // nobody could declare it dead
	}
	return nil, nil
}

func (c *census) readCommitted(ctx context.Context, p *site) (*Manifest, error) {
	if p.manifest == nil {
		return nil, nil
	}
	p.state = siteOdd
	body, err := c.b.Get(ctx, p.manifest.Key, maxManifest)
	if errors.Is(err, objectio.ErrNotExist) || errors.Is(err, objectio.ErrSize) {
		return nil, nil
	}
	if err != nil {
		return nil, storageError("read", p.manifest.Key, err)
	}
	if isVoid(body) {
		p.state = siteVoid
		return nil, nil
	}
	m, err := decodeManifest(p.manifest.Key, p.path, body)
	if isNoLayer(err) || err == nil && m.Collection != c.b.id {
		return nil, nil
	}
	if err == nil {
		p.state, p.layer = siteCommitted, m.Layer
	}
	return m, err
}

// readClaim finds out whose path it is. A claim that cannot be read is nobody's.
func (c *census) readClaim(ctx context.Context, p *site) error {
	if p.claim == nil {
		return nil
	}
	body, err := c.b.Get(ctx, p.claim.Key, maxSmall)
	if errors.Is(err, objectio.ErrNotExist) || errors.Is(err, objectio.ErrSize) {
		return nil
	}
	if err != nil {
		return storageError("read", p.claim.Key, err)
	}
	var claim claimRecord
	if decodeRecord(p.claim.Key, body, kindClaim, &claim) == nil && checkID(claim.Layer) == nil {
		p.layer = claim.Layer
	}
	return nil
}

// readRefs reads the references of those who are no layers.
func (c *census) readRefs(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i := range c.refs {
		r := &c.refs[i]
		if c.homes[r.holder] != nil {
			r.read = true // it builds on the layer
			continue
		}
		g.Go(func() error {
			body, err := c.b.reference(gctx, r.Key)
			switch {
			case errors.Is(err, objectio.ErrNotExist):
				r.use, r.read = useRead, true // was released just now: good for a day
			case isNoLayer(err):
			case err != nil:
				return err
			case body.Layer == r.layer && body.Holder == r.holder:
				r.use, r.note, r.read = body.Use, body.Note, true
			}
			return nil
		})
	}
	return g.Wait()
}

// lastSeen is when the maker of an unfinished layer last wrote something.
func (c *census) lastSeen(layer string) time.Time {
	var last time.Time
	see := func(o objectio.Entry) {
		if o.ModTime.After(last) {
			last = o.ModTime
		}
	}
	if p := c.homes[layer]; p != nil {
		for _, o := range p.parts {
			see(o)
		}
		if p.claim != nil {
			see(*p.claim)
		}
	}
	for _, o := range c.index[layer] {
		see(o)
	}
	for _, r := range c.refs {
		if r.holder == layer {
			see(r.Entry)
		}
	}
	return last
}

// old reports whether grace has passed since t. An object that is younger than now is
// not.
func (c *census) old(t time.Time) bool { return c.now.Sub(t) > grace }

// need says what a reference keeps its layer for, "" if for nothing.
func (c *census) need(r *reference) string {
	home := c.homes[r.holder]
	switch {
	case c.layers[r.holder] != nil:
		return "" // what a layer needs stands in its manifest
	case home != nil && home.state == siteOdd:
		return fmt.Sprintf("referred to by the layer at %s, which cannot be read", home.path)
	case home != nil && (home.state == siteVoid || !c.marks[r.holder].IsZero()):
		return "" // it will never be, or is on its way out
	case home != nil && !c.old(c.lastSeen(r.holder)):
		return "extended by a backup that goes on, at " + home.path
	case home != nil:
		return "" // to be declared dead, or else it has to be looked at again
	case !r.read || r.use != useExtend && r.use != useRead && r.use != useHold:
		return "referred to for something unknown: " + r.Key
	case r.use == useHold:
		return strings.TrimSuffix("held: "+r.note, ": ")
	case c.old(r.ModTime):
		return "" // a run that claims a path from now on sees the mark
	case r.use == useRead:
		return "being read"
	}
	return "extended by a backup that goes on"
}

// needed are the reasons for which references keep layers.
func (c *census) needed() map[string][]string {
	out := map[string][]string{}
	for i := range c.refs {
		r := &c.refs[i]
		if why := c.need(r); why != "" && !slices.Contains(out[r.layer], why) {
			out[r.layer] = append(out[r.layer], why)
		}
	}
	return out
}

// sorted are the committed layers, newest first.
func (c *census) sorted() []*stored {
	out := make([]*stored, 0, len(c.layers))
	for _, l := range c.layers {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *stored) int { return newestFirst(a.info, b.info) })
	return out
}
