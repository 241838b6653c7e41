package faultblob

import (
	"bytes"
	"context"
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What may be deleted, and in which order: of a retired layer that nothing needs the
// index entry, the manifest, what it consists of, its claim, what was said about it, and
// the mark; of a run that was declared dead all but the claim and the void manifest; and
// references of readers and of people.

// shelf is a collection as it is now.
type shelf struct {
	b         *Bucket
	prefix    string
	keys      []string // without the prefix
	manifests map[string]manifestFacts
	claims    map[string]string // layers, by path
}

// manifestFacts are what the judge reads of a manifest, by its path.
type manifestFacts struct {
	Void      bool     `json:"-"`
	Layer     string   `json:"layer"`
	Parent    string   `json:"parent"`
	Refers    []string `json:"refers"`
	StandsFor string   `json:"stands_for"`
}

// remove applies a deletion and judges it if it took effect.
func (b *Bucket) remove(op Op, apply func() error) error {
	b.commit.Lock()
	defer b.commit.Unlock()
	text := b.wrongToDelete(op.Key)
	if err := apply(); err != nil {
		return err
	}
	if text != "" {
		b.judge(op, Deletes, "deletes an object"+text)
	}
	return nil
}

// isVoid reports whether a manifest declares its run dead.
func (b *Bucket) isVoid(key string) bool {
	body, err := b.under.ReadAll(context.Background(), key)
	return err == nil && bytes.Contains(body[:min(len(body), 64)], []byte(`"varve.void"`))
}

// prematureVoid are complaints about a run, whose path is "path/", that was declared dead
// just now.
func (b *Bucket) prematureVoid(dir string) (found []complaint) {
	if !b.exists(dir + claim) {
		found = append(found, complaint{EarlyVoids, "declares a run dead that has claimed nothing"})
	}
	parts := []string{dir + claim, dir + fileList, dir + objectList}
	parts = append(parts, b.keys(dir+dataDir)...)
	for _, key := range parts {
		if b.now != nil && b.exists(key) && b.now().Sub(b.dated(key, time.Time{})) < minAge {
			found = append(found, complaint{EarlyVoids, "declares a run dead that has just written " + key})
		}
	}
	return found
}

// wrongToDelete says why key must stay, "" if it may go.
func (b *Bucket) wrongToDelete(key string) string {
	if !b.exists(key) {
		return ""
	}
	for i := range len(key) {
		if (i == 0 || key[i-1] == '/') && b.exists(key[:i]+collectionKey) {
			return b.shelf(key[:i]).wrong(key[i:])
		}
	}
	return " of no collection"
}

func (b *Bucket) shelf(prefix string) *shelf {
	s := &shelf{b: b, prefix: prefix, manifests: map[string]manifestFacts{}, claims: map[string]string{}}
	for _, key := range b.keys(prefix) {
		key = strings.TrimPrefix(key, prefix)
		s.keys = append(s.keys, key)
		if p, ok := strings.CutSuffix(key, "/"+manifest); ok {
			var facts manifestFacts
			facts.Void = s.read(key, &facts) == "varve.void"
			s.manifests[p] = facts
		}
		if p, ok := strings.CutSuffix(key, "/"+claim); ok {
			var facts manifestFacts
			s.read(key, &facts)
			s.claims[p] = facts.Layer
		}
	}
	return s
}

// read is the kind of a record, whose body it decodes.
func (s *shelf) read(key string, body any) string {
	raw, err := s.b.under.ReadAll(context.Background(), s.prefix+key)
	if err != nil {
		return ""
	}
	var record struct {
		Kind string          `json:"kind"`
		Body json.RawMessage `json:"body"`
	}
	if json.Unmarshal(raw, &record) != nil || json.Unmarshal(record.Body, body) != nil {
		return record.Kind
	}
	return record.Kind
}

func (s *shelf) has(key string) bool { return slices.Contains(s.keys, key) }

func (s *shelf) hasAny(prefix string) bool { return s.count(prefix) > 0 }

func (s *shelf) count(prefix string) (n int) {
	for _, key := range s.keys {
		if strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

// committed reports whether there is a manifest of a layer.
func (s *shelf) committed(layer string) bool {
	for _, m := range s.manifests {
		if !m.Void && m.Layer == layer {
			return true
		}
	}
	return false
}

func (s *shelf) retired(layer string) bool { return s.has(retiredDir + layer) }

// dead reports whether a layer was declared dead.
func (s *shelf) dead(layer string) bool {
	for p, l := range s.claims {
		if l == layer && s.manifests[p].Void {
			return true
		}
	}
	return false
}

func (s *shelf) wrong(key string) string {
	dir, rest, _ := strings.Cut(key, "/")
	switch dir + "/" {
	case indexDir:
		facts, _, _ := strings.Cut(rest, "/")
		if f := strings.Split(facts, "-"); len(f) == 5 {
			return s.wrongEntry(f[2])
		}
	case refsDir:
		return s.wrongReference(key)
	case retiredDir:
		return s.wrongMark(rest)
	case verifiedDir:
		layer, _, _ := strings.Cut(rest, "/")
		if s.committed(layer) && s.count(verifiedDir+layer+"/") < 2 {
			return " about a layer that is there"
		}
		return ""
	case expiredDir, probeDir:
		return ""
	case jobsDir:
		return s.wrongRecord(rest)
	}
	return s.wrongPart(key)
}

// wrongRecord says why the record of a job must stay: unless its last one says that it has
// ended, or what it was to make is there or never will be.
func (s *shelf) wrongRecord(rest string) string {
	job, _, _ := strings.Cut(rest, "/")
	last, newest := "", -1
	for _, key := range s.keys {
		number, ok := strings.CutPrefix(key, jobsDir+job+"/")
		if n, err := strconv.Atoi(number); ok && err == nil && n > newest {
			last, newest = key, n
		}
	}
	var facts struct{ State, Layer string }
	s.read(last, &facts)
	ended := slices.Contains([]string{"canceled", "failed", "succeeded"}, facts.State)
	switch {
	case !ended && !s.committed(facts.Layer) && !s.dead(facts.Layer):
		return " of a job that may be gone on with"
	case s.b.now != nil && s.b.now().Sub(s.b.dated(s.prefix+last, time.Time{})) < minAge:
		return " of a job that has ended just now"
	}
	return ""
}

func (s *shelf) wrongEntry(layer string) string {
	if s.dead(layer) {
		return ""
	}
	return s.wrongLayer(layer)
}

// minAge is how long, by the bucket's clock, a retired layer stays for its readers.
const minAge = 24 * time.Hour

// wrongLayer says why a layer must stay.
func (s *shelf) wrongLayer(layer string) string {
	if !s.retired(layer) {
		return " of a layer that is not retired"
	}
	if s.b.now != nil && s.b.now().Sub(s.b.dated(s.prefix+retiredDir+layer, time.Time{})) < minAge {
		return " of a layer that was retired just now"
	}
	for p, m := range s.manifests {
		switch {
		case m.Void:
		case slices.Contains(m.Refers, layer):
			return " of a layer whose files are used by that at " + p
		case m.Parent == layer && !s.replaced(layer):
			return " of a layer that is extended by that at " + p
		}
	}
	for _, key := range s.keys {
		var ref struct {
			Use string `json:"use"`
		}
		if strings.HasPrefix(key, refsDir+layer+"/") && s.read(key, &ref) != "" && ref.Use == "hold" {
			return " of a layer that is held"
		}
	}
	return ""
}

// replaced reports whether another layer stands for one.
func (s *shelf) replaced(layer string) bool {
	for _, m := range s.manifests {
		if !m.Void && m.StandsFor == layer {
			return true
		}
	}
	return false
}

func (s *shelf) wrongReference(key string) string {
	var ref struct {
		Layer, Holder, Use string
	}
	s.read(key, &ref)
	f := strings.Split(key, "/")
	switch {
	case ref.Use == "read" || ref.Use == "hold" || !s.committed(f[1]):
		return ""
	case s.committed(f[2]):
		return " by which a layer needs another"
	case !s.dead(f[2]) && !s.retired(f[2]):
		return " by which a run needs a layer"
	}
	return ""
}

// wrongMark says what of a layer is there without its mark.
func (s *shelf) wrongMark(layer string) string {
	if s.committed(layer) {
		return " by which a layer is retired that is there"
	}
	for p, l := range s.claims {
		if l == layer {
			return " before the claim of " + p
		}
	}
	for _, key := range s.keys {
		if strings.Contains(key, "/"+dataDir+layer+"-") || strings.HasPrefix(key, indexDir) && strings.Contains(key, "-"+layer+"-") && strings.Split(key, "-")[2] == layer {
			return " before " + key
		}
	}
	return ""
}

// consists reports whether there is more of what claimed a path than the claim.
func (s *shelf) consists(p string) bool {
	return s.has(p+"/"+fileList) || s.has(p+"/"+objectList) || s.hasAny(p+"/"+keyDir) || s.hasAny(p+"/"+dataDir+s.claims[p])
}

// wrongPart is about what lies at the path of a layer.
func (s *shelf) wrongPart(key string) string {
	if p, ok := strings.CutSuffix(key, "/"+manifest); ok {
		layer := s.manifests[p].Layer
		switch {
		case s.manifests[p].Void:
			return " that declares a run dead"
		case slices.ContainsFunc(s.keys, func(k string) bool {
			return strings.HasPrefix(k, indexDir) && strings.Split(k, "-")[2] == layer
		}):
			return " before the index entry"
		}
		return s.wrongLayer(layer)
	}
	layers := append(layersOf(key), layersAbove(key, keyDir)...)
	if i := strings.LastIndex(key, "/progress/"); i >= 0 {
		layers = append(layers, key[:i+1])
	}
	if len(layers) == 0 {
		return " that is nobody's to delete"
	}
	p := strings.TrimSuffix(layers[0], "/")
	m, there := s.manifests[p]
	switch {
	case there && !m.Void:
		return " before the manifest"
	case there && path.Base(key) != path.Base(claim):
		return ""
	case there:
		return " by which a dead run claims its path"
	case len(layersAbove(key, keyDir)) > 0 && !s.has(p+"/"+claim):
		return "" // a key of a layer that is gone
	case !s.retired(s.claims[p]):
		return " of a run that was not declared dead"
	case path.Base(key) == path.Base(claim) && s.consists(p):
		return " before what it claims"
	}
	return ""
}
