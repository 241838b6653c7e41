package varve_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/varvekv/varve"
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
