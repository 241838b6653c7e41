package varve

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/varvekv/varve/internal/objectio"
)

// index is what a listing knows of a collection. An entry is an intent: it is
// written before the manifest, so that a crash leaves an entry without a layer,
// never a layer without an entry.
type index struct {
	b        *collectionBucket
	layers   []LayerInfo // newest end first
	children map[string][]string
	byEnd    map[Timestamp][]string
	byID     map[string]LayerInfo

	accepted map[string]bool // answers so far
	tips     map[string]tip
	depth    int                    // of the search for a tip
	next     map[string][]LayerInfo // successors
	orphaned map[Timestamp]bool
	walked   bool // the collection was searched for layers that no entry names
}

// maxEntries bounds the index of a collection: a layer every hour for a century.
const maxEntries = 1 << 20

// readIndex lists the entries: one LIST, no manifest is read.
func readIndex(ctx context.Context, b *collectionBucket) (*index, error) {
	x := &index{b: b, accepted: map[string]bool{}, byID: map[string]LayerInfo{}}
	claims, n := map[string][]LayerInfo{}, 0
	for object, err := range b.List(ctx, indexPrefix) {
		if err != nil {
			return nil, storageError("list", indexPrefix, err)
		}
		l, err := parseIndex(object.Key)
		if err != nil {
			continue // somebody else's object
		}
		claims[l.ID] = append(claims[l.ID], l)
		if n++; n > maxEntries {
			return nil, &CorruptError{Object: indexPrefix, Want: fmt.Sprintf("at most %d entries", maxEntries), Got: "more"}
		}
	}
	for _, entries := range claims {
		l, ok, err := x.genuine(ctx, entries)
		if err != nil {
			return nil, err
		}
		if ok {
			x.byID[l.ID] = l
		}
	}
	x.arrange()
	return x, nil
}

// arrange makes what is looked up by other than IDs.
func (x *index) arrange() {
	x.layers = slices.SortedFunc(maps.Values(x.byID), newestFirst)
	x.children, x.byEnd, x.tips, x.orphaned = map[string][]string{}, map[Timestamp][]string{}, map[string]tip{}, nil
	x.next = map[string][]LayerInfo{}
	for _, l := range x.layers {
		x.children[l.ParentID] = append(x.children[l.ParentID], l.ID)
		x.byEnd[l.End] = append(x.byEnd[l.End], l.ID)
	}
	for _, ids := range x.children {
		slices.Sort(ids)
	}
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
		m, err := readManifest(ctx, x.b.Bucket, l.Path)
		switch {
		case isNoLayer(err):
		case err != nil:
			return LayerInfo{}, false, err
		case m.info() == l:
			return l, true, nil
		}
	}
	return LayerInfo{}, false, nil
}

// isNoLayer reports whether err, of reading a manifest, says that there is no layer
// to be had, and not that storage could not be asked.
func isNoLayer(err error) bool {
	var corrupt *CorruptError
	var format *FormatError
	return errors.Is(err, ErrNoLayer) || errors.As(err, &corrupt) || errors.As(err, &format)
}

// isAfter reports whether a child may extend its parent. One that does not end later is no
// layer of ours, and would lead in circles.
func (x *index) isAfter(child, parent LayerInfo) bool { return child.End.Compare(parent.End) > 0 }

// newestFirst orders layers by end and, among equal ends, by ID.
func newestFirst(a, b LayerInfo) int {
	return cmp.Or(b.End.Compare(a.End), strings.Compare(a.ID, b.ID))
}

// accept reports whether the layer is committed. One that a committed layer
// extends is; of others the manifest is looked at: a single small read, whose
// first bytes tell a layer from one that was declared dead. Chains of entries may be
// as long as somebody liked to make them: the way up is kept in a list.
func (x *index) accept(ctx context.Context, id string) (bool, error) {
	up := []*climb{{id: id}}
	for len(up) > 0 {
		at := up[len(up)-1]
		if _, known := x.accepted[at.id]; known {
			up = up[:len(up)-1]
			continue
		}
		child, known := x.unknownChild(at)
		switch {
		case x.accepted[at.id]:
		case known:
			ok, err := committed(ctx, x.b.Bucket, x.byID[at.id].Path)
			if err != nil {
				return false, err
			}
			x.accepted[at.id] = ok
		default:
			up = append(up, &climb{id: child})
		}
	}
	return x.accepted[id], nil
}

// climb is a layer whose children are asked one after the other.
type climb struct {
	id   string
	next int // of its children
}

// unknownChild is the next child of which it must be found out whether it is accepted. A
// child that is makes its parent accepted; allKnown says that none is left to ask.
func (x *index) unknownChild(at *climb) (id string, allKnown bool) {
	children := x.children[at.id]
	for ; at.next < len(children); at.next++ {
		id := children[at.next]
		if !x.isAfter(x.byID[id], x.byID[at.id]) {
			continue
		}
		ok, known := x.accepted[id]
		if !known {
			return id, false
		}
		if ok {
			x.accepted[at.id] = true
			return "", true
		}
	}
	return "", true
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

// latest is the newest committed layer of the chain whose full is newest. Retired
// ones do not count.
func (x *index) latest(ctx context.Context) (LayerInfo, error) {
	for l, err := range x.latests(ctx) {
		return l, err
	}
	return LayerInfo{}, fmt.Errorf("%s: %w", Latest, ErrNoLayer)
}

// latests yields the newest layers of all chains, that whose full is newest first.
func (x *index) latests(ctx context.Context) iter.Seq2[LayerInfo, error] {
	return func(yield func(LayerInfo, error) bool) {
		for l, err := range x.which(ctx, x.leads) {
			if err == nil && !l.Full() {
				continue
			}
			if err == nil {
				l, err = x.newest(ctx, l)
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// usable yields the committed layers that are not retired, newest first.
func (x *index) usable(ctx context.Context) iter.Seq2[LayerInfo, error] {
	return x.which(ctx, func(ctx context.Context, l LayerInfo) (bool, error) {
		retired, err := x.b.retired(ctx)
		return !retired[l.ID], err
	})
}

// which yields some of the committed layers, newest first. Where the index has lost all
// of its entries, the collection is searched for them.
func (x *index) which(ctx context.Context, wanted func(context.Context, LayerInfo) (bool, error)) iter.Seq2[LayerInfo, error] {
	return func(yield func(LayerInfo, error) bool) {
		_, err := x.b.retired(ctx)
		if err == nil && len(x.layers) == 0 {
			err = x.walk(ctx)
		}
		if err != nil {
			yield(LayerInfo{}, err)
			return
		}
		for l, err := range x.all(ctx) {
			ok := true
			if err == nil {
				ok, err = wanted(ctx, l)
			}
			if (err != nil || ok) && !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// leads reports whether l is not retired, or leads to a layer that is not: whoever began
// to extend it before it was retired has committed, and it stays as long as that one.
func (x *index) leads(ctx context.Context, l LayerInfo) (bool, error) {
	retired, err := x.b.retired(ctx)
	if err != nil || !retired[l.ID] {
		return err == nil, err
	}
	next, err := x.successors(ctx, l)
	return len(next) > 0, err
}

// tip is the end of a path of layers.
type tip struct {
	layer  LayerInfo
	length int // how many backups are in it: a layer that was compacted counts as those it covers
	layers int
}

// compare is negative where t is the better end.
func (t tip) compare(u tip) int {
	return cmp.Or(u.length-t.length, u.layer.End.Compare(t.layer.End), u.layers-t.layers, strings.Compare(t.layer.ID, u.layer.ID))
}

// newest is the end of the longest committed path from l on. Of equal lengths the
// newest end counts, then a layer before what stands for it, then the ID. What is retired
// ends no path.
func (x *index) newest(ctx context.Context, l LayerInfo) (LayerInfo, error) {
	t, err := x.tip(ctx, l)
	return t.layer, err
}

func (x *index) tip(ctx context.Context, l LayerInfo) (tip, error) {
	if t, known := x.tips[l.ID]; known {
		return t, nil
	}
	if x.depth++; x.depth > maxLayers {
		return tip{}, tooLong(l)
	}
	defer func() { x.depth-- }()
	best := tip{layer: l}
	children, err := x.successors(ctx, l)
	if err != nil {
		return tip{}, err
	}
	for _, child := range children {
		t, err := x.tip(ctx, child)
		if err != nil {
			return tip{}, err
		}
		n, err := x.covered(ctx, child)
		if err != nil {
			return tip{}, err
		}
		t.length, t.layers = t.length+n, t.layers+1
		if t.compare(best) < 0 {
			best = t
		}
	}
	x.tips[l.ID] = best
	return best, nil
}

// covered is how many backups a layer has the changes of. Its manifest is read only if
// another layer of the chain ends between its start and its end, for else it makes no
// difference.
func (x *index) covered(ctx context.Context, l LayerInfo) (int, error) {
	at, _ := slices.BinarySearchFunc(x.layers, l.End, func(m LayerInfo, end Timestamp) int { return end.Compare(m.End) })
	for _, m := range x.layers[at:] {
		if m.End.Compare(l.Start) <= 0 {
			break
		}
		if m.ID == l.ID || m.ChainID != l.ChainID {
			continue
		}
		manifest, err := x.b.manifest(ctx, l.Path)
		if isNoLayer(err) {
			return 1, nil // whoever wants the layer itself is told
		}
		if err != nil || manifest.info() != l {
			return 1, err
		}
		return max(1, len(manifest.Covers)), nil
	}
	return 1, nil
}

// successors are the committed layers that extend l, or that which it stands for. Of
// those that are retired they are what leads to others.
func (x *index) successors(ctx context.Context, l LayerInfo) ([]LayerInfo, error) {
	if next, known := x.next[l.ID]; known {
		return next, nil
	}
	other, err := x.standsFor(ctx, l)
	if err != nil {
		return nil, err
	}
	var out []LayerInfo
	for _, parent := range []string{l.ID, other} {
		for _, id := range x.children[parent] {
			child := x.byID[id]
			if parent == "" || !x.isAfter(child, l) || parent == other && child.Start != l.End {
				continue
			}
			ok, err := x.accept(ctx, id)
			if err == nil && ok {
				ok, err = x.leads(ctx, child)
			}
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, child)
			}
		}
	}
	x.next[l.ID] = out
	return out, nil
}

// standsFor is the ID of the layer whose state is also that of l, "" if there is none.
// A manifest is read only where it could make a difference: where layers share an
// end, or one extends a layer that ends there and that no entry names.
func (x *index) standsFor(ctx context.Context, l LayerInfo) (string, error) {
	if len(x.byEnd[l.End]) < 2 && !x.missed()[l.End] {
		return "", nil
	}
	m, err := x.b.manifest(ctx, l.Path)
	if isNoLayer(err) {
		return "", nil // whoever wants the layer itself is told
	}
	if err != nil || m.info() != l {
		return "", err
	}
	return m.StandsFor, nil
}

// missed are the ends of layers that others extend and that no entry names.
func (x *index) missed() map[Timestamp]bool {
	if x.orphaned == nil {
		x.orphaned = map[Timestamp]bool{}
		for _, l := range x.layers {
			if _, known := x.byID[l.ParentID]; !l.Full() && !known {
				x.orphaned[l.Start] = true
			}
		}
	}
	return x.orphaned
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
