package varve_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/faultblob"
)

// ward is a collection whose objects are damaged one after the other.
type ward struct {
	*scene
	mode   mode
	layers map[string]varve.LayerInfo // by path
	chain  []string                   // IDs of the layers that the newest one needs
	twin   *faultblob.Bucket          // another collection that looks the same
}

// wards are the collections by name: chains of each mode, and one whose newest layer
// refers to tables of another.
func wards(t *testing.T) map[string]func(*testing.T) *ward {
	out := map[string]func(*testing.T) *ward{}
	for _, m := range modes(t) {
		out[m.name] = func(t *testing.T) *ward { return newWard(t, m, m.patient) }
		out[m.name+" compacted"] = func(t *testing.T) *ward {
			return newWard(t, m, func(t testing.TB) *scene {
				s := newScene(t, m.opts)
				s.keys = m.keys
				require.NoError(t, s.attempt(t.Context()))
				s.deepen()
				require.NotEmpty(t, s.compacted(s.last.ID, varve.CompactOptions{}).Manifest.Refers)
				return s
			})
		}
		if !m.opts.RevisionHistory {
			out[m.name+" tables"] = func(t *testing.T) *ward {
				return newWard(t, m, func(t testing.TB) *scene {
					s := m.shelf(t)
					require.NoError(t, s.attempt(t.Context()))
					require.NotEmpty(t, s.last.Manifest.Refers)
					return s
				})
			}
		}
	}
	return out
}

// patient is a chain of three layers, and one more full.
func (m mode) patient(t testing.TB) *scene {
	s := newScene(t, m.opts)
	s.keys = m.keys
	require.NoError(t, s.attempt(t.Context()))
	s.change(1)
	require.NoError(t, s.attempt(t.Context()))
	s.opts.Into = varve.Latest
	for i := range uint64(2) {
		s.change(i + 2)
		require.NoError(t, s.attempt(t.Context()))
	}
	return s
}

func newWard(t *testing.T, m mode, begin setting) *ward {
	w := &ward{scene: begin(t), mode: m, layers: map[string]varve.LayerInfo{}, twin: begin(t).bucket}
	if m.keys != nil {
		require.NoError(t, w.collection().AddKey(t.Context(), w.last.ID, m.more))
	}
	for l, err := range w.collection().Layers(t.Context()) {
		require.NoError(t, err)
		w.layers[l.Path] = l
	}
	chain, err := w.collection().Resolve(t.Context(), w.last.ID, varve.Timestamp{})
	require.NoError(t, err)
	for _, l := range chain.Layers {
		w.chain = append(w.chain, l.ID)
	}
	return w
}

// layerOf is the path of the layer that an object belongs to; "" for those of none.
func (w *ward) layerOf(key string) string {
	if folder, file := path.Split(key); strings.HasSuffix(folder, "/data/") || strings.HasSuffix(folder, "/progress/") || strings.HasSuffix(folder, "/keys/") {
		key = path.Dir(folder[:len(folder)-1]) + "/" + file
	}
	if _, known := w.layers[path.Dir(key)]; known {
		return path.Dir(key)
	}
	return ""
}

// needer is the newest layer that needs the object.
func (w *ward) needer(key string) string {
	id := w.layers[w.layerOf(key)].ID
	if id == "" || slices.Contains(w.chain, id) {
		return w.last.ID
	}
	return id
}

// siblings are other objects of the kind: of the layer, of others, and the same one of
// another collection.
func (w *ward) siblings(key string) (same []string, bodies [][]byte) {
	isOther := func(k string) bool { return w.role(k) != w.role(key) }
	here, there := slices.DeleteFunc(w.bucket.Keys(), isOther), slices.DeleteFunc(w.twin.Keys(), isOther)
	at := slices.Index(here, key)
	if len(there) > 0 {
		bodies = append(bodies, w.twin.Read(there[min(at, len(there)-1)]))
	}
	for _, n := range []int{at - 1, at + 1, (at + len(here)/2) % len(here)} {
		if n >= 0 && n < len(here) && n != at && !slices.Contains(same, here[n]) {
			same = append(same, here[n])
			bodies = append(bodies, w.bucket.Read(here[n]))
		}
	}
	return same, bodies
}

// role with what only sealed layers have.
func (w *ward) role(key string) string {
	for _, name := range []string{"objects.sst", "keys"} {
		if strings.Contains(key, "/"+name) {
			return name
		}
	}
	if strings.HasPrefix(key, "jobs/") {
		return "jobs"
	}
	return role(key)
}

// TestDamageMatrix (I1): whatever happens to whichever object, Verify names it, with keys
// and, as far as hashes tell, without; and a restore refuses, with nothing left behind, or
// gives what it always gave.
func TestDamageMatrix(t *testing.T) {
	t.Parallel()
	for name, begin := range wards(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMatrix(t, 300)
			w := begin(t)
			for _, key := range w.bucket.Keys() {
				w.torment(m, key)
			}
			w.requireWhole()
		})
	}
}

// torment does all there is to one object.
func (w *ward) torment(m *matrix, key string) {
	body := w.bucket.Read(key)
	same, bodies := w.siblings(key)
	rng := rand.New(rand.NewPCG(1, uint64(len(body))))
	for _, d := range damages(body, rng, bodies...) {
		if !m.takes(d.kind != "flipped" && d.kind != "truncated") {
			continue
		}
		if d.body == nil {
			w.bucket.Remove(key)
		} else {
			w.bucket.Replace(key, d.body)
		}
		w.examine(m, key, d, !d.isWhole(body))
		w.bucket.Replace(key, body)
	}
	for _, other := range same {
		if m.takes(true) && string(w.bucket.Read(other)) != string(body) {
			w.bucket.Swap(key, other)
			w.examine(m, key, damage{kind: "swapped with a sibling", with: other}, true)
			w.bucket.Swap(key, other)
		}
	}
}

// examine verifies and restores the layer that needs the object.
func (w *ward) examine(m *matrix, key string, d damage, isDamage bool) {
	w.Helper()
	from := w.needer(key)
	kind := w.role(key)
	verify := func(keys []varve.Key, level varve.VerifyLevel) error {
		_, err := w.collectionUnder(keys).Verify(w.Context(), from, &varve.VerifyOptions{Level: level, Concurrency: 1})
		return err
	}
	touched, err := w.restoreFrom(from)
	switch kind {
	case "jobs": // which only who lists or resumes them reads
		require.NoError(w, verify(w.mode.keys, varve.VerifyHash), "%s of %s", d.kind, key)
		require.NoError(w, err)
		w.requireListedJobs(key, d, isDamage)
	case "index", "refs", "progress": // whose names are what counts
		require.NoError(w, verify(w.mode.keys, varve.VerifyHash), "%s of %s", d.kind, key)
		require.NoError(w, err)
	case "keys": // the layer opens with another
		require.NoError(w, verify(w.mode.keys, varve.VerifyHash))
		require.NoError(w, err)
	case "objects.sst": // which a restore does not read
		w.requireNamed(verify(w.mode.keys, varve.VerifyHash), key, d)
		w.requireNamed(verify(nil, varve.VerifyHash), key, d)
		require.NoError(w, err)
	default:
		if !isDamage {
			require.NoError(w, err)
			break
		}
		w.requireNamed(verify(w.mode.keys, varve.VerifyHash), key, d)
		if w.mode.keys != nil {
			w.requireNamed(verify(nil, varve.VerifyHash), key, d)
		}
		if kind != "data" || d.body == nil && d.kind == "deleted" {
			require.Error(w, err, "%s at %d of %s was restored", d.kind, d.at, key)
			require.False(w, touched, "%s at %d of %s: the destination was touched", d.kind, d.at, key)
		}
		if err != nil {
			w.requireNamed(err, key, d)
		}
	}
	m.pass(kind + ": " + d.kind)
}

// requireListedJobs wants all jobs listed. Where the last record of one is damaged, its status
// says so.
func (w *ward) requireListedJobs(key string, d damage, isDamage bool) {
	w.Helper()
	for s, err := range w.collection().Jobs(w.Context()) {
		require.NoError(w, err)
		var corrupt *varve.CorruptError
		var format *varve.FormatError
		if isDamage && d.with == "" && d.body != nil && strings.HasSuffix(key, "/1") && strings.Contains(key, s.ID) {
			require.True(w, errors.As(s.Err, &corrupt) || errors.As(s.Err, &format), "%s at %d of %s: %v", d.kind, d.at, key, s.Err)
		}
		require.True(w, s.State != 0 || errors.As(s.Err, &corrupt) || errors.As(s.Err, &format), "%v", s.Err)
	}
}

// restoreFrom restores into an empty store, which stays so if it fails.
func (w *ward) restoreFrom(from string) (touched bool, err error) {
	w.Helper()
	dst := &counted{Store: w.newStore()}
	_, err = w.collection().Restore(context.WithoutCancel(w.Context()), varve.Cluster(dst), &varve.RestoreOptions{From: from, Concurrency: 1})
	if err != nil {
		require.Empty(w, dst.State(varve.Span{}), "a failed restore left something behind")
	} else {
		require.Equal(w, w.states[from].entries, stateOf(dst.Store), "a restore invented something")
	}
	return dst.ingests.Load() > 0, err
}

// requireNamed wants an error about the object, or one that it was swapped with: that it is damaged, too new, or missing; of
// the record of the collection also that a layer is not of that collection.
func (w *ward) requireNamed(err error, key string, d damage) {
	w.Helper()
	require.Error(w, err, "%s at %d of %s goes unnoticed", d.kind, d.at, key)
	var c *varve.CorruptError
	var f *varve.FormatError
	switch {
	case errors.Is(err, varve.ErrNoLayer):
		require.Equal(w, "BACKUP_MANIFEST", w.role(key))
		require.Equal(w, "deleted", d.kind)
		return
	case errors.As(err, &f):
		require.Contains(w, []string{key, d.with}, f.Object)
		return
	}
	require.ErrorAs(w, err, &c, "%s at %d of %s", d.kind, d.at, key)
	if key == "varve.json" && strings.HasSuffix(c.Object, "/BACKUP_MANIFEST") {
		return
	}
	if d.with == "" || !strings.Contains(err.Error(), d.with) {
		require.ErrorContains(w, err, key, "%s at %d", d.kind, d.at)
	}
}
