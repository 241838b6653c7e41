package memkv

import "hash/maphash"

// tree is a treap of keys whose nodes are shared between versions. Each node
// remembers the edition of the tree that made it; only nodes of the current
// edition are changed in place, others are copied first. freeze ends an edition,
// and all that was reachable from root then stays as it is for ever.
//
// Priorities are hashes of the keys, so the shape depends on the keys alone and
// not on the order in which they came.
type tree struct {
	compare func(a, b []byte) int
	seed    maphash.Seed
	edition uint64
	root    *node
	keys    int
}

type node struct {
	key         []byte
	revisions   *revision // newest; never nil
	left, right *node
	priority    uint64
	edition     uint64
}

func newTree(compare func(a, b []byte) int) tree {
	return tree{compare: compare, seed: maphash.MakeSeed()}
}

// freeze is the root as it is now, never to change.
func (t *tree) freeze() *node {
	t.edition++
	return t.root
}

func (t *tree) own(n *node) *node {
	if n.edition == t.edition {
		return n
	}
	owned := *n
	owned.edition = t.edition
	return &owned
}

// get is the newest revision of key, nil if there is none.
func (t *tree) get(key []byte) *revision {
	for n := t.root; n != nil; {
		switch c := t.compare(key, n.key); {
		case c == 0:
			return n.revisions
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return nil
}

// put makes r the revisions of key, which it keeps.
func (t *tree) put(key []byte, r *revision) { t.root = t.putAt(t.root, key, r) }

func (t *tree) putAt(n *node, key []byte, r *revision) *node {
	if n == nil {
		t.keys++
		return &node{key: key, revisions: r, priority: maphash.Bytes(t.seed, key), edition: t.edition}
	}
	n = t.own(n)
	switch c := t.compare(key, n.key); {
	case c == 0:
		n.revisions = r
	case c < 0:
		n.left = t.putAt(n.left, key, r)
		if l := n.left; l.priority > n.priority {
			n.left, l.right = l.right, n
			return l
		}
	default:
		n.right = t.putAt(n.right, key, r)
		if r := n.right; r.priority > n.priority {
			n.right, r.left = r.left, n
			return r
		}
	}
	return n
}

// remove forgets key and all its revisions.
func (t *tree) remove(key []byte) {
	if t.get(key) != nil {
		t.keys--
		t.root = t.removeAt(t.root, key)
	}
}

func (t *tree) removeAt(n *node, key []byte) *node {
	c := t.compare(key, n.key)
	if c == 0 {
		return t.join(n.left, n.right)
	}
	n = t.own(n)
	if c < 0 {
		n.left = t.removeAt(n.left, key)
	} else {
		n.right = t.removeAt(n.right, key)
	}
	return n
}

// join is one tree of two, all of whose keys are in order.
func (t *tree) join(l, r *node) *node {
	switch {
	case l == nil:
		return r
	case r == nil:
		return l
	case l.priority > r.priority:
		l = t.own(l)
		l.right = t.join(l.right, r)
		return l
	}
	r = t.own(r)
	r.left = t.join(l, r.left)
	return r
}

// replace puts change(revisions) in place of every key's revisions; nil forgets
// the key.
func (t *tree) replace(change func(*revision) *revision) { t.root = t.replaceAt(t.root, change) }

func (t *tree) replaceAt(n *node, change func(*revision) *revision) *node {
	if n == nil {
		return nil
	}
	n = t.own(n)
	n.left = t.replaceAt(n.left, change)
	n.right = t.replaceAt(n.right, change)
	if n.revisions = change(n.revisions); n.revisions == nil {
		t.keys--
		return t.join(n.left, n.right)
	}
	return n
}

// walk goes through the nodes of a tree in order. The tree must be frozen, or not
// change meanwhile.
type walk struct{ path []*node }

// walkFrom begins at the first key that is not before start.
func walkFrom(root *node, compare func(a, b []byte) int, start []byte) walk {
	var w walk
	for n := root; n != nil; {
		if compare(n.key, start) < 0 {
			n = n.right
			continue
		}
		w.path = append(w.path, n)
		n = n.left
	}
	return w
}

// node is the current one, nil at the end.
func (w *walk) node() *node {
	if len(w.path) == 0 {
		return nil
	}
	return w.path[len(w.path)-1]
}

func (w *walk) next() {
	last := len(w.path) - 1
	n := w.path[last].right
	for w.path = w.path[:last]; n != nil; n = n.left {
		w.path = append(w.path, n)
	}
}
