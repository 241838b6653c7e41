package varve_test

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
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
)

// What the commands of scripts do, see TestTrace.

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
