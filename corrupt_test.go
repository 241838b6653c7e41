package varve_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// patient is a collection of two layers, the younger of which is damaged.
type patient struct {
	*testing.T
	opts   *memkv.Options
	faults *faultblob.Bucket
	layers [2]*varve.Layer
	states [2][]export.Entry
	totals map[string]int // damages by what was done
}

func newPatient(t *testing.T, single bool) *patient {
	t.Helper()
	p := &patient{T: t, opts: &memkv.Options{SingleRevision: single, PartitionBytes: 4 << 10}, faults: faultblob.New(t, nil), totals: map[string]int{}}
	c := collectionIn(t, p.faults, nil)
	for i := range p.layers {
		src := newStore(t, p.opts)
		fill(src, 300, uint64(i)+1)
		layer, err := c.Backup(t.Context(), varve.Cluster(src), &varve.BackupOptions{TargetFileBytes: 6 << 10, Name: fmt.Sprintf("layer/%d", i)})
		require.NoError(t, err)
		require.GreaterOrEqual(t, layer.Stats.Files, int64(3))
		p.layers[i], p.states[i] = layer, stateOf(src)
	}
	return p
}

// objects are those of the younger layer, by kind.
func (p *patient) objects(kind string) []string {
	var keys []string
	for _, key := range p.faults.Keys() {
		if strings.Contains(key, p.layers[1].Path) && strings.Contains(key, kind) {
			keys = append(keys, key)
		}
	}
	require.NotEmpty(p, keys, kind)
	return keys
}

// sibling is the same object of the older layer; for data one of about its place.
func (p *patient) sibling(key string) []byte {
	other := strings.NewReplacer(p.layers[1].Path, p.layers[0].Path, p.layers[1].ID, p.layers[0].ID).Replace(key)
	if slices.Contains(p.faults.Keys(), other) {
		return p.faults.Read(other)
	}
	return p.faults.Read(p.objectsOf(0, "/data/")[0])
}

func (p *patient) objectsOf(layer int, kind string) []string {
	return slices.DeleteFunc(p.faults.Keys(), func(key string) bool {
		return !strings.Contains(key, p.layers[layer].Path) || !strings.Contains(key, kind)
	})
}

// counted counts how often a restore came as far as the destination.
type counted struct {
	*memkv.Store
	ingests atomic.Int64
}

func (c *counted) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	c.ingests.Add(1)
	return c.Store.Ingest(ctx, opts)
}

// restore restores a layer into an empty store, which after an error must be empty,
// and tells whether it was touched.
func (p *patient) restore(layer int) (touched bool, err error) {
	p.Helper()
	dst := &counted{Store: newStore(p, p.opts)}
	_, err = collectionIn(p, p.faults, nil).Restore(p.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: p.layers[layer].Path})
	if err != nil {
		require.Empty(p, dst.State(varve.Span{}), "a failed restore left something behind")
	} else {
		require.Equal(p, p.states[layer], stateOf(dst.Store), "a restore invented something")
	}
	return dst.ingests.Load() > 0, err
}

func (p *patient) verify(layer int, level varve.VerifyLevel) error {
	p.Helper()
	_, err := collectionIn(p, p.faults, nil).Verify(p.Context(), p.layers[layer].Path, &varve.VerifyOptions{Level: level})
	return err
}

// damage is something that happens to an object.
type damage struct {
	kind string
	body []byte // nil: the object is gone
	at   int    // first byte that differs
	with string // the object that it was swapped with
}

// boundaries are the offsets in an object where one of its parts ends.
func boundaries(body []byte) []int {
	const magic, entry = 16, 25
	trailer := 16
	switch {
	case bytes.HasPrefix(body, []byte("varve sealed v1\n")):
		trailer += 32 // for the salt
	case !bytes.HasPrefix(body, []byte("varve frames v1\n")):
		var cuts []int
		for i, c := range body {
			if strings.ContainsRune("\n:{},", rune(c)) {
				cuts = append(cuts, i, i+1)
			}
		}
		return cuts
	}
	cuts := []int{magic, len(body) - trailer, len(body) - 16, len(body) - 8}
	index := body[len(body)-int(binary.LittleEndian.Uint32(body[len(body)-12:])):]
	at := magic
	for e := index; len(e) > trailer; e = e[entry:] {
		at += int(binary.LittleEndian.Uint32(e[4:]))
		cuts = append(cuts, at, len(body)-len(e))
	}
	return cuts
}

// damages are what is done to one object: in each of its regions, and as a whole. Siblings
// are other objects of its kind.
func damages(body []byte, rng *rand.Rand, siblings ...[]byte) []damage {
	all := []damage{{kind: "deleted"}, {kind: "emptied", body: []byte{}}}
	cuts := append(boundaries(body), 1, len(body)/2, len(body)-1)
	for range 10 {
		cuts = append(cuts, rng.IntN(len(body)))
	}
	for _, n := range cuts {
		if n > 0 && n < len(body) {
			all = append(all, damage{kind: "truncated", body: body[:n], at: n})
		}
	}
	var bits []int
	for i := range body {
		if i < 20 || i > len(body)-70 {
			bits = append(bits, 8*i+rng.IntN(8))
		}
	}
	for _, n := range boundaries(body) {
		bits = append(bits, 8*max(n-1, 0), 8*min(n, len(body)-1)+7)
	}
	for range 40 {
		bits = append(bits, rng.IntN(8*len(body)))
	}
	for _, bit := range bits {
		all = append(all, flip(body, bit))
	}
	noise := make([]byte, len(body))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	all = append(all,
		damage{kind: "grown", body: append(bytes.Clone(body), 0)},
		damage{kind: "doubled", body: append(bytes.Clone(body), body...)},
		damage{kind: "foreign", body: []byte("<html>503 come back later</html>\n")},
		damage{kind: "noise", body: noise},
		damage{kind: "zeroes", body: make([]byte, len(body))},
	)
	for _, s := range siblings {
		if !bytes.Equal(s, body) {
			all = append(all, damage{kind: "replaced by a sibling", body: s})
		}
	}
	return all
}

func flip(body []byte, bit int) damage {
	flipped := bytes.Clone(body)
	flipped[bit/8] ^= 1 << (bit % 8)
	return damage{kind: "flipped", body: flipped, at: bit / 8}
}

// everyByte damages each byte of a record.
func everyByte(body []byte, rng *rand.Rand) (all []damage) {
	for i := range body {
		if body[0] == '{' {
			all = append(all, flip(body, 8*i+rng.IntN(8)))
		}
	}
	return all
}

// inflict does each damage to an object in turn, and undoes it.
func (p *patient) inflict(key string, siblings [][]byte, check func(d damage)) {
	p.Helper()
	body := p.faults.Read(key)
	rng := rand.New(rand.NewPCG(1, uint64(len(body))))
	for _, d := range append(damages(body, rng, siblings...), everyByte(body, rng)...) {
		p.totals[d.kind]++
		if d.body == nil {
			p.faults.Remove(key)
		} else {
			p.faults.Replace(key, d.body)
		}
		check(d)
		if many := d.kind == "flipped" || d.kind == "truncated"; !many || p.totals[d.kind]%20 == 0 {
			_, err := p.restore(0)
			require.NoError(p, err, "the older layer, with %s %s", key, d.kind)
		}
		p.faults.Replace(key, body)
	}
	require.NoError(p, p.verify(1, varve.VerifyDigest))
}

// isWhole reports whether a record lacks nothing but the newline at its end.
func (d damage) isWhole(body []byte) bool {
	return d.kind == "truncated" && d.at == len(body)-1 && body[d.at] == '\n'
}

// names sees to it that an error is one that says what is wrong with the object.
func (p *patient) names(err error, key string, d damage) {
	p.Helper()
	require.ErrorContains(p, err, key, "%s at %d", d.kind, d.at)
	var c *varve.CorruptError
	require.ErrorAs(p, err, &c, "%s %s at %d", key, d.kind, d.at)
	require.Equal(p, key, c.Object)
}

func bothModes(t *testing.T, test func(p *patient)) {
	for _, single := range []bool{true, false} {
		t.Run(fmt.Sprintf("single=%t", single), func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, single)
			test(p)
			t.Logf("damages found: %v", p.totals)
		})
	}
}

// TestDamagedData: what is missing shows at the first level, another length at the
// second, and every changed byte at the third.
func TestDamagedData(t *testing.T) {
	t.Parallel()
	skipUnderRace(t)
	bothModes(t, func(p *patient) {
		files := p.objects("/data/")
		for i, key := range files {
			whole := p.faults.Read(key)
			siblings := [][]byte{p.faults.Read(files[(i+1)%len(files)]), p.sibling(key)}
			p.inflict(key, siblings, func(d damage) {
				level := varve.VerifyHash
				switch {
				case d.body == nil:
					level = varve.VerifyExists
				case len(d.body) != len(whole):
					level = varve.VerifySize
				}
				p.names(p.verify(1, level), key, d)
				if level > varve.VerifyExists {
					require.NoError(p, p.verify(1, level-1), "%s shows a level early", d.kind)
				}
				touched, err := p.restore(1)
				p.names(err, key, d)
				require.Equal(p, level == varve.VerifyHash, touched, "%s: holes are found before the destination is touched", d.kind)
			})
		}
	})
}

// TestDamagedFileList shows at every level, and before the destination is touched.
func TestDamagedFileList(t *testing.T) {
	t.Parallel()
	bothModes(t, func(p *patient) {
		key := p.layers[1].Path + "/files.sst"
		p.inflict(key, [][]byte{p.sibling(key), p.faults.Read(p.objects("/data/")[0])}, func(d damage) {
			p.names(p.verify(1, varve.VerifyExists), key, d)
			touched, err := p.restore(1)
			p.names(err, key, d)
			require.False(p, touched)
		})
	})
}

// TestDamagedManifest: without one there is no layer, and of one that is not as it
// was nothing is believed.
func TestDamagedManifest(t *testing.T) {
	t.Parallel()
	skipUnderRace(t)
	bothModes(t, func(p *patient) {
		key := p.layers[1].Path + "/BACKUP_MANIFEST"
		whole := p.faults.Read(key)
		p.inflict(key, [][]byte{p.sibling(key), p.faults.Read("varve.json")}, func(d damage) {
			touched, err := p.restore(1)
			if d.isWhole(whole) {
				require.NoError(p, err)
				return
			}
			require.False(p, touched, "%s at %d", d.kind, d.at)
			for _, err := range []error{p.verify(1, varve.VerifyExists), err} {
				var format *varve.FormatError
				switch {
				case d.body == nil:
					require.ErrorIs(p, err, varve.ErrNoLayer)
					require.ErrorContains(p, err, p.layers[1].Path)
				case errors.As(err, &format):
					require.Equal(p, key, format.Object)
				default:
					p.names(err, key, d)
				}
			}
		})
	})
}

// TestDamagedManifestIsNotPassedOver: Latest is the layer that is damaged and not
// the one before it, unless its manifest is gone.
func TestDamagedManifestIsNotPassedOver(t *testing.T) {
	t.Parallel()
	p := newPatient(t, true)
	c := collectionIn(t, p.faults, nil)
	key := p.layers[1].Path + "/BACKUP_MANIFEST"
	for _, d := range []damage{{kind: "emptied", body: []byte{}}, {kind: "foreign", body: []byte("x")}} {
		p.faults.Replace(key, d.body)
		_, err := c.Layer(t.Context(), varve.Latest)
		p.names(err, key, d)
	}
	p.faults.Remove(key)
	layer, err := c.Layer(t.Context(), varve.Latest)
	require.NoError(t, err)
	require.Equal(t, p.layers[0].ID, layer.ID)
}

// TestDamagedGate: without a whole varve.json nothing is read or written, for it
// alone says in which format the rest is.
func TestDamagedGate(t *testing.T) {
	t.Parallel()
	p := newPatient(t, true)
	const key = "varve.json"
	body := p.faults.Read(key)
	other := faultblob.New(t, nil)
	_, err := collectionIn(t, other, nil).Backup(t.Context(), varve.Cluster(newStore(t, p.opts)), nil)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, d := range append(damages(body, rng, p.faults.Read(p.layers[1].Path+"/BACKUP_MANIFEST")), everyByte(body, rng)...) {
		if d.body == nil {
			p.faults.Remove(key)
		} else {
			p.faults.Replace(key, d.body)
		}
		touched, err := p.restore(1)
		if d.isWhole(body) {
			require.NoError(t, err)
			continue
		}
		require.False(t, touched, "%s at %d", d.kind, d.at)
		var format *varve.FormatError
		if errors.As(err, &format) {
			require.Equal(t, key, format.Object)
		} else {
			p.names(err, key, d)
		}
		require.Error(t, p.verify(0, varve.VerifyExists), "%s at %d", d.kind, d.at)
		p.faults.Replace(key, body)
	}
	p.faults.Replace(key, other.Read(key))
	err = p.verify(1, varve.VerifyExists)
	p.names(err, p.layers[1].Path+"/BACKUP_MANIFEST", damage{kind: "gate of another collection"})
}

// TestDamagedClaimsAndEntries: what they say stands in their names, so that a layer
// does not depend on their bodies, and found by its path not even on them.
func TestDamagedClaimsAndEntries(t *testing.T) {
	t.Parallel()
	p := newPatient(t, true)
	for _, key := range append(p.objects("index/"), p.objects("/progress/0")...) {
		p.inflict(key, [][]byte{p.sibling(key)}, func(d damage) {
			require.NoError(t, p.verify(1, varve.VerifySize))
		})
	}
	p.faults.Remove(p.objects("index/")[0])
	layer, err := collectionIn(t, p.faults, nil).Layer(t.Context(), p.layers[1].ID)
	require.NoError(t, err)
	require.Equal(t, p.layers[1].LayerInfo, layer.LayerInfo)
}

// TestVerifyReportsAllDamage, each file once.
func TestVerifyReportsAllDamage(t *testing.T) {
	t.Parallel()
	p := newPatient(t, true)
	files := p.objects("/data/")
	require.GreaterOrEqual(t, len(files), 3)
	p.faults.Remove(files[0])
	p.faults.Truncate(files[1], 20)
	p.faults.Flip(files[2], 8*50)
	for level, want := range map[varve.VerifyLevel]int{
		varve.VerifyExists: 1, varve.VerifySize: 2, varve.VerifyHash: 3, varve.VerifyOrder: 3, varve.VerifyDigest: 3, varve.VerifyRehearsal: 3,
	} {
		report, err := collectionIn(t, p.faults, nil).Verify(t.Context(), p.layers[1].ID, &varve.VerifyOptions{Level: level, Scratch: newStore(t, p.opts)})
		require.Len(t, report.Problems, want, level)
		for i, key := range files[:want] {
			require.ErrorContains(t, err, key)
			require.True(t, slices.ContainsFunc(report.Problems, func(err error) bool { return strings.Contains(err.Error(), key) }), i)
		}
		require.EqualValues(t, len(files), report.Files)
	}
}
