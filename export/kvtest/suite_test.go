package kvtest

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

// recorder is a T that remembers how a check ended.
type recorder struct {
	ctx     context.Context
	failed  bool
	skipped bool
	log     bytes.Buffer
}

func (r *recorder) Helper() {}

func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	fmt.Fprintf(&r.log, format, args...)
}

func (r *recorder) FailNow() {
	r.failed = true
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = true
	fmt.Fprintf(&r.log, format, args...)
	runtime.Goexit()
}

// record runs one check against a memkv store behind a fault.
func record(t *testing.T, name string, f fault) *recorder {
	t.Helper()
	i := slices.IndexFunc(checks(), func(c check) bool { return c.name == name })
	require.GreaterOrEqual(t, i, 0, "no check is named %s", name)
	still := time.Unix(1_700_000_000, 0)
	opts := memkv.Options{
		PartitionBytes: 300, Now: func() time.Time { return still },
		SingleRevision: strings.HasPrefix(name, "Tables/"), // others have none to show
	}
	store, err := memkv.New(&opts)
	require.NoError(t, err)
	r := &recorder{ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		checks()[i].run(newWorld(r, &memHarness{store: store, opts: opts, fault: f}, everything))
	}()
	<-done
	return r
}

// TestUnsoundTables: what turns out to be no table to copy while it is read is no fault.
func TestUnsoundTables(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Tables/Bounds", "Tables/Cancelled"} {
		r := record(t, name, fault{tables: tableFault{failing: export.ErrUnsound}})
		require.False(t, r.failed || r.skipped, "%s: %s", name, &r.log)
	}
}

// TestFaults sees every fault caught by the check that is there for it, and the
// check pass without the fault.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range faults() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range c.checks {
				sound := record(t, name, fault{})
				require.False(t, sound.failed || sound.skipped, "%s without a fault: %s", name, &sound.log)
				require.True(t, record(t, name, c.fault).failed, "%s does not see the fault", name)
			}
		})
	}
}

type faultCase struct {
	name   string
	checks []string
	fault  fault
}

func faults() []faultCase {
	return slices.Concat(snapshotFaults(), cursorFaults(), tableFaults(), ingestFaults(), catalogFaults())
}

func snapshotFaults() []faultCase {
	return []faultCase{
		{"snapshot moves", []string{"E1/Isolation", "E9/Restart", "E8/Replace"}, fault{
			opening: func(m *memkv.Store, s export.Snapshot) export.Snapshot { return movingSnapshot{s, m} },
		}},
		{"After is ignored", []string{"E1/After", "E9/Fit"}, fault{
			snapshotting: func(o *export.SnapshotOptions) { o.After = export.Timestamp{} },
		}},
		{"AsOf is ignored", []string{"E1/AsOf", "E9/Fit"}, fault{
			snapshotting: func(o *export.SnapshotOptions) { o.AsOf = export.Timestamp{} },
		}},
		{"names are ignored", []string{"E9/Restart", "E9/List", "E9/Reopen", "E9/Release"}, fault{
			snapshotting: func(o *export.SnapshotOptions) { o.Name = "" },
		}},
		{"notes are ignored", []string{"E9/List"}, fault{
			snapshotting: func(o *export.SnapshotOptions) { o.Note = "" },
		}},
		{"partitions leave a gap", []string{"E2/Cover"}, fault{
			opening: func(_ *memkv.Store, s export.Snapshot) export.Snapshot { return gappySnapshot{s} },
		}},
		{"cancellation is ignored", []string{"E11/Store", "E11/Snapshot", "E11/Cursor"}, fault{deaf: true}},
		{"cursors share a buffer", []string{"E7/Cursor"}, fault{
			opening: func(_ *memkv.Store, s export.Snapshot) export.Snapshot {
				return sharingSnapshot{s, new([]byte)}
			},
		}},
	}
}

func cursorFaults() []faultCase {
	return []faultCase{
		{"first key of a piece is dropped", []string{"E2/Cover", "E5/Spans"}, fault{
			yielding: func(req export.Request, entries []export.Entry) []export.Entry {
				return slices.DeleteFunc(entries, func(e export.Entry) bool {
					return !e.Kind.IsRange() && len(req.Span.Start) > 0 && bytes.Equal(e.Key, req.Span.Start)
				})
			},
		}},
		{"entry is repeated on resume", []string{"E4/State", "E4/Revisions", "E4/Span"}, fault{
			asking: func(req *export.Request) {
				if req.Resume != nil && !req.Resume.Timestamp.IsZero() {
					req.Resume = &export.Position{Key: req.Resume.Key, Timestamp: req.Resume.Timestamp.Next()}
				}
			},
		}},
		{"range is repeated on resume", []string{"E4/State"}, fault{
			yielding: func(req export.Request, entries []export.Entry) []export.Entry {
				if req.Resume == nil {
					return entries
				}
				again := export.Entry{Kind: export.RangeKeySet, Key: req.Resume.Key, End: append(req.Resume.Key, 0)}
				return append([]export.Entry{again}, entries...)
			},
		}},
		{"ranges are not clipped", []string{"E5/Spans"}, fault{
			asking: func(req *export.Request) { req.Span = export.Span{} },
			yielding: func(req export.Request, entries []export.Entry) []export.Entry {
				return slices.DeleteFunc(entries, func(e export.Entry) bool { return !req.Span.Contains(nil, e.Key) })
			},
		}},
		{"deletions surface", []string{"E6/State"}, fault{
			asking: func(req *export.Request) { req.Revisions = true },
		}},
		{"deletions are lost", []string{"Since/Exact", "Since/Revisions", "E3/Revisions"}, fault{
			yielding: func(_ export.Request, entries []export.Entry) []export.Entry {
				return slices.DeleteFunc(entries, func(e export.Entry) bool { return e.Kind == export.Delete })
			},
		}},
		{"everything has changed", []string{"Since/Untouched"}, fault{
			asking: func(req *export.Request) { req.Since = export.Timestamp{} },
		}},
		{"order is wrong", []string{"E3/State"}, fault{
			yielding: func(_ export.Request, entries []export.Entry) []export.Entry {
				slices.Reverse(entries)
				return entries
			},
		}},
		{"timestamps are missing", []string{"E3/State"}, fault{
			yielding: func(_ export.Request, entries []export.Entry) []export.Entry { return Timeless(entries) },
		}},
	}
}

func ingestFaults() []faultCase {
	return []faultCase{
		{"loader keeps a reference", []string{"E7/Loader"}, fault{
			loading: func(_ *memkv.Store, in export.Ingester) export.Ingester { return keepingIngester{in} },
		}},
		{"loader leaks before Commit", []string{"E8/Invisible", "E8/Abort", "E8/CrashBeforeCommit"}, fault{
			ingesting: func(o *export.IngestOptions) { o.Replace = true },
			loading: func(m *memkv.Store, in export.Ingester) export.Ingester {
				return hastyIngester{in, m}
			},
		}},
		{"what is there is replaced", []string{"E8/NotEmpty", "E8/NotEmptyRangeKey", "E8/FilledMeanwhile"}, fault{
			ingesting: func(o *export.IngestOptions) { o.Replace = true },
		}},
		{"what lies between spans is replaced with them", []string{"E8/ReplaceSeveral"}, fault{
			ingesting: func(o *export.IngestOptions) {
				if n := len(o.Spans); o.Replace && n > 1 {
					o.Spans = []export.Span{{Start: o.Spans[0].Start, End: o.Spans[n-1].End}}
				}
			},
		}},
		{"Abort leaves the staging area", []string{"E8/Abort", "Closed/Ingester"}, fault{
			loading: func(_ *memkv.Store, in export.Ingester) export.Ingester { return leavingIngester{in} },
		}},
		{"staging areas have no names", []string{"E8/Resume"}, fault{
			ingesting: func(o *export.IngestOptions) { o.Name = "" },
		}},
		{"staging areas have one name", []string{"E8/AnotherName"}, fault{
			ingesting: func(o *export.IngestOptions) { o.Name = "f" },
		}},
		{"lineage stays", []string{"E10/Restore", "E10/Names"}, fault{
			ingesting: func(o *export.IngestOptions) { o.Lineage = "" },
		}},
		{"lineage changes", []string{"E10/Keep"}, fault{
			ingesting: func(o *export.IngestOptions) { o.Lineage = "f" },
		}},
	}
}
