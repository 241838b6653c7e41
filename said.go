package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/internal/objectio"
)

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
	chain []string // IDs of the layers that were read, the full first; nil: not known
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

// readProofs reads of each layer the last verification that compared hashes: which layers
// it was about. One that cannot be read proves nothing.
func (c *census) readProofs(ctx context.Context) error {
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for id, records := range c.verified {
		i := lastProof(records)
		if i < 0 || c.layers[id] == nil {
			continue
		}
		g.Go(func() error {
			object := records[i].Key
			body, err := c.b.Get(gctx, object, maxManifest)
			if errors.Is(err, objectio.ErrNotExist) || errors.Is(err, objectio.ErrSize) {
				return nil
			}
			if err != nil {
				return storageError("read", object, err)
			}
			var r verifiedRecord
			if decodeRecord(object, body, kindVerified, &r) == nil && r.Layer == id {
				mu.Lock()
				records[i].chain = r.Chain
				mu.Unlock()
			}
			return nil
		})
	}
	return g.Wait()
}

// lastProof is the newest record of a verification that compared hashes, -1 if there is
// none.
func lastProof(records []provedRecord) int {
	last := -1
	for i, r := range records {
		if r.level >= VerifyHash && (last < 0 || r.ModTime.After(records[last].ModTime)) {
			last = i
		}
	}
	return last
}

// proved are the layers whose stored bytes were compared with their hashes, and those of
// all that they are restored on now. Verify reads the files of others that a layer lists,
// too, but not these layers.
func (c *census) proved() map[*stored]bool {
	out := map[*stored]bool{}
	for _, records := range c.verified {
		for _, r := range records {
			read := map[*stored]bool{}
			for _, id := range r.chain { // what is below comes first
				if l := c.layers[id]; l != nil && (l.info.Full() || read[l.below]) {
					read[l], out[l] = true, true
				}
			}
		}
	}
	return out
}
