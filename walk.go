package varve

import (
	"context"
	"errors"
	"path"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/internal/objectio"
)

// walk finds the layers without the index: it lists the whole collection and reads
// every manifest that lies in it. Bad are those that are damaged, too new, or not
// where they belong.
func (b *collectionBucket) walk(ctx context.Context) (found []*Manifest, bad []error, err error) {
	paths, err := b.manifestPaths(ctx)
	if err != nil {
		return nil, nil, err
	}
	manifests, errs, err := b.readAll(ctx, paths)
	if err != nil {
		return nil, nil, err
	}
	for i, m := range manifests {
		err := errs[i]
		if err == nil {
			err = b.admit(ctx, m)
		}
		switch {
		case err == nil:
			found = append(found, m)
		case !errors.Is(err, ErrNoLayer): // a run that was declared dead is no damage
			bad = append(bad, err)
		}
	}
	return found, bad, nil
}

// readAtOnce is how many small objects are read at once.
const readAtOnce = 16

// readAll reads the manifests at paths. Errs say why there is none at a path; err is
// that storage could not be asked.
func (b *collectionBucket) readAll(ctx context.Context, paths []string) (manifests []*Manifest, errs []error, err error) {
	manifests, errs = make([]*Manifest, len(paths)), make([]error, len(paths))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i, p := range paths {
		g.Go(func() error {
			m, err := readManifest(gctx, b.Bucket, p)
			if err == nil && m.Collection == b.id {
				err = b.unlock(gctx, m) // side by side, for a service may be asked
			}
			if errs[i] = err; err == nil {
				manifests[i] = m
			}
			if isNoLayer(errs[i]) {
				return nil
			}
			return errs[i]
		})
	}
	return manifests, errs, g.Wait()
}

// manifestPaths are where layers seem to lie.
func (b *collectionBucket) manifestPaths(ctx context.Context) ([]string, error) {
	var out []string
	for object, err := range b.List(ctx, "") {
		if err != nil {
			return nil, storageError("list", "the collection", err)
		}
		folder, name := path.Split(object.Key)
		if name != manifestName || folder == "" {
			continue
		}
		if layerPath := folder[:len(folder)-1]; checkPath(layerPath) == nil {
			out = append(out, layerPath)
		}
	}
	return out, nil
}

// walk adds the layers that no entry names, as long as the verb goes on: the index
// in the bucket stays as it is. A second call does nothing.
func (x *index) walk(ctx context.Context) error {
	if x.walked || x.b.id == "" {
		return nil
	}
	x.walked = true
	found, _, err := x.b.walk(ctx)
	if err != nil {
		return err
	}
	for _, m := range found {
		if _, known := x.byID[m.Layer]; !known {
			x.byID[m.Layer], x.accepted[m.Layer] = m.info(), true
		}
	}
	x.arrange()
	return nil
}

// RebuildIndex writes the entries of the index that are missing, and returns how
// many those were. It searches the whole collection for layers, which is slow, and
// only needed where somebody deleted objects below index/: readers find a layer that
// a chain needs also without its entry, but do not list it.
func (c *Collection) RebuildIndex(ctx context.Context) (int, error) {
	written := 0
	err := c.do(ctx, "rebuild index of", func(b *collectionBucket) (err error) {
		written, err = c.rebuildIndex(ctx, b)
		return err
	})
	return written, err
}

func (c *Collection) rebuildIndex(ctx context.Context, b *collectionBucket) (written int, err error) {
	x, err := b.index(ctx)
	if err != nil {
		return 0, err
	}
	found, bad, err := b.walk(ctx)
	if err != nil {
		return 0, err
	}
	for _, err := range bad {
		c.opts.Logger.Warn("no entry for a manifest that cannot be read", "collection", c.name, "error", err)
	}
	retired, err := b.retired(ctx)
	if err != nil {
		return 0, err
	}
	for _, m := range found {
		if retired[m.Layer] || x.byID[m.Layer] == m.info() {
			continue
		}
		object := formatIndex(m.info())
		body, err := encodeRecord(kindIndex, indexRecord{Layer: m.Layer})
		if err != nil {
			return written, err
		}
		err = b.Create(ctx, object, body)
		if errors.Is(err, objectio.ErrExist) {
			continue // another process is at it, too
		}
		if err != nil {
			return written, storageError("write", object, err)
		}
		written++
	}
	return written, nil
}
