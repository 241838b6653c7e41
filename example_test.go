package varve_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

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
