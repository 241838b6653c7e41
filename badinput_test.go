package varve_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/dirblob"
	"github.com/varvekv/varve/internal/faultblob"
)

// noLog keeps Pebble quiet.
type noLog struct{}

func (noLog) Infof(string, ...any)  {}
func (noLog) Errorf(string, ...any) {}
func (noLog) Fatalf(string, ...any) {}

// badInput is a request that must be refused.
type badInput struct {
	name  string
	do    func(c *clerk) error
	check func(t *testing.T, err error) // of the type
	want  []string                      // in the message
	wrote []string                      // keys, by their ends, of what is in the empty bucket afterwards
}

func option(field string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var e *varve.OptionError
		require.ErrorAs(t, err, &e)
		require.Equal(t, field, e.Field)
	}
}

func target(name string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var e *varve.TargetError
		require.ErrorAs(t, err, &e)
		require.Equal(t, name, e.Name)
	}
}

func wraps(sentinel error) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, sentinel)
	}
}

// equals compares the typed error in the chain with want.
func equals[E error](want E) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var e E
		require.ErrorAs(t, err, &e)
		require.Equal(t, want, e)
	}
}

func access(right, object string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var e *varve.AccessError
		require.ErrorAs(t, err, &e)
		require.Equal(t, right, e.Right)
		require.Contains(t, e.Object, object)
		require.Error(t, e.Unwrap())
	}
}

func corruptObject(object string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var e *varve.CorruptError
		require.ErrorAs(t, err, &e)
		require.Equal(t, object, e.Object)
	}
}

func badTargets() []badInput {
	backup := func(spans ...varve.Span) func(*clerk) error {
		return func(c *clerk) error { return c.backup(varve.Spans(c.single, spans...), nil) }
	}
	restore := func(spans ...varve.Span) func(*clerk) error {
		return func(c *clerk) error {
			return c.restore(&varve.RestoreOptions{From: "part"}, append([]varve.Span{}, spans...)...)
		}
	}
	return []badInput{
		{name: "zero targets", do: func(c *clerk) error { return c.backup(varve.Targets{}, nil) }, check: target("store"), want: []string{"target store: is nil"}},
		{name: "nil store", do: func(c *clerk) error { return c.backup(varve.Cluster(nil), nil) }, check: target("store"), want: []string{"target store: is nil"}},
		{name: "nil store of spans", do: func(c *clerk) error { return c.backup(varve.Spans(nil, varve.Span{}), nil) }, check: target("store")},
		{name: "no spans", do: backup(), check: target("Spans"), want: []string{"backup to bucket: target Spans: no span given"}},
		{name: "empty span", do: backup(span("k", "k")), check: target(`["k", "k")`), want: []string{"ends where or before it starts"}},
		{name: "inverted span", do: backup(span("k", "j")), check: target(`["k", "j")`), want: []string{"ends where or before it starts"}},
		{name: "inverted span among good ones", do: backup(span("a", "b"), span("x", "c"), span("d", "e")), check: target(`["x", "c")`)},
		{name: "overlapping spans", do: backup(span("c", "e"), span("a", "d")), check: target(`["c", "e")`), want: []string{`overlaps ["a", "d")`}},
		{name: "nested spans", do: backup(span("a", "z"), span("c", "d")), check: target(`["c", "d")`), want: []string{`overlaps ["a", "z")`}},
		{name: "equal spans", do: backup(span("a", "b"), span("a", "b")), check: target(`["a", "b")`), want: []string{"overlaps"}},
		{name: "everything and more", do: backup(varve.Span{}, span("a", "b")), check: target(`["a", "b")`), want: []string{"overlaps [, )"}},
		{name: "span that begins in a prefix", do: func(c *clerk) error { return c.backup(varve.Spans(c.split, span("a@1", "b")), nil) }, check: target(`["a@1", "b")`), want: []string{"inside a prefix of order split"}},
		{name: "span that ends in a prefix", do: func(c *clerk) error { return c.backup(varve.Spans(c.split, span("a", "b@1")), nil) }, check: target(`["a", "b@1")`), want: []string{"inside a prefix of order split"}},
		{name: "history in an order of its own", do: func(c *clerk) error {
			return c.backup(varve.Cluster(newStore(c, &memkv.Options{Order: splitOrder})), nil)
		}, check: equals(&varve.OrderError{Want: "bytewise", Got: "split"}), want: []string{`key order: want "bytewise", got "split"`}},

		{name: "restore with zero targets", do: func(c *clerk) error {
			_, err := c.kept.Restore(c.ctx, varve.Targets{}, nil)
			return err
		}, check: target("store")},
		{name: "restore of no spans", do: restore(), check: target("Spans")},
		{name: "restore of an empty span", do: restore(span("k", "k")), check: target(`["k", "k")`)},
		{name: "restore of overlapping spans", do: restore(span("a", "c"), span("b", "d")), check: target(`["b", "d")`)},
		{name: "restore of a span that was not backed up", do: restore(span("x", "y")), check: target(`["x", "y")`), want: []string{`the backup holds only the spans [["key-000010", "key-000020") ["key-000030", "key-000040")]`}},
		{name: "restore of a span that was backed up in part", do: restore(span("key-000015", "key-000025")), check: target(`["key-000015", "key-000025")`)},
		{name: "restore across a hole", do: restore(span("key-000010", "key-000040")), check: target(`["key-000010", "key-000040")`)},
		{name: "restore of a span without end", do: restore(varve.Span{Start: []byte("key-000010")}), check: target(`["key-000010", )`)},
		{name: "restore of everything from a part", do: func(c *clerk) error { return c.restore(&varve.RestoreOptions{From: "part"}) }, check: target("Cluster"), want: []string{"the backup holds only the spans"}},
		{name: "restore into another order", do: func(c *clerk) error {
			return c.restoreInto(newStore(c, &memkv.Options{SingleRevision: true, Order: splitOrder}), &varve.RestoreOptions{From: "whole"})
		}, check: equals(&varve.OrderError{Want: "bytewise", Got: "split"})},
		{name: "restore over points", do: func(c *clerk) error {
			dst := newStore(c, nil)
			dst.Set([]byte("x"), []byte("y"))
			return c.restoreInto(dst, &varve.RestoreOptions{From: "whole"})
		}, check: equals(&varve.NotEmptyError{}), want: []string{"restore from bucket: destination: ", "span [, ) is not empty"}},
		{name: "restore over a range key", do: func(c *clerk) error {
			dst := newStore(c, nil)
			dst.RangeKeySet([]byte("x"), []byte("y"), []byte("@1"), nil)
			return c.restoreInto(dst, &varve.RestoreOptions{From: "whole"})
		}, check: equals(&varve.NotEmptyError{}), want: []string{"span [, ) is not empty"}},
	}
}

func badOptions() []badInput {
	backup := func(o varve.BackupOptions) func(*clerk) error {
		return func(c *clerk) error { return c.backup(c.target(), &o) }
	}
	restore := func(o varve.RestoreOptions) func(*clerk) error {
		return func(c *clerk) error { return c.restore(&o) }
	}
	verify := func(o varve.VerifyOptions) func(*clerk) error {
		return func(c *clerk) error { return c.verify("whole", &o) }
	}
	into := func(o varve.BackupOptions, of func(*clerk) varve.Targets) func(*clerk) error {
		return func(c *clerk) error {
			_, err := c.kept.Backup(c.ctx, of(c), &o)
			return err
		}
	}
	return []badInput{
		{name: "concurrency", do: backup(varve.BackupOptions{Concurrency: -1}), check: option("Concurrency"), want: []string{"backup to bucket: option Concurrency: is negative"}},
		{name: "file size", do: backup(varve.BackupOptions{TargetFileBytes: -1}), check: option("TargetFileBytes"), want: []string{"is negative"}},
		{name: "speed", do: backup(varve.BackupOptions{BytesPerSecond: -1}), check: option("BytesPerSecond"), want: []string{"is negative"}},
		{name: "compression", do: backup(varve.BackupOptions{Compression: 99}), check: option("Compression"), want: []string{"99 is not known"}},
		{name: "audit without digest", do: backup(varve.BackupOptions{Audit: true, NoDigest: true}), check: option("Audit"), want: []string{"NoDigest takes none"}},
		{name: "negative lag", do: backup(varve.BackupOptions{Lag: -1}), check: option("Lag"), want: []string{"is negative"}},
		{name: "lag and moment", do: backup(varve.BackupOptions{Lag: 1, AsOf: varve.Timestamp{WallNanos: 1}}), check: option("Lag"), want: []string{"together with AsOf"}},
		{name: "collection options of a backup", do: backup(varve.BackupOptions{Collection: &varve.CollectionOptions{}}), check: option("Collection"), want: []string{"this collection is open"}},
		{name: "name that climbs", do: backup(varve.BackupOptions{Name: "../x"}), check: option("Name"), want: []string{`segment ".."`}},
		{name: "name from the root", do: backup(varve.BackupOptions{Name: "/x"}), check: option("Name"), want: []string{`segment ""`}},
		{name: "name with odd letters", do: backup(varve.BackupOptions{Name: "Sicherung vom März"}), check: option("Name"), want: []string{"is not made of letters, digits"}},
		{name: "name that is reserved", do: backup(varve.BackupOptions{Name: "jobs/1"}), check: option("Name"), want: []string{`"jobs" is a reserved name`}},
		{name: "name that means the latest", do: backup(varve.BackupOptions{Name: "LATEST"}), check: option("Name"), want: []string{"reserved name"}},
		{name: "name like an ID", do: backup(varve.BackupOptions{Name: strings.Repeat("a", 32)}), check: option("Name"), want: []string{"looks like a layer ID"}},
		{name: "name too long", do: backup(varve.BackupOptions{Name: strings.Repeat("a", 600)}), check: option("Name"), want: []string{"has 600 bytes, the most are 460"}},
		{name: "name taken", do: func(c *clerk) error {
			_, err := c.kept.Backup(c.ctx, c.target(), &varve.BackupOptions{Name: "part"})
			return err
		}, check: option("Name"), want: []string{`there is a backup named "part"`}},
		{name: "moment without history", do: func(c *clerk) error { return c.backup(varve.Cluster(c.single), &varve.BackupOptions{AsOf: c.now}) }, check: option("AsOf"), want: []string{"the store (memkv) keeps no history"}},
		{name: "lag without history", do: func(c *clerk) error {
			return c.backup(varve.Cluster(c.single), &varve.BackupOptions{Lag: time.Second})
		}, check: option("Lag"), want: []string{"the store (memkv) keeps no history"}},
		{name: "moment to come", do: func(c *clerk) error {
			return c.backup(c.target(), &varve.BackupOptions{AsOf: export.At(time.Now().Add(time.Hour))})
		}, check: option("AsOf"), want: []string{"is in the future"}},
		{name: "moment that is forgotten", do: func(c *clerk) error {
			return c.backup(c.target(), &varve.BackupOptions{AsOf: varve.Timestamp{WallNanos: 5}})
		}, check: func(t *testing.T, err error) {
			var e *varve.BeforeGCError
			require.ErrorAs(t, err, &e)
			require.Equal(t, varve.Timestamp{WallNanos: 5}, e.AsOf)
			require.False(t, e.Threshold.IsZero())
		}, want: []string{"history at 1970-01-01T00:00:00.000000005Z is gone, the oldest is 20"}},
		{name: "lag that is forgotten", do: backup(varve.BackupOptions{Lag: 1<<63 - 1}), check: func(t *testing.T, err error) {
			var e *varve.BeforeGCError
			require.ErrorAs(t, err, &e)
		}, want: []string{"is gone, the oldest is"}},

		{name: "name of an incremental", do: backup(varve.BackupOptions{Into: varve.Latest, Name: "x"}), check: option("Name"), want: []string{"Into makes an incremental"}},
		{name: "negative time for a full", do: backup(varve.BackupOptions{Into: varve.Latest, FullEvery: -1}), check: option("FullEvery"), want: []string{"is negative"}},
		{name: "time for a full of a full", do: backup(varve.BackupOptions{FullEvery: 1}), check: option("FullEvery"), want: []string{"is for Into Latest"}},
		{name: "time for a full of a path", do: into(varve.BackupOptions{Into: "part", FullEvery: 1}, (*clerk).part), check: option("FullEvery"), want: []string{"is for Into Latest"}},
		{name: "adopted by a full", do: backup(varve.BackupOptions{Adopt: true}), check: option("Adopt"), want: []string{"a full takes any store"}},
		{name: "base limit", do: backup(varve.BackupOptions{BaseLimit: -1}), check: option("BaseLimit"), want: []string{"is negative"}},
		{name: "into what climbs", do: backup(varve.BackupOptions{Into: "../x"}), check: option("Into"), want: []string{`segment ".."`}},
		{name: "into nothing", do: backup(varve.BackupOptions{Into: varve.Latest}), check: wraps(varve.ErrNoFull), want: []string{"backup to bucket: LATEST: no full backup to extend"}},
		{name: "into a path that is not there", do: into(varve.BackupOptions{Into: "hole"}, (*clerk).part), check: wraps(varve.ErrNoLayer), want: []string{"hole: no such backup"}},
		{name: "into an ID that is not there", do: into(varve.BackupOptions{Into: strings.Repeat("7", 32)}, (*clerk).part), check: wraps(varve.ErrNoLayer), want: []string{"layer 77777777777777777777777777777777: no such backup"}},
		{name: "into a collection that is empty", do: backup(varve.BackupOptions{Into: "part"}), check: wraps(varve.ErrNoLayer)},
		{name: "another lineage", do: into(varve.BackupOptions{Into: "part"}, (*clerk).stranger), check: func(t *testing.T, err error) {
			var e *varve.LineageError
			require.ErrorAs(t, err, &e)
			require.NotEqual(t, e.Want, e.Got)
		}, want: []string{"lineage: want"}},
		{name: "another lineage with revisions", do: into(varve.BackupOptions{Into: "whole"}, func(c *clerk) varve.Targets { return varve.Cluster(newStore(c, nil)) }), check: func(t *testing.T, err error) {
			var e *varve.LineageError
			require.ErrorAs(t, err, &e)
		}},
		{name: "adopted with revisions", do: into(varve.BackupOptions{Into: "whole", Adopt: true}, func(c *clerk) varve.Targets { return varve.Cluster(newStore(c, nil)) }), check: option("Adopt"), want: []string{"take a full"}},
		{name: "another order", do: into(varve.BackupOptions{Into: "part", Adopt: true}, func(c *clerk) varve.Targets { return varve.Cluster(c.split) }), check: equals(&varve.OrderError{Want: "bytewise", Got: "split"})},
		{name: "revisions after none", do: into(varve.BackupOptions{Into: "part", Adopt: true}, (*clerk).target), check: func(t *testing.T, err error) {
			var e *varve.OrderError
			require.ErrorAs(t, err, &e)
		}},
		{name: "no revisions after some", do: into(varve.BackupOptions{Into: "whole", Adopt: true}, func(c *clerk) varve.Targets { return varve.Cluster(c.single) }), check: func(t *testing.T, err error) {
			var e *varve.OrderError
			require.ErrorAs(t, err, &e)
		}},
		{name: "targets that share nothing", do: into(varve.BackupOptions{Into: "part"}, func(c *clerk) varve.Targets {
			return varve.Spans(c.single, span("key-000020", "key-000030"), span("x", "y"))
		}), check: target(`[["key-000020", "key-000030") ["x", "y")]`), want: []string{"the layer to extend has none of it", "take a full"}},
		{name: "moment without history in a chain", do: into(varve.BackupOptions{Into: "part", AsOf: varve.Timestamp{WallNanos: 1}}, (*clerk).part), check: option("AsOf"), want: []string{"keeps no history"}},
		{name: "moment of the layer to extend", do: func(c *clerk) error {
			_, err := c.kept.Backup(c.ctx, c.target(), &varve.BackupOptions{Into: "late", AsOf: c.late})
			return err
		}, check: option("AsOf"), want: []string{"is not after", "the end of the layer to extend"}},

		{name: "concurrency of a restore", do: restore(varve.RestoreOptions{Concurrency: -1}), check: option("Concurrency"), want: []string{"restore from bucket: option Concurrency: is negative"}},
		{name: "speed of a restore", do: restore(varve.RestoreOptions{BytesPerSecond: -1}), check: option("BytesPerSecond")},
		{name: "collection options of a restore", do: restore(varve.RestoreOptions{Collection: &varve.CollectionOptions{}}), check: option("Collection")},
		{name: "proof without digest", do: restore(varve.RestoreOptions{From: "whole", Prove: true}), check: option("Prove"), want: []string{"the backup was taken without digests"}},
		{name: "from that climbs", do: restore(varve.RestoreOptions{From: "../whole"}), check: option("From"), want: []string{`segment ".."`}},
		{name: "from with a slash behind", do: restore(varve.RestoreOptions{From: "whole/"}), check: option("From")},
		{name: "from that is not there", do: restore(varve.RestoreOptions{From: "hole"}), check: wraps(varve.ErrNoLayer), want: []string{"hole: no such backup"}},
		{name: "from an ID that is not there", do: restore(varve.RestoreOptions{From: strings.Repeat("7", 32)}), check: wraps(varve.ErrNoLayer), want: []string{"layer 77777777777777777777777777777777: no such backup"}},
		{name: "moment that was not kept", do: restore(varve.RestoreOptions{AsOf: varve.Timestamp{WallNanos: 5}}), check: func(t *testing.T, err error) {
			var e *varve.NoRestorePointError
			require.ErrorAs(t, err, &e)
			require.True(t, e.Before.IsZero())
			require.False(t, e.After.IsZero())
		}, want: []string{"no restore point at 1970-01-01T00:00:00.000000005Z, the one after is 20"}},
		{name: "restore from nothing", do: func(c *clerk) error {
			_, err := c.fresh.Restore(c.ctx, c.target(), nil)
			return err
		}, check: wraps(varve.ErrNoLayer), want: []string{"restore from bucket: LATEST: no such backup"}},

		{name: "level", do: verify(varve.VerifyOptions{Level: 99}), check: option("Level"), want: []string{"verify bucket: option Level: 99 is not known"}},
		{name: "negative level", do: verify(varve.VerifyOptions{Level: -1}), check: option("Level"), want: []string{"-1 is not known"}},
		{name: "rehearsal without a stage", do: verify(varve.VerifyOptions{Level: varve.VerifyRehearsal}), check: option("Scratch"), want: []string{"is needed for a rehearsal"}},
		{name: "concurrency of verify", do: verify(varve.VerifyOptions{Concurrency: -1}), check: option("Concurrency")},
		{name: "speed of verify", do: verify(varve.VerifyOptions{BytesPerSecond: -1}), check: option("BytesPerSecond")},
		{name: "digest level without digest", do: verify(varve.VerifyOptions{Level: varve.VerifyDigest}), check: option("Level"), want: []string{"digest needs a digest, and the backup was taken without"}},
		{name: "rehearsal on a full stage", do: func(c *clerk) error {
			return c.verify("part", &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: c.single})
		}, check: func(t *testing.T, err error) {
			var e *varve.NotEmptyError
			require.ErrorAs(t, err, &e)
			require.Equal(t, "key-000010", string(e.Span.Start))
		}, want: []string{`span ["key-000010", "key-000020") is not empty`}},
		{name: "rehearsal on a stage of another order", do: func(c *clerk) error {
			return c.verify("part", &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: newStore(c, &memkv.Options{SingleRevision: true, Order: splitOrder})})
		}, check: equals(&varve.OrderError{Want: "bytewise", Got: "split"})},
		{name: "verify from that climbs", do: func(c *clerk) error { return c.verify("../whole", nil) }, check: option("From")},
		{name: "verify of nothing", do: func(c *clerk) error { return c.verify("hole", nil) }, check: wraps(varve.ErrNoLayer), want: []string{"verify bucket: hole: no such backup"}},
		{name: "layer from that climbs", do: func(c *clerk) error {
			_, err := c.kept.Layer(c.ctx, "a//b")
			return err
		}, check: option("From")},
	}
}

func badURLs() []badInput {
	to := func(collectionURL string) func(*clerk) error {
		return func(c *clerk) error {
			restored, err := varve.Restore(c.ctx, varve.Cluster(newStore(c, nil)), collectionURL, nil)
			require.Nil(c, restored)
			opened, openErr := varve.OpenCollection(c.ctx, collectionURL, nil)
			require.Nil(c, opened)
			require.EqualError(c, openErr, err.Error())
			return errors.Join(err, c.backupTo(collectionURL, nil))
		}
	}
	const user = "user:" + secret + "@"
	const query = "?token=" + secret
	isURL := option("collectionURL")
	return []badInput{
		{name: "no URL", do: to(":// " + secret), check: isURL, want: []string{"option collectionURL: is not a URL"}},
		{name: "bad escape", do: to("file:///%zz" + secret), check: isURL, want: []string{"is not a URL"}},
		{name: "empty URL", do: to(""), check: isURL, want: []string{`"" has no scheme; a directory is file:///path`}},
		{name: "path for a URL", do: to("/srv/backups" + query), check: isURL, want: []string{`"/srv/backups" has no scheme`}},
		{name: "relative path for a URL", do: to("backups" + query), check: isURL, want: []string{`"backups" has no scheme`}},
		{name: "no scheme and credentials", do: to("//" + user + "host/path" + query), check: isURL, want: []string{`"//host/path" has no scheme`}},
		{name: "credentials for a URL", do: to("key:" + secret), check: isURL, want: []string{`scheme "key" is not registered`}},
		{name: "unknown scheme", do: to("sftp://" + user + "host/path" + query), check: isURL, want: []string{`sftp://host/path: scheme "sftp" is not registered; import the gocloud.dev/blob driver`}},
		{name: "s3 without its driver", do: to("s3://" + user + "bucket/path" + query), check: isURL, want: []string{`s3://bucket/path: scheme "s3" is not registered; import _ "gocloud.dev/blob/s3blob" or _ "github.com/varvekv/varve/clouds"`}},
		{name: "azure without its driver", do: to("azure://" + user + "container/path" + query), check: isURL, want: []string{`azure://container/path: scheme "azure" is not registered; import _ "github.com/varvekv/varve/clouds"`}},
		{name: "azblob without its driver", do: to("azblob://" + user + "bucket" + query), check: isURL, want: []string{`import _ "gocloud.dev/blob/azureblob"`}},
		{name: "memory", do: to("mem://" + user + "host" + query), check: isURL, want: []string{"each mem:// is another bucket", "NewCollection"}},
		{name: "a web server", do: to("https://" + user + "host/path" + query), check: isURL, want: []string{"https://host/path: a web server neither lists nor creates objects"}},
		{name: "a plain web server", do: to("http://" + user + "host"), check: isURL, want: []string{"http://host: a web server"}},
		{name: "directory with a host", do: to("file://host/srv"), check: isURL, want: []string{"file://host/srv: a directory is file:///path, with no host and no parameters"}},
		{name: "directory that is relative", do: to("file://backups"), check: isURL, want: []string{"with no host"}},
		{name: "directory without slashes", do: to("file:backups"), check: isURL, want: []string{"a directory is file:///path"}},
		{name: "directory with parameters", do: to("file:///srv" + query), check: isURL, want: []string{"file:///srv: a directory is", "no parameters"}},
		{name: "directory with credentials", do: to("file://" + user + "/srv"), check: isURL, want: []string{"a directory is file:///path"}},
		{name: "directory with a fragment", do: to("file:///srv#" + secret), check: isURL, want: []string{"file:///srv: a directory is", "%23 for a #"}},
		{name: "a file for a directory", do: func(c *clerk) error { return to(c.url(c.file("taken")))(c) }, check: func(*testing.T, error) {}, want: []string{"open collection file:///", "taken: not a directory"}},
		{name: "below a file", do: func(c *clerk) error { return to(c.url(c.file("taken"), "below"))(c) }, check: wraps(syscall.ENOTDIR), want: []string{"open collection file:///", "taken/below: not a directory"}},
		{name: "prefix of a URL", do: func(c *clerk) error {
			return c.backupTo(c.url("new"), &varve.BackupOptions{Collection: &varve.CollectionOptions{Prefix: "a"}})
		}, check: option("Prefix"), want: []string{"is for NewCollection; a URL has a path of its own"}},
		{name: "prefix that climbs", do: func(c *clerk) error {
			_, err := varve.NewCollection(c.empty.Open(), &varve.CollectionOptions{Prefix: "a/../b"})
			return err
		}, check: option("Prefix"), want: []string{`segment ".." is not made of`}},
		{name: "no bucket", do: func(c *clerk) error {
			_, err := varve.NewCollection(nil, nil)
			return err
		}, check: option("bucket"), want: []string{"is nil"}},
	}
}

// newerGate is a varve.json of the next format.
const newerGate = `{"kind": "varve.collection", "format": 2, "hash": "blake3:", "body": {"how": "who knows"}}`

func badPlaces() []badInput {
	gated := func(gate string, do func(c *clerk) error) func(*clerk) error {
		return func(c *clerk) error {
			c.full.Replace("varve.json", []byte(gate))
			return do(c)
		}
	}
	into := func(c *clerk) error {
		_, err := c.kept.Backup(c.ctx, c.target(), nil)
		return err
	}
	list := func(c *clerk) error {
		for _, err := range c.kept.Layers(c.ctx) {
			return err
		}
		return nil
	}
	newer := equals(&varve.FormatError{Object: "varve.json", Feature: "format 2"})
	return []badInput{
		{name: "backup into a newer collection", do: gated(newerGate, into), check: newer, want: []string{"varve.json: this version of varve does not know format 2"}},
		{name: "restore from a newer collection", do: gated(newerGate, func(c *clerk) error { return c.restore(nil) }), check: newer},
		{name: "verify in a newer collection", do: gated(newerGate, func(c *clerk) error { return c.verify("", nil) }), check: newer},
		{name: "list of a newer collection", do: gated(newerGate, list), check: newer, want: []string{"list bucket: varve.json"}},
		{name: "backup into somebody else's folder", do: gated("{}", into), check: corruptObject("varve.json"), want: []string{`no member "kind"`}},
		{name: "list of somebody else's folder", do: gated("hello", list), check: corruptObject("varve.json"), want: []string{"want a record of JSON"}},

		{name: "no right to look", do: func(c *clerk) error {
			c.deny(faultblob.Get, "varve.json")
			return c.backup(c.target(), nil)
		}, check: access("read", "varve.json"), want: []string{"no right to read varve.json"}},
		{name: "no right to begin", do: func(c *clerk) error {
			c.deny(faultblob.Put, "")
			return c.backup(c.target(), nil)
		}, check: access("write", "varve.json"), want: []string{"no right to write varve.json"}},
		{name: "no right to write a layer", do: func(c *clerk) error {
			c.deny(faultblob.Put, "progress")
			return c.backup(c.target(), nil)
		}, check: access("write", "/progress/0"), wrote: []string{"varve.json"}},
		{name: "no right to write data", do: func(c *clerk) error {
			c.deny(faultblob.Put, "/data/")
			return c.backup(c.target(), nil)
		}, check: access("write", "data/ of "), wrote: []string{"/progress/0", "/0", "/1", "varve.json"}},
		{name: "no right to list", do: func(c *clerk) error {
			c.deny(faultblob.List, "index/")
			_, err := c.fresh.Layer(c.ctx, "")
			return err
		}, check: access("list", "index/"), want: []string{"no right to list index/"}},

		{name: "closed store", do: func(c *clerk) error {
			c.single.Close()
			return c.backup(varve.Cluster(c.single), nil)
		}, check: wraps(export.ErrClosed), want: []string{"backup to bucket: store: "}},
		{name: "closed destination", do: func(c *clerk) error {
			dst := newStore(c, nil)
			dst.Close()
			return c.restoreInto(dst, &varve.RestoreOptions{From: "whole"})
		}, check: wraps(export.ErrClosed), want: []string{"restore from bucket: store: "}},
		{name: "closed stage", do: func(c *clerk) error {
			stage := newStore(c, nil)
			stage.Close()
			return c.verify("part", &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: stage})
		}, check: wraps(export.ErrClosed), want: []string{"verify bucket: scratch store: "}},
		{name: "closed database", do: func(c *clerk) error {
			db, store, err := pebblekv.Open("db", &pebble.Options{FS: vfs.NewMem(), Logger: noLog{}}, nil)
			require.NoError(c, err)
			require.NoError(c, db.Close())
			return c.backup(varve.Cluster(store), nil)
		}, check: wraps(export.ErrClosed)},
		{name: "cancelled backup", do: func(c *clerk) error { return c.cancelled().backup(c.target(), nil) }, check: wraps(context.Canceled)},
		{name: "cancelled backup by URL", do: func(c *clerk) error { return c.cancelled().backupTo(c.url("new"), nil) }, check: wraps(context.Canceled)},
		{name: "cancelled restore", do: func(c *clerk) error { return c.cancelled().restore(nil) }, check: wraps(context.Canceled)},
		{name: "cancelled verify", do: func(c *clerk) error { return c.cancelled().verify("", nil) }, check: wraps(context.Canceled)},
		{name: "cancelled list", do: func(c *clerk) error { return list(c.cancelled()) }, check: wraps(context.Canceled)},
	}
}

// TestBadInput: each is refused by an error that names what to change, and leaves
// everything as it was.
func TestBadInput(t *testing.T) {
	t.Parallel()
	for _, group := range [][]badInput{badTargets(), badOptions(), badURLs(), badPlaces()} {
		for _, in := range group {
			t.Run(in.name, func(t *testing.T) {
				t.Parallel()
				in.try(t)
			})
		}
	}
}

func (in *badInput) try(t *testing.T) {
	c := newClerk(t)
	before, bases := c.full.Keys(), c.bases()
	err := in.do(c)
	require.Error(t, err)
	in.check(t, err)
	for _, want := range in.want {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), secret)
	require.NotContains(t, c.log.String(), secret)

	require.Equal(t, before, c.full.Keys(), "something was written")
	wrote := c.empty.Keys()
	require.Len(t, wrote, len(in.wrote), "%v", wrote)
	for i, key := range wrote {
		require.True(t, strings.HasSuffix(key, in.wrote[i]), key)
	}
	files, err := os.ReadDir(c.dir)
	require.NoError(t, err)
	files = slices.DeleteFunc(files, func(f os.DirEntry) bool { return f.Name() == "taken" })
	require.Empty(t, files, "a directory was made")
	c.single = c.single.Reopen()
	require.Equal(t, bases, c.bases())
}

// TestFullDisk: storage that takes no more is tried again for a while, and then the
// reason is told.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	store, dir := newStore(t, nil), t.TempDir()
	fill(store, 100, 1)
	synctest.Test(t, func(t *testing.T) {
		bucket, err := dirblob.Open(dir, &dirblob.Options{Sync: func(f *os.File) error {
			if strings.Contains(f.Name(), ".varve-tmp") {
				return &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
			}
			return nil
		}})
		require.NoError(t, err)
		c, err := varve.NewCollection(bucket, nil)
		require.NoError(t, err)
		_, err = c.Backup(t.Context(), varve.Cluster(store), nil)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "write varve.json")
		require.NoError(t, bucket.Close())
	})
	require.NoError(t, os.Remove(filepath.Join(dir, ".varve-tmp")), "no garbage in it")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files)
}

// TestDirectoryThatMayNotBeWritten names the right that is missing.
func TestDirectoryThatMayNotBeWritten(t *testing.T) {
	t.Parallel()
	if os.Geteuid() <= 0 {
		t.Skip("root, and Windows, may write anywhere; TestBadInput has the same with a bucket that refuses")
	}
	dir := filepath.Join(t.TempDir(), "closed")
	require.NoError(t, os.Mkdir(dir, 0o555))
	_, err := varve.Backup(t.Context(), varve.Cluster(newStore(t, nil)), (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String(), nil)
	access("write", "varve.json")(t, err)
}

// TestAbsurdButPossible sizes are no errors, and do not overflow.
func TestAbsurdButPossible(t *testing.T) {
	t.Parallel()
	src := newStore(t, &memkv.Options{PartitionBytes: 1 << 10})
	fill(src, 500, 1)
	c := collectionIn(t, faultblob.New(t, nil), nil)
	for _, o := range []varve.BackupOptions{
		{TargetFileBytes: 1<<63 - 1}, {Concurrency: 1 << 61}, {Concurrency: 1<<63 - 1}, {BytesPerSecond: 1<<63 - 1}, {TargetFileBytes: 1<<62 + 1},
	} {
		layer, err := c.Backup(t.Context(), varve.Cluster(src), &o)
		require.NoError(t, err)
		require.EqualValues(t, 1, layer.Stats.Files, fmt.Sprintf("%+v", o))
	}
}
