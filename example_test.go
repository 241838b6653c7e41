package varve_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

// backUpAndRestore is the quick start that the README shows.
func backUpAndRestore(ctx context.Context, db *pebble.DB, dir, collectionURL, newDir string) error {
	store, err := pebblekv.New(db, dir, nil) // the database that the program has open in dir
	if err != nil {
		return err
	}
	layer, err := varve.Backup(ctx, varve.Cluster(store), collectionURL, nil)
	if err != nil {
		return err
	}
	fmt.Printf("backed up %d keys\n", layer.Stats.Keys)

	// From then on, what has changed.
	layer, err = varve.Backup(ctx, varve.Cluster(store), collectionURL, &varve.BackupOptions{Into: varve.Latest})
	if err != nil {
		return err
	}
	fmt.Printf("backed up %d changes\n", layer.Stats.Keys+layer.Stats.Deletions)

	// Later, on any machine: newDir appears whole, or not at all.
	restored, err := varve.Restore(ctx, varve.Cluster(pebblekv.Dir(newDir, nil)), collectionURL, nil)
	if err != nil {
		return err
	}
	fmt.Printf("restored %d keys, proved by %s\n", restored.Stats.Keys, restored.Proof)
	return nil
}

// Back a database up into a directory, and load the backup into a new one.
func Example() {
	root, err := os.MkdirTemp("", "varve-example-")
	check(err)
	defer os.RemoveAll(root)
	dir := filepath.Join(root, "db")
	db, err := pebble.Open(dir, &pebble.Options{Logger: silent{}})
	check(err)
	defer db.Close()
	for _, fruit := range []string{"apple", "banana", "cherry"} {
		check(db.Set([]byte(fruit), []byte("in stock"), pebble.Sync))
	}

	err = backUpAndRestore(context.Background(), db, dir, "file://"+root+"/backups", filepath.Join(root, "restored"))
	check(err)
	// Output:
	// backed up 3 keys
	// backed up 0 changes
	// restored 3 keys, proved by hashes
}

// A collection may lie in any bucket that the program has opened. A backup with a
// name has that for a path.
func ExampleCollection_Backup() {
	ctx := context.Background()
	db, store := orchard("apple", "banana", "cherry")
	defer db.Close()
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()

	c, err := varve.NewCollection(bucket, &varve.CollectionOptions{Prefix: "backups/orchard"})
	check(err)
	_, err = c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{
		Name:   "before-the-harvest",
		Labels: map[string]string{"season": "autumn"},
		Audit:  true, // scan a second time, and compare
	})
	check(err)

	layer, err := c.Layer(ctx, varve.Latest)
	check(err)
	fmt.Println(layer.Path, layer.Manifest.Labels, layer.Stats.Keys, "keys, digest by", layer.Manifest.Digest.Source)
	// Output:
	// before-the-harvest map[season:autumn] 3 keys, digest by audit
}

// A backup into a layer holds what has changed since: Into Latest goes on with the
// newest chain. With FullEvery the same call takes a full from time to time, and the
// first one.
func ExampleCollection_Backup_incremental() {
	ctx := context.Background()
	db, store := orchard("apple", "banana", "cherry")
	defer db.Close()
	c, err := varve.NewCollection(memblob.OpenBucket(nil), nil)
	check(err)
	weekly := &varve.BackupOptions{Into: varve.Latest, FullEvery: 7 * 24 * time.Hour}
	_, err = c.Backup(ctx, varve.Cluster(store), weekly)
	check(err)

	check(db.Set([]byte("apple"), []byte("sold out"), pebble.Sync))
	check(db.Delete([]byte("banana"), pebble.Sync))
	layer, err := c.Backup(ctx, varve.Cluster(store), weekly)
	check(err)
	s := layer.Stats
	fmt.Printf("full: %t, %d set, %d deleted, found by %s\n", layer.Full(), s.Keys, s.Deletions, s.Changes)

	_, err = c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Into: "the-attic"})
	fmt.Println("into what is not there:", errors.Is(err, varve.ErrNoLayer))
	// Output:
	// full: false, 1 set, 1 deleted, found by checkpoints
	// into what is not there: true
}

// A path or an ID in place of Latest names the layer to extend. The chain of a full
// is continued where it ends; an incremental is itself extended, and if another layer
// extends it as well, both are whole.
func ExampleBackupOptions_into() {
	ctx := context.Background()
	db, store := orchard("apple")
	defer db.Close()
	c := collection(ctx, varve.Cluster(store), "monday")
	check(db.Set([]byte("banana"), []byte("in stock"), pebble.Sync))
	tuesday, err := c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Into: "monday"})
	check(err)
	check(db.Set([]byte("cherry"), []byte("in stock"), pebble.Sync))
	wednesday, err := c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Into: "monday"})
	check(err)
	sibling, err := c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Into: tuesday.ID})
	check(err)
	fmt.Println("wednesday extends tuesday:", wednesday.ParentID == tuesday.ID)
	fmt.Println("and so does its sibling:", sibling.ParentID == tuesday.ID)
	fmt.Println("which found what changed by", sibling.Stats.Changes)
	// Output:
	// wednesday extends tuesday: true
	// and so does its sibling: true
	// which found what changed by chain
}

// A chain can be restored as of the end of each of its layers. A moment in between is
// refused with the nearest ones.
func ExampleCollection_Resolve() {
	ctx := context.Background()
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	db, store, err := pebblekv.Open("orchard", &pebble.Options{FS: vfs.NewMem(), Logger: silent{}},
		&pebblekv.Options{Now: func() time.Time { return now }})
	check(err)
	defer db.Close()
	c := collection(ctx, varve.Cluster(store), "sunday")
	for range 2 {
		now = now.Add(24 * time.Hour)
		_, err := c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
		check(err)
	}

	chain, err := c.Resolve(ctx, varve.Latest, varve.Timestamp{})
	check(err)
	for _, window := range chain.Points() {
		fmt.Println(window.Newest.Time().Format("Mon 15:04"))
	}
	_, err = c.Resolve(ctx, "", varve.At(now.Add(-6*time.Hour)))
	var miss *varve.NoRestorePointError
	fmt.Println(errors.As(err, &miss), "before:", miss.Before.Time().Format("Mon 15:04"), "after:", miss.After.Time().Format("Mon 15:04"))
	// Output:
	// Sun 02:00
	// Mon 02:00
	// Tue 02:00
	// true before: Mon 02:00 after: Tue 02:00
}

// Spans of a store come back without the rest, into a store that holds nothing
// there. A store that holds something is left alone.
func ExampleCollection_Restore() {
	ctx := context.Background()
	db, store := orchard("apple", "banana", "cherry")
	defer db.Close()
	c := collection(ctx, varve.Cluster(store), "full")

	span := varve.Span{Start: []byte("b"), End: []byte("c")}
	_, err := c.Restore(ctx, varve.Spans(store, span), nil)
	var notEmpty *varve.NotEmptyError
	fmt.Println("is not empty:", errors.As(err, &notEmpty))

	check(db.Delete([]byte("banana"), pebble.Sync))
	restored, err := c.Restore(ctx, varve.Spans(store, span), &varve.RestoreOptions{From: "full"})
	check(err)
	value, closer, err := db.Get([]byte("banana"))
	check(err)
	defer closer.Close()
	fmt.Printf("restored %s: banana is %s\n", restored.Spans[0], value)
	// Output:
	// is not empty: true
	// restored ["b", "c"): banana is in stock
}

// Layers are listed newest first, from one listing of the bucket.
func ExampleCollection_Layers() {
	ctx := context.Background()
	db, store := orchard("apple", "banana")
	defer db.Close()
	c := collection(ctx, varve.Cluster(store), "monday")
	_, err := c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Name: "tuesday"})
	check(err)

	for layer, err := range c.Layers(ctx) {
		check(err)
		fmt.Println(layer.Path, layer.Full())
	}
	// Output:
	// tuesday true
	// monday true
}

// Verify proves a backup as far as it is asked to. With a scratch store it goes all
// the way: it restores, scans what was restored, and compares.
func ExampleCollection_Verify() {
	ctx := context.Background()
	db, store := orchard("apple", "banana", "cherry")
	defer db.Close()
	c := collection(ctx, varve.Cluster(store), "full")

	scratchDB, scratch := orchard()
	defer scratchDB.Close()
	report, err := c.Verify(ctx, "full", &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: scratch})
	check(err)
	fmt.Println(report.Level, report.Files, "file,", report.Entries, "entries,", len(report.Problems), "problems")

	_, err = c.Verify(ctx, "empty", nil)
	fmt.Println(errors.Is(err, varve.ErrNoLayer))
	// Output:
	// rehearsal 1 file, 3 entries, 0 problems
	// true
}

// orchard is a database in memory with some fruit.
func orchard(fruits ...string) (*pebble.DB, *pebblekv.Store) {
	db, store, err := pebblekv.Open("orchard", &pebble.Options{FS: vfs.NewMem(), Logger: silent{}}, nil)
	check(err)
	for _, fruit := range fruits {
		check(db.Set([]byte(fruit), []byte("in stock"), pebble.Sync))
	}
	return db, store
}

// collection is one in memory with one backup.
func collection(ctx context.Context, targets varve.Targets, name string) *varve.Collection {
	c, err := varve.NewCollection(memblob.OpenBucket(nil), nil)
	check(err)
	_, err = c.Backup(ctx, targets, &varve.BackupOptions{Name: name})
	check(err)
	return c
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
