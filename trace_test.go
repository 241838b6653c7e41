package varve_test

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestTrace runs the scripts in testdata/scripts, each with a store and a bucket of
// its own, a clock that stands still, and IDs that are numbered as they appear. A
// command that reaches the bucket ends with the number of its requests; the
// argument trace adds all of them, reads in a row sorted. Rewrite the scripts with -rewrite, and read the
// difference.
//
//	store [revisions] [partition=<bytes>]     begin with another store
//	write                                     set <key> <value> | del <key> | cut <start> <end> | fill <n>
//	                                          range <start> <end> <suffix> <value> | unset <start> <end> <suffix>
//	clock <duration>                          let time pass, or set the clock back
//	backup [name=] [spans=(a:c,x:)] [target=<bytes>] [labels=(k:v,...)] [lag=] [audit] [no-digest]
//	       [into=] [full-every=] [adopt] [no-base] [base-limit=<bytes>]
//	snapshots                                 what the store keeps
//	layers | points                           list the collection, or what the latest chain can restore
//	show [from=]                              what a manifest says
//	verify [from=] [level=]
//	restore [from=] [spans=] [prove] [again [replace]]   into an empty store, or the one of the restore before
//	state                                     what the store of the last restore holds
//	keys                                      the objects in the bucket
//	put <key> | remove <key>                  tamper with the bucket
//
// A layer is named #1, #2, ... in the order of the script.
func TestTrace(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := newScript(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.run(t, d)
		})
	})
}

// script is the world of one script.
type script struct {
	bucket *faultblob.Bucket
	c      *varve.Collection
	store  *memkv.Store
	dst    *memkv.Store
	now    time.Time
	layers []string // IDs
	others []string // of anything else
}

func newScript(t *testing.T) *script {
	s := &script{
		bucket: faultblob.New(t, nil),
		now:    time.Date(2026, 11, 22, 6, 31, 59, 370_000_000, time.UTC),
	}
	s.c = collectionIn(t, s.bucket, &varve.CollectionOptions{Now: s.clock, Rand: rand.NewChaCha8([32]byte{1})})
	s.store = s.newStore(t, true, 4<<10)
	return s
}

func (s *script) clock() time.Time { return s.now }

func (s *script) newStore(t *testing.T, single bool, partition int64) *memkv.Store {
	return newStore(t, &memkv.Options{SingleRevision: single, PartitionBytes: partition, Lineage: strings.Repeat("0", 32), Now: s.clock})
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	commands := map[string]func(*testing.T, *datadriven.TestData) (string, error){
		"store": s.doStore, "write": s.doWrite, "clock": s.doClock, "backup": s.doBackup, "layers": s.doLayers,
		"points": s.doPoints, "show": s.doShow, "verify": s.doVerify, "restore": s.doRestore, "state": s.doState,
		"keys": s.doKeys, "put": s.doPut, "remove": s.doRemove, "snapshots": s.doSnapshots,
	}
	do, ok := commands[d.Cmd]
	if !ok {
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	s.bucket.Reset()
	out, err := do(t, d)
	if err != nil {
		out += "error: " + err.Error() + "\n"
	}
	if d.HasArg("trace") {
		out += traceOf(s.bucket)
	}
	if n := s.bucket.Counts(); n != "" {
		out += "[" + n + "]\n"
	}
	return s.mask(out)
}

// traceOf is what was asked of the bucket. Reads are sorted where several follow one
// another: some of them are made at once.
func traceOf(bucket *faultblob.Bucket) string {
	ops := bucket.Trace()
	for i := 0; i < len(ops); {
		n := slices.IndexFunc(ops[i:], func(op faultblob.Op) bool { return op.Kind != faultblob.Get })
		if n < 0 {
			n = len(ops) - i
		}
		slices.SortStableFunc(ops[i:i+n], func(a, b faultblob.Op) int { return strings.Compare(a.Key, b.Key) })
		i += n + 1
	}
	var out strings.Builder
	for i, op := range ops {
		op.N = i + 1
		fmt.Fprintln(&out, op)
	}
	return out.String()
}

var (
	traceID    = regexp.MustCompile(`[0-9a-f]{32}`)
	traceRival = regexp.MustCompile(`-([0-9a-f]{6})\b`)
)

// mask puts the number of a layer in the place of its ID.
func (s *script) mask(text string) string {
	text = traceID.ReplaceAllStringFunc(text, func(id string) string {
		if i := slices.Index(s.layers, id); i >= 0 {
			return fmt.Sprintf("<layer-%d>", i+1)
		}
		i := slices.Index(s.others, id)
		if i < 0 {
			i, s.others = len(s.others), append(s.others, id)
		}
		return fmt.Sprintf("<id-%d>", i+1)
	})
	return traceRival.ReplaceAllStringFunc(text, func(suffix string) string {
		i := slices.IndexFunc(s.layers, func(id string) bool { return strings.HasPrefix(id, suffix[1:]) })
		if i < 0 {
			return suffix
		}
		return fmt.Sprintf("-<six-of-layer-%d>", i+1)
	})
}

// from is the layer that a command is about.
func (s *script) from(t *testing.T, d *datadriven.TestData) string { return s.layer(t, d, "from") }

func (s *script) layer(t *testing.T, d *datadriven.TestData, key string) string {
	var from string
	d.MaybeScanArgs(t, key, &from)
	if n, ok := strings.CutPrefix(from, "#"); ok {
		i, err := strconv.Atoi(n)
		if err == nil && i >= 1 && i <= len(s.layers) {
			return s.layers[i-1]
		}
	}
	return from
}

func (s *script) spans(d *datadriven.TestData) []varve.Span {
	arg, ok := d.Arg("spans")
	if !ok {
		return nil
	}
	var out []varve.Span
	for _, v := range arg.Vals {
		start, end, _ := strings.Cut(v, ":")
		out = append(out, varve.Span{Start: []byte(start), End: []byte(end)})
	}
	return out
}

func (s *script) targets(store *memkv.Store, d *datadriven.TestData) varve.Targets {
	if spans := s.spans(d); spans != nil {
		return varve.Spans(store, spans...)
	}
	return varve.Cluster(store)
}

func (s *script) doStore(t *testing.T, d *datadriven.TestData) (string, error) {
	partition := int64(4 << 10)
	d.MaybeScanArgs(t, "partition", &partition)
	s.store = s.newStore(t, !d.HasArg("revisions"), partition)
	return "", nil
}

func (s *script) doWrite(t *testing.T, d *datadriven.TestData) (string, error) {
	for lines := bufio.NewScanner(strings.NewReader(d.Input)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		arg := func(i int) []byte { return []byte(f[i]) }
		switch f[0] {
		case "set":
			s.store.Set(arg(1), arg(2))
		case "del":
			s.store.Delete(arg(1))
		case "cut":
			s.store.DeleteRange(arg(1), arg(2))
		case "range":
			s.store.RangeKeySet(arg(1), arg(2), arg(3), arg(4))
		case "unset":
			s.store.RangeKeyUnset(arg(1), arg(2), arg(3))
		case "fill":
			n, err := strconv.Atoi(f[1])
			require.NoError(t, err)
			fill(s.store, n, 1)
		default:
			d.Fatalf(t, "unknown write %s", f[0])
		}
	}
	return "", nil
}

func (s *script) doClock(t *testing.T, d *datadriven.TestData) (string, error) {
	by, err := time.ParseDuration(d.CmdArgs[0].Key)
	require.NoError(t, err)
	s.now = s.now.Add(by)
	return s.now.Format(time.RFC3339Nano) + "\n", nil
}

func (s *script) doBackup(t *testing.T, d *datadriven.TestData) (string, error) {
	opts := &varve.BackupOptions{
		Concurrency: 1, Audit: d.HasArg("audit"), NoDigest: d.HasArg("no-digest"),
		Into: s.layer(t, d, "into"), Adopt: d.HasArg("adopt"), NoBase: d.HasArg("no-base"),
		Lag: duration(t, d, "lag"), FullEvery: duration(t, d, "full-every"),
	}
	d.MaybeScanArgs(t, "name", &opts.Name)
	d.MaybeScanArgs(t, "target", &opts.TargetFileBytes)
	d.MaybeScanArgs(t, "base-limit", &opts.BaseLimit)
	if labels, ok := d.Arg("labels"); ok {
		opts.Labels = map[string]string{}
		for _, l := range labels.Vals {
			k, v, _ := strings.Cut(l, ":")
			opts.Labels[k] = v
		}
	}
	layer, err := s.c.Backup(t.Context(), s.targets(s.store, d), opts)
	if err != nil {
		return "", err
	}
	s.layers = append(s.layers, layer.ID)
	out := s.line(layer.LayerInfo) + statsLine(layer.Stats)
	if !layer.Full() {
		out += fmt.Sprintf("%d deletions, extends %s by %s\n", layer.Stats.Deletions, layer.ParentID, layer.Stats.Changes)
	}
	return out, nil
}

func duration(t *testing.T, d *datadriven.TestData, key string) (out time.Duration) {
	var text string
	if d.MaybeScanArgs(t, key, &text) {
		var err error
		out, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	return out
}

func (s *script) doSnapshots(t *testing.T, d *datadriven.TestData) (string, error) {
	kept, err := s.store.Snapshots(t.Context())
	var out string
	for _, k := range kept {
		out += fmt.Sprintf("%s at %s pins %d bytes\n", k.Name, k.Timestamp, k.PinnedBytes)
	}
	return out, err
}

func (s *script) line(l varve.LayerInfo) string {
	return fmt.Sprintf("%s %s ends %s\n", l.ID, l.Path, l.End)
}

func statsLine(st varve.Stats) string {
	return fmt.Sprintf("%d keys, %d range keys, %d logical bytes, %d files, %d requests, %d retries\n",
		st.Keys, st.RangeKeys, st.LogicalBytes, st.Files, st.Requests, st.Retries)
}

func (s *script) doLayers(t *testing.T, d *datadriven.TestData) (string, error) {
	var out string
	for l, err := range s.c.Layers(t.Context()) {
		if err != nil {
			return out, err
		}
		out += s.line(l)
	}
	return out, nil
}

func (s *script) doPoints(t *testing.T, d *datadriven.TestData) (string, error) {
	chain, err := s.c.Resolve(t.Context(), s.from(t, d), varve.Timestamp{})
	if err != nil {
		return "", err
	}
	var out string
	for _, w := range chain.Points() {
		out += fmt.Sprintf("%s to %s\n", w.Oldest, w.Newest)
	}
	return out, nil
}

func (s *script) doShow(t *testing.T, d *datadriven.TestData) (string, error) {
	l, err := s.c.Layer(t.Context(), s.from(t, d))
	if err != nil {
		return "", err
	}
	m := l.Manifest
	out := s.line(l.LayerInfo)
	out += fmt.Sprintf("collection %s job %s lineage %s\n", m.Collection, m.Job, m.Lineage)
	out += fmt.Sprintf("engine %s order %s revisions %t complete %t spans %s\n", m.Engine, m.Order, m.Revisions, m.Complete, m.Spans)
	out += fmt.Sprintf("start %s end %s oldest %s changes %s\n", m.Start, m.End, m.Oldest, m.Stats.Changes)
	if !l.Full() {
		out += fmt.Sprintf("extends %s introduces %s\n", m.Parent, m.Introduced)
	}
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		out += fmt.Sprintf("label %s = %s\n", k, m.Labels[k])
	}
	if m.Digest == nil {
		return out + "no digest\n", nil
	}
	return out + fmt.Sprintf("digest by %s of %d keys, %d bytes in %d rows\n", m.Digest.Source, m.Digest.Keys, m.Digest.Bytes, m.FileList.Rows), nil
}

func (s *script) doVerify(t *testing.T, d *datadriven.TestData) (string, error) {
	opts := &varve.VerifyOptions{Concurrency: 1, Scratch: s.newStore(t, true, 0)}
	level := "default"
	d.MaybeScanArgs(t, "level", &level)
	for opts.Level.String() != level {
		opts.Level++
	}
	report, err := s.c.Verify(t.Context(), s.from(t, d), opts)
	if report == nil {
		return "", err
	}
	out := fmt.Sprintf("%s: %d layers, %d files, %d entries, %d requests\n", report.Level, len(report.Chain), report.Files, report.Entries, report.Requests)
	for _, p := range report.Problems {
		var corrupt *varve.CorruptError
		require.ErrorAs(t, p, &corrupt)
		out += "problem: " + corrupt.Object + "\n"
	}
	if err != nil && len(report.Problems) == 0 {
		return out, err
	}
	return out, nil
}

func (s *script) doRestore(t *testing.T, d *datadriven.TestData) (string, error) {
	if !d.HasArg("again") {
		s.dst = s.newStore(t, true, 0)
	}
	opts := &varve.RestoreOptions{From: s.from(t, d), Concurrency: 1, Prove: d.HasArg("prove"), Replace: d.HasArg("replace")}
	r, err := s.c.Restore(t.Context(), s.targets(s.dst, d), opts)
	if err != nil {
		return "", err
	}
	out := s.line(r.From) + statsLine(r.Stats) + fmt.Sprintf("proof by %s of %s\n", r.Proof, r.Spans)
	same := slices.EqualFunc(stateOf(s.store, r.Spans...), stateOf(s.dst, r.Spans...), func(a, b export.Entry) bool {
		return fmt.Sprint(a) == fmt.Sprint(b)
	})
	if same {
		return out + "the store's state\n", nil
	}
	return out + "another state than the store's\n", nil
}

func (s *script) doState(t *testing.T, d *datadriven.TestData) (string, error) {
	if s.dst == nil {
		return "", errors.New("nothing was restored")
	}
	var out string
	for _, e := range kvtest.Timeless(stateOf(s.dst)) {
		if e.Kind.IsRange() {
			out += fmt.Sprintf("[%s, %s) %s = %s\n", e.Key, e.End, e.Suffix, e.Value)
		} else {
			out += fmt.Sprintf("%s = %s\n", e.Key, e.Value)
		}
	}
	return out, nil
}

func (s *script) doKeys(t *testing.T, d *datadriven.TestData) (string, error) {
	return strings.Join(s.bucket.Keys(), "\n") + "\n", nil
}

func (s *script) doPut(t *testing.T, d *datadriven.TestData) (string, error) {
	s.bucket.Replace(d.CmdArgs[0].Key, []byte(d.Input))
	return "", nil
}

// doRemove takes a key as it is shown.
func (s *script) doRemove(t *testing.T, d *datadriven.TestData) (string, error) {
	for _, key := range s.bucket.Keys() {
		if s.mask(key) == d.CmdArgs[0].Key {
			s.bucket.Remove(key)
			return "", nil
		}
	}
	return "", fmt.Errorf("no object %s", d.CmdArgs[0].Key)
}
