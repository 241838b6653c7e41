package varve_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/faultblob"
)

// probe checks a bucket with a collection in it, below a prefix, and wants nothing of it
// changed.
func probe(t *testing.T, s *scene) *varve.StorageReport {
	t.Helper()
	before := s.bucket.Keys()
	report, err := s.collection().Check(t.Context())
	require.NoError(t, err)
	s.bucket.Inject(nil)
	require.ElementsMatch(t, append(before, report.Left...), s.bucket.Keys(), "what it left is what it says")
	for _, op := range s.bucket.Trace() {
		if op.Kind == faultblob.Put || op.Kind == faultblob.Delete {
			require.True(t, strings.HasPrefix(op.Key, "probe/"), op)
		}
	}
	return report
}

// checked is a scene with a layer, whose bucket lets delete.
func checked(t *testing.T) *scene {
	s := newScene(t, varve.BackupOptions{Name: "a"})
	s.bucket = faultblob.New(t, &faultblob.Options{Allow: faultblob.Deletes})
	require.NoError(t, s.backup())
	s.bucket.Reset()
	return s
}

// TestCheck: storage that does what it must, and nothing is left.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := checked(t)
	report := probe(t, s)
	require.NoError(t, report.Err())
	require.NoError(t, report.Delete)
	require.Empty(t, report.Left)
	require.Equal(t, "bucket", report.Place)
	s.requireListed()
}

// refuse denies every operation of a kind.
func refuse(kinds ...faultblob.Kind) func(faultblob.Op) faultblob.Fault {
	return func(op faultblob.Op) (f faultblob.Fault) {
		for _, kind := range kinds {
			if op.Kind == kind {
				f.Kind = faultblob.Denied
			}
		}
		return f
	}
}

// TestCheckRights: each right is told apart.
func TestCheckRights(t *testing.T) {
	t.Parallel()
	for right, test := range map[string]struct {
		kinds []faultblob.Kind
		left  bool
	}{
		"write":  {kinds: []faultblob.Kind{faultblob.Put}},
		"read":   {kinds: []faultblob.Kind{faultblob.Get}},
		"list":   {kinds: []faultblob.Kind{faultblob.List}},
		"delete": {kinds: []faultblob.Kind{faultblob.Delete}, left: true},
	} {
		t.Run(right, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := checked(t)
				s.bucket.Inject(refuse(test.kinds...))
				report := probe(t, s)
				for name, got := range map[string]error{"write": report.Write, "read": report.Read, "list": report.List, "delete": report.Delete} {
					var access *varve.AccessError
					if name != right {
						require.False(t, errors.As(got, &access), "%s: %v", name, got)
						continue
					}
					require.ErrorAs(t, got, &access)
					require.Equal(t, right, access.Right)
				}
				require.Equal(t, test.left, len(report.Left) > 0)
				require.Equal(t, right != "delete", report.Err() != nil)
				if right == "write" {
					require.Error(t, report.CreateOnly, "is not known")
					require.Error(t, report.Delete, "is not known")
				}
				s.requireListed()
			})
		})
	}
}

// TestCheckOutlives requests that are lost, and such as took effect and were reported
// as failed.
func TestCheckOutlives(t *testing.T) {
	t.Parallel()
	for _, fault := range []faultblob.FaultKind{faultblob.Lost, faultblob.Applied, faultblob.Delayed} {
		synctest.Test(t, func(t *testing.T) {
			s := checked(t)
			s.bucket.Inject(func(op faultblob.Op) (f faultblob.Fault) {
				if op.N%3 == 0 && !strings.HasSuffix(op.Key, "/large") {
					f.Kind = fault
				}
				return f
			})
			report := probe(t, s)
			require.NoError(t, report.Err())
			require.NoError(t, report.Delete)
		})
	}
}

// TestCheckCancelled deletes what it has written, and reports nothing.
func TestCheckCancelled(t *testing.T) {
	t.Parallel()
	s := checked(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.N == 12 {
			cancel()
		}
		return faultblob.Fault{}
	})
	before := s.bucket.Keys()
	_, err := s.collection().Check(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "check bucket: ")
	require.Equal(t, before, s.bucket.Keys())
}

// TestCheckFindsOut what storage does wrong.
func TestCheckFindsOut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(b *wrong)
		found func(r *varve.StorageReport) error
		want  string
	}{
		"creates over another": {
			func(b *wrong) { b.overwrites = true },
			func(r *varve.StorageReport) error { return r.CreateOnly },
			"2 were told that they did; it must be one",
		},
		"lists late": {
			func(b *wrong) { b.listsNothing = true },
			func(r *varve.StorageReport) error { return r.Listing },
			"a listing does not show probe/",
		},
		"deletes nothing": {
			func(b *wrong) { b.keeps = true },
			func(r *varve.StorageReport) error { return r.Delete },
			"storage says that it did, and the object is there",
		},
		"stores something else": {
			func(b *wrong) { b.garbles = true },
			func(r *varve.StorageReport) error { return r.Read },
			"what was written",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &wrong{under: memblob.OpenBucket(nil)}
			test.spoil(b)
			c, err := varve.NewCollection(blob.NewBucket(b), nil)
			require.NoError(t, err)
			report, err := c.Check(t.Context())
			require.NoError(t, err)
			require.ErrorContains(t, test.found(report), test.want)
			require.Equal(t, b.keeps, report.Err() == nil)
			require.Equal(t, b.keeps, len(report.Left) > 0)
		})
	}
}

// TestCheckOfADirectory opens it twice, and measures.
func TestCheckOfADirectory(t *testing.T) {
	t.Parallel()
	c, err := varve.OpenCollection(t.Context(), "file://"+t.TempDir(), nil)
	require.NoError(t, err)
	defer c.Close()
	report, err := c.Check(t.Context())
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.NoError(t, report.Delete)
	require.Empty(t, report.Left)
	require.Positive(t, report.UploadRate)
	require.Positive(t, report.DownloadRate)
	require.Positive(t, report.WriteLatency+report.ReadLatency)
	require.Less(t, report.WriteLatency, time.Minute)
}
