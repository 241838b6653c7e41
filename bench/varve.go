package main

import (
	"context"
	"path/filepath"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

// varveTool is varve with some of its options, into a directory as bucket.
type varveTool struct {
	title       string
	compression varve.Compression
	noDigest    bool
}

const (
	varveDefault     = "varve"
	varveNoDigest    = "varve, no digest"
	varveRaw         = "varve, no compression"
	varveRawNoDigest = "varve, no compression, no digest"
)

func varves() []tool {
	return []tool{
		varveTool{title: varveDefault},
		varveTool{title: varveNoDigest, noDigest: true},
		varveTool{title: varveRaw, compression: varve.CompressNone},
		varveTool{title: varveRawNoDigest, compression: varve.CompressNone, noDigest: true},
	}
}

func (v varveTool) name() string { return v.title }
func (varveTool) engine() engine { return pebbles{} }

func (v varveTool) full(ctx context.Context, j *job) error { return v.backup(ctx, j, "") }
func (v varveTool) incremental(ctx context.Context, j *job) error {
	return v.backup(ctx, j, varve.Latest)
}

func (v varveTool) backup(ctx context.Context, j *job, into string) error {
	layer, err := varve.Backup(ctx, varve.Cluster(j.db.(*pebbleDatabase).store), collectionURL(j),
		&varve.BackupOptions{Into: into, Compression: v.compression, NoDigest: v.noDigest})
	if err != nil {
		return err
	}
	j.requests = layer.Stats.Requests
	return nil
}

func (varveTool) restore(ctx context.Context, j *job) error {
	to := pebblekv.Dir(j.to, &pebblekv.Options{Pebble: pebbleOptions(anySize)})
	restored, err := varve.Restore(ctx, varve.Cluster(to), collectionURL(j), nil)
	if err != nil {
		return err
	}
	j.requests = restored.Stats.Requests
	return nil
}

func collectionURL(j *job) string { return "file://" + filepath.ToSlash(j.backups) }
