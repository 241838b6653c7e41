package varve

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/internal/objectio"
)

// site is a path of a layer.
type site struct {
	path     string
	manifest *objectio.Entry
	claim    *objectio.Entry
	parts    []objectio.Entry // whatever else lies there
	layer    string           // ID of that which claimed it; "": not known
	job      string           // of the run that claimed it, if there is no manifest
	state    siteState
}

type siteState int

const (
	siteOpen      siteState = iota // there is no manifest
	siteCommitted                  // a layer
	siteVoid                       // declared dead
	siteKeys                       // keys that somebody added to a layer while it went
	siteOdd                        // nobody knows: damaged, too new, or going away just now
)

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

// readSites finds out what is at each path, several at once. Of two layers with one ID
// nobody knows which is which.
func (c *census) readSites(ctx context.Context, earlier *census) error {
	var mu sync.Mutex
	twice := map[string]bool{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for _, p := range c.sites {
		g.Go(func() error {
			m, err := c.readSite(gctx, p, earlier)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if m != nil {
				if other := c.layers[m.Layer]; other != nil {
					p.state, other.site.state, twice[m.Layer] = siteOdd, siteOdd, true
				}
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
	for id := range twice {
		c.homes[id] = c.layers[id].site
		delete(c.layers, id)
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

// readSite is the manifest at a path, nil if there is none of a layer. What was written
// once does not change: of an earlier census it is known.
func (c *census) readSite(ctx context.Context, p *site, earlier *census) (*Manifest, error) {
	if earlier != nil && p.manifest != nil {
		was := earlier.sites[p.path]
		if was != nil && was.state == siteCommitted && same(was.manifest, p.manifest) && earlier.layers[was.layer] != nil {
			p.state, p.layer = siteCommitted, was.layer
			return earlier.layers[was.layer].manifest, nil
		}
	}
	m, err := c.readCommitted(ctx, p)
	if err != nil || m != nil {
		return m, err
	}
	if err := c.readClaim(ctx, p); err != nil {
		return nil, err
	}
	if p.state == siteOpen && p.layer == "" {
		p.state = siteOdd // nobody could declare it dead
		if p.claim == nil && !slices.ContainsFunc(p.parts, func(o objectio.Entry) bool { return !isKey(o) }) {
			p.state = siteKeys
		}
	}
	return nil, nil
}

func same(a, b *objectio.Entry) bool {
	return a != nil && a.Size == b.Size && a.ModTime.Equal(b.ModTime)
}

func isKey(o objectio.Entry) bool {
	_, _, err := parseKey(o.Key)
	return err == nil
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
		p.layer, p.job = claim.Layer, claim.Job
	}
	return nil
}

// partsOf are the objects at a path that belong to a layer: not the tables of another.
func (p *site) partsOf(id string) (out []objectio.Entry) {
	for _, o := range p.parts {
		if _, layer, _, _, err := parseData(o.Key); err != nil || layer == id {
			out = append(out, o)
		}
	}
	return out
}

// bytesOf counts those of all objects at a path that belong to a layer.
func (p *site) bytesOf(id string) int64 {
	return sizeOf(slices.Concat(entry(p.manifest), entry(p.claim), p.partsOf(id)))
}

func sizeOf(objects []objectio.Entry) (n int64) {
	for _, o := range objects {
		n += o.Size
	}
	return n
}

func entry(o *objectio.Entry) []objectio.Entry {
	if o == nil {
		return nil
	}
	return []objectio.Entry{*o}
}
