package varve

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/varvekv/varve/internal/objectio"
)

// index is what a listing knows of a collection. An entry is an intent: it is
// written before the manifest, so that a crash leaves an entry without a layer,
// never a layer without an entry.
type index struct {
	bucket   *objectio.Bucket
	layers   []LayerInfo // newest end first
	children map[string][]string
	accepted map[string]bool // answers so far
	byID     map[string]LayerInfo
}

// refRecord is the body of a reference: who needs which layer, so that it is not
// expired under its reader.
type refRecord struct {
	Layer     string    `json:"layer"`
	Holder    string    `json:"holder"` // the layer that the run writes, or the run
	Job       string    `json:"job"`
	CreatedAt time.Time `json:"created_at"`
}

// retiredRecord is the body of the object that says that a layer is on its way out.
type retiredRecord struct {
	Layer     string    `json:"layer"`
	Job       string    `json:"job"`
	CreatedAt time.Time `json:"created_at"`
}

// retired are the layers that were on their way out when the verb began, by ID: one
// LIST, made once. Who has made a reference since must look again by himself.
func (b *collectionBucket) retired(ctx context.Context) (map[string]bool, error) {
	if b.leaving != nil {
		return b.leaving, nil
	}
	leaving := map[string]bool{}
	for object, err := range b.List(ctx, retiredPrefix) {
		if err != nil {
			return nil, storageError("list", retiredPrefix, err)
		}
		layer, err := parseRetired(object.Key)
		if err != nil {
			continue // somebody else's object
		}
		leaving[layer] = true
	}
	b.leaving = leaving
	return leaving, nil
}

// readIndex lists the entries: one LIST, no manifest is read.
func readIndex(ctx context.Context, bucket *objectio.Bucket) (*index, error) {
	x := &index{
		bucket: bucket, children: map[string][]string{},
		accepted: map[string]bool{}, byID: map[string]LayerInfo{},
	}
	claims := map[string][]LayerInfo{}
	for object, err := range bucket.List(ctx, indexPrefix) {
		if err != nil {
			return nil, storageError("list", indexPrefix, err)
		}
		l, err := parseIndex(object.Key)
		if err != nil {
			continue // somebody else's object
		}
		claims[l.ID] = append(claims[l.ID], l)
	}
	for _, entries := range claims {
		l, ok, err := x.genuine(ctx, entries)
		if err != nil {
			return nil, err
		}
		if ok {
			x.layers = append(x.layers, l)
			x.byID[l.ID] = l
			x.children[l.ParentID] = append(x.children[l.ParentID], l.ID)
		}
	}
	slices.SortFunc(x.layers, newestFirst)
	for _, ids := range x.children {
		slices.Sort(ids)
	}
	return x, nil
}

// maxClaims bounds how many manifests are read to find out which of several
// entries is a layer's own.
const maxClaims = 4

// genuine is the entry of a layer. Writers make one; of several, which somebody
// else has put there, it is the one that its manifest agrees with.
func (x *index) genuine(ctx context.Context, entries []LayerInfo) (LayerInfo, bool, error) {
	if len(entries) == 1 {
		return entries[0], true, nil
	}
	for _, l := range entries[:min(len(entries), maxClaims)] {
		m, err := readManifest(ctx, x.bucket, l.Path)
		var corrupt *CorruptError
		var format *FormatError
		switch {
		case errors.Is(err, ErrNoLayer), errors.As(err, &corrupt), errors.As(err, &format):
		case err != nil:
			return LayerInfo{}, false, err
		case m.info() == l:
			return l, true, nil
		}
	}
	return LayerInfo{}, false, nil
}

// after are the entries that claim to extend l. One that does not end later than
// its parent is no layer of ours, and would lead in circles.
func (x *index) after(l LayerInfo) iter.Seq[LayerInfo] {
	return func(yield func(LayerInfo) bool) {
		for _, id := range x.children[l.ID] {
			if child := x.byID[id]; child.End.Compare(l.End) > 0 && !yield(child) {
				return
			}
		}
	}
}

// newestFirst orders layers by end and, among equal ends, by ID.
func newestFirst(a, b LayerInfo) int {
	return cmp.Or(b.End.Compare(a.End), strings.Compare(a.ID, b.ID))
}

// accept reports whether the layer is committed. One that a committed layer
// extends is; of others the manifest is looked at: a single small read, whose
// first bytes tell a layer from one that was declared dead.
func (x *index) accept(ctx context.Context, id string) (bool, error) {
	if ok, known := x.accepted[id]; known {
		return ok, nil
	}
	for child := range x.after(x.byID[id]) {
		ok, err := x.accept(ctx, child.ID)
		if err != nil {
			return false, err
		}
		if ok {
			x.accepted[id] = true
			return true, nil
		}
	}
	ok, err := committed(ctx, x.bucket, x.byID[id].Path)
	if err != nil {
		return false, err
	}
	x.accepted[id] = ok
	return ok, nil
}

// all yields the committed layers, newest first.
func (x *index) all(ctx context.Context) iter.Seq2[LayerInfo, error] {
	return func(yield func(LayerInfo, error) bool) {
		for _, l := range x.layers {
			ok, err := x.accept(ctx, l.ID)
			if err != nil {
				yield(LayerInfo{}, err)
				return
			}
			if ok && !yield(l, nil) {
				return
			}
		}
	}
}

// latest is the newest committed layer of the chain whose full is newest.
func (x *index) latest(ctx context.Context) (LayerInfo, error) {
	for l, err := range x.all(ctx) {
		if err != nil {
			return LayerInfo{}, err
		}
		if l.Full() {
			tip, _, err := x.tip(ctx, l)
			return tip, err
		}
	}
	return LayerInfo{}, fmt.Errorf("%s: %w", Latest, ErrNoLayer)
}

// tip is the end of the longest committed path from l on, and its length. Of equal
// lengths the newest end counts, then the ID.
func (x *index) tip(ctx context.Context, l LayerInfo) (LayerInfo, int, error) {
	best, length := l, 0
	for child := range x.after(l) {
		ok, err := x.accept(ctx, child.ID)
		if err != nil {
			return LayerInfo{}, 0, err
		}
		if !ok {
			continue
		}
		tip, n, err := x.tip(ctx, child)
		if err != nil {
			return LayerInfo{}, 0, err
		}
		if n++; n > length || n == length && newestFirst(tip, best) < 0 {
			best, length = tip, n
		}
	}
	return best, length, nil
}

// committed peeks at the manifest of the layer at path.
func committed(ctx context.Context, bucket *objectio.Bucket, layerPath string) (bool, error) {
	object := manifestObject(layerPath)
	head, err := bucket.Peek(ctx, object, recordHead)
	if errors.Is(err, objectio.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, storageError("read", object, err)
	}
	return !isVoid(head), nil
}

// isVoid reports whether a record declares its layer dead, from its first bytes.
func isVoid(head []byte) bool {
	return bytes.Contains(head[:min(len(head), recordHead)], []byte(`"`+kindVoid+`"`))
}
