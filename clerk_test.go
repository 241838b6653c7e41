package varve_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// secret is in every URL of these tests and must be in nothing that they get to see.
const secret = "hush-hush"

// clerk hands in bad requests: to a collection that has layers, to a bucket that has
// none, from and into stores with a few keys.
type clerk struct {
	*testing.T
	ctx         context.Context
	full, empty *faultblob.Bucket
	kept, fresh *varve.Collection // in full and in empty
	revisions   *memkv.Store      // with history; its state is the layer "whole"
	single      *memkv.Store
	split       *memkv.Store // keys have suffixes
	dir         string
	log         bytes.Buffer
	now         varve.Timestamp
	late        varve.Timestamp // the end of the layer "late"
}

// splitOrder parts keys at '@'.
var splitOrder = &export.Order{Name: "split", Split: func(key []byte) int {
	if i := bytes.IndexByte(key, '@'); i >= 0 {
		return i
	}
	return len(key)
}}

func newClerk(t *testing.T) *clerk {
	t.Helper()
	c := &clerk{T: t, ctx: t.Context(), full: faultblob.New(t, nil), empty: faultblob.New(t, nil), dir: t.TempDir()}
	opts := func() *varve.CollectionOptions {
		return &varve.CollectionOptions{Logger: slog.New(slog.NewTextHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	}
	c.kept, c.fresh = collectionIn(t, c.full, opts()), collectionIn(t, c.empty, opts())
	c.revisions, c.single = newStore(t, nil), newStore(t, &memkv.Options{SingleRevision: true})
	c.split = newStore(t, &memkv.Options{SingleRevision: true, Order: splitOrder})
	fill(c.revisions, 100, 1)
	fill(c.single, 100, 2)
	c.split.Set([]byte("a@1"), []byte("1"))

	_, err := c.kept.Backup(t.Context(), varve.Cluster(c.revisions), &varve.BackupOptions{Name: "whole", NoDigest: true})
	require.NoError(t, err)
	c.revisions.Collect(c.revisions.Set([]byte("key-000001"), []byte("later")))
	late, err := c.kept.Backup(t.Context(), varve.Cluster(c.revisions), &varve.BackupOptions{Name: "late", NoDigest: true})
	require.NoError(t, err)
	c.late = late.End
	_, err = c.kept.Backup(t.Context(), c.part(), &varve.BackupOptions{Name: "part"})
	require.NoError(t, err)
	c.now = export.At(time.Now())
	return c
}

func span(start, end string) varve.Span {
	return varve.Span{Start: []byte(start), End: []byte(end)}
}

// url is that of a place below the clerk's directory.
func (c *clerk) url(elem ...string) string {
	p := filepath.ToSlash(filepath.Join(append([]string{c.dir}, elem...)...))
	return (&url.URL{Scheme: "file", Path: p}).String()
}

func (c *clerk) file(name string) string {
	c.Helper()
	require.NoError(c, os.WriteFile(filepath.Join(c.dir, name), []byte("a file"), 0o666))
	return name
}

func (c *clerk) target() varve.Targets { return varve.Cluster(c.revisions) }

// part is what the layer "part" holds.
func (c *clerk) part() varve.Targets {
	return varve.Spans(c.single, span("key-000010", "key-000020"), span("key-000030", "key-000040"))
}

// stranger is a store of another lineage.
func (c *clerk) stranger() varve.Targets {
	return varve.Cluster(newStore(c, &memkv.Options{SingleRevision: true}))
}

// backup is one into the empty bucket.
func (c *clerk) backup(targets varve.Targets, opts *varve.BackupOptions) error {
	_, err := c.fresh.Backup(c.ctx, targets, opts)
	return err
}

func (c *clerk) backupTo(collectionURL string, opts *varve.BackupOptions) error {
	_, err := varve.Backup(c.ctx, c.target(), collectionURL, opts)
	return err
}

// restore is one into a store that is empty and stays so.
func (c *clerk) restore(opts *varve.RestoreOptions, spans ...varve.Span) error {
	dst := newStore(c, nil)
	targets := varve.Cluster(dst)
	if spans != nil {
		targets = varve.Spans(dst, spans...)
	}
	_, err := c.kept.Restore(c.ctx, targets, opts)
	require.Empty(c, dst.State(varve.Span{}))
	return err
}

func (c *clerk) restoreInto(dst *memkv.Store, opts *varve.RestoreOptions) error {
	before := dst.State(varve.Span{})
	_, err := c.kept.Restore(c.ctx, varve.Cluster(dst), opts)
	require.Equal(c, before, dst.State(varve.Span{}))
	return err
}

func (c *clerk) verify(from string, opts *varve.VerifyOptions) error {
	_, err := c.kept.Verify(c.ctx, from, opts)
	return err
}

// bases are the names of the snapshots that the stores keep.
func (c *clerk) bases() (names []string) {
	c.Helper()
	for _, store := range []*memkv.Store{c.revisions, c.single, c.split} {
		kept, err := store.Snapshots(context.WithoutCancel(c.ctx))
		require.NoError(c, err)
		for _, k := range kept {
			names = append(names, k.Name)
		}
	}
	return names
}

// deny refuses some operations on the empty bucket.
func (c *clerk) deny(kind faultblob.Kind, part string) {
	c.empty.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == kind && strings.Contains(op.Key, part) {
			return faultblob.Fault{Kind: faultblob.Denied}
		}
		return faultblob.Fault{}
	})
}

// cancelled gives the clerk a context that is over.
func (c *clerk) cancelled() *clerk {
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	c.ctx = ctx
	return c
}
