package faultblob

import (
	"context"
	"path"
	"strings"

	"gocloud.dev/blob"
)

// Rule is something that must not happen in a bucket that holds collections. Rules
// are bits.
type Rule uint

const (
	// Overwrites: an object is written where there is one, be it with the same bytes.
	Overwrites Rule = 1 << iota
	// Deletes: an object is deleted that is needed, or before what needs it, or that is
	// nobody's to delete.
	Deletes
	// EarlyManifests: a layer is committed before its claim, its file list, its index
	// entry and, if that names a parent, its reference to that one are there.
	EarlyManifests
	// EarlyVoids: a run is declared dead that has claimed nothing, or has written something
	// within a day. That may happen to whoever sleeps between his look and his word.
	EarlyVoids
	// LateData: a file of a layer is written after the layer was committed.
	LateData
	// OddKeys: a key has an empty segment or other characters than A-Z a-z 0-9 . _ -
	OddKeys

	// Everything allows everything.
	Everything = OddKeys<<1 - 1
)

// The objects of a layer, as far as the judge knows them.
const (
	manifest   = "BACKUP_MANIFEST"
	fileList   = "files.sst"
	objectList = "objects.sst"
	claim      = "progress/0"
	dataDir    = "data/"
	keyDir     = "keys/" // the only objects of a layer that may come after its manifest

	indexDir      = "index/"
	refsDir       = "refs/"
	retiredDir    = "retired/"
	verifiedDir   = "verified/"
	expiredDir    = "expired/"
	probeDir      = "probe/"
	jobsDir       = "jobs/"
	collectionKey = "varve.json"
)

// complaint is a rule that an operation breaks if it takes effect.
type complaint struct {
	rule Rule
	text string
}

// judge fails the test unless the rule is off.
func (b *Bucket) judge(op Op, rule Rule, text string) {
	if b.allow&rule == 0 {
		b.tb.Errorf("faultblob: %s: %s", op, text)
	}
}

// write applies a write and judges it if it took effect.
func (b *Bucket) write(op Op, apply func() error) error {
	b.commit.Lock()
	defer b.commit.Unlock()
	complaints := b.complaints(op.Key)
	if err := apply(); err != nil {
		return err
	}
	b.note(op.Key)
	if layer, ok := cutName(op.Key, manifest); ok && b.isVoid(op.Key) {
		complaints = b.prematureVoid(layer)
	}
	for _, c := range complaints {
		b.judge(op, c.rule, c.text)
	}
	return nil
}

// complaints are about writing key to the bucket as it is now.
func (b *Bucket) complaints(key string) (found []complaint) {
	if b.exists(key) {
		found = append(found, complaint{Overwrites, "overwrites an object"})
	}
	if layer, ok := cutName(key, manifest); ok {
		for _, missing := range b.uncommitted(layer) {
			found = append(found, complaint{EarlyManifests, "commits a layer without " + missing})
		}
	}
	for _, layer := range layersOf(key) {
		if b.exists(layer+manifest) && !b.isVoid(layer+manifest) {
			found = append(found, complaint{LateData, "writes to a layer that is committed"})
		}
	}
	return found
}

// uncommitted are the objects that a layer must have before its manifest and has not.
func (b *Bucket) uncommitted(layer string) (missing []string) {
	for _, name := range []string{claim, fileList} {
		if !b.exists(layer + name) {
			missing = append(missing, layer+name)
		}
	}
	entries := b.entries(strings.TrimSuffix(layer, "/"))
	if len(entries) == 0 {
		missing = append(missing, "an entry in "+indexDir)
	}
	for _, e := range entries {
		if ref := e.reference(); ref != "" && !b.exists(ref) {
			missing = append(missing, ref)
		}
	}
	return missing
}

// entry is one of an index: <collection>index/<facts>/<path>.
type entry struct{ collection, facts string }

// entries are those that name the layer at path p. Which part of p is the
// collection's own place is not known, so the index may be in any folder above.
func (b *Bucket) entries(p string) (found []entry) {
	for i := range len(p) {
		if i > 0 && p[i-1] != '/' {
			continue
		}
		collection, layer := p[:i], p[i:]
		for _, key := range b.keys(collection + indexDir) {
			facts, of, _ := strings.Cut(strings.TrimPrefix(key, collection+indexDir), "/")
			if of == layer {
				found = append(found, entry{collection, facts})
			}
		}
	}
	return found
}

// reference is the object by which an incremental says that it needs its parent: facts
// are <end>-<start>-<layer>-<parent>-<chain>, and the parent of a full is 0. "": none.
func (e entry) reference() string {
	f := strings.Split(e.facts, "-")
	if len(f) != 5 || f[3] == "0" {
		return ""
	}
	return e.collection + refsDir + f[3] + "/" + f[2]
}

// layersOf are the layers, as "path/", whose payload or lists key may be.
func layersOf(key string) (layers []string) {
	for _, list := range []string{fileList, objectList} {
		if layer, ok := cutName(key, list); ok {
			layers = append(layers, layer)
		}
	}
	return append(layers, layersAbove(key, dataDir)...)
}

// layersAbove are the layers in whose folder dir key may be.
func layersAbove(key, dir string) (layers []string) {
	for i := range len(key) {
		if (i == 0 || key[i-1] == '/') && strings.HasPrefix(key[i:], dir) {
			layers = append(layers, key[:i])
		}
	}
	return layers
}

// cutName cuts the last segment off a key, if it is name.
func cutName(key, name string) (dir string, ok bool) {
	dir, base := path.Split(key)
	return dir, base == name
}

// judgeKey is for every operation, whatever becomes of it.
func (b *Bucket) judgeKey(op Op) {
	key := op.Key
	if op.Kind == List {
		if key = strings.TrimSuffix(key, "/"); key == "" {
			return
		}
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || strings.ContainsFunc(segment, odd) {
			b.judge(op, OddKeys, "has an odd key")
			return
		}
	}
}

func odd(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
}

func (b *Bucket) exists(key string) bool {
	ok, err := b.under.Exists(context.Background(), key)
	if err != nil {
		b.tb.Errorf("faultblob: look for %q: %v", key, err)
	}
	return ok
}

func (b *Bucket) keys(prefix string) (keys []string) {
	objects := b.under.List(&blob.ListOptions{Prefix: prefix})
	all, end := objects.All(context.Background())
	for o := range all {
		keys = append(keys, o.Key)
	}
	if err := end(); err != nil {
		b.tb.Errorf("faultblob: list %q: %v", prefix, err)
	}
	return keys
}
