package varve_test

import (
	"context"
	"fmt"
	"time"

	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
)

// A week of incrementals becomes a synthetic full, without the store.
func ExampleCollection_Compact() {
	ctx := context.Background()
	now := time.Date(2026, 11, 22, 6, 31, 59, 370_000_000, time.UTC)
	store, err := memkv.New(&memkv.Options{SingleRevision: true, Now: func() time.Time { return now }})
	check(err)
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	c, err := varve.NewCollection(bucket, nil)
	check(err)
	for day := range 7 {
		store.Set(fmt.Append(nil, "day ", day), []byte("passed"))
		_, err := c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest, FullEvery: 365 * 24 * time.Hour})
		check(err)
		now = now.Add(24 * time.Hour)
	}

	full, err := c.Compact(ctx, varve.Latest, nil)
	check(err)
	chain, err := c.Resolve(ctx, varve.Latest, varve.Timestamp{})
	check(err)
	fmt.Printf("%d layers became %s, with %d keys\n", len(full.Manifest.Covers), full.Path, full.Manifest.Digest.Keys)
	fmt.Printf("a restore needs %d\n", len(chain.Layers))
	// Output:
	// 7 layers became 2026/11/28-063159.37, with 7 keys
	// a restore needs 1
}
