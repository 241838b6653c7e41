package varve_test

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
)

// A backup can be read where it lies. Get opens the file with the key, Scan those of a span.
func ExampleCollection_OpenReader() {
	ctx := context.Background()
	db, store := orchard("apple", "banana", "cherry")
	defer db.Close()
	c := collection(ctx, varve.Cluster(store), "full")

	r, err := c.OpenReader(ctx, "full", nil)
	check(err)
	defer r.Close()
	e, found, err := r.Get(ctx, []byte("banana"))
	check(err)
	fmt.Printf("banana: %s, %t\n", e.Value, found)
	cursor, err := r.Scan(ctx, varve.Span{Start: []byte("b")})
	check(err)
	defer cursor.Close()
	for cursor.Next() {
		fmt.Printf("%s is %s\n", cursor.Entry().Key, cursor.Entry().Value)
	}
	check(cursor.Err())
	// Output:
	// banana: in stock, true
	// banana is in stock
	// cherry is in stock
}

// What a key was at the end of each backup, and what changed between two of them.
func ExampleReader_Diff() {
	ctx := context.Background()
	db, store := orchard("apple", "banana")
	defer db.Close()
	c, err := varve.NewCollection(memblob.OpenBucket(nil), nil)
	check(err)
	monday, err := c.Backup(ctx, varve.Cluster(store), nil)
	check(err)
	check(db.Set([]byte("apple"), []byte("sold out"), pebble.Sync))
	check(db.Delete([]byte("banana"), pebble.Sync))
	_, err = c.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
	check(err)

	before, err := c.OpenReader(ctx, monday.ID, nil)
	check(err)
	defer before.Close()
	now, err := c.OpenReader(ctx, varve.Latest, nil)
	check(err)
	defer now.Close()
	changes, err := now.Diff(ctx, before, varve.Span{})
	check(err)
	defer changes.Close()
	for changes.Next() {
		if e := changes.Entry(); e.Kind == export.Set {
			fmt.Printf("%s is now %s\n", e.Key, e.Value)
		} else {
			fmt.Printf("%s is gone, it was %s\n", e.Key, changes.Former().Value)
		}
	}
	check(changes.Err())
	for revision, err := range now.History(ctx, []byte("banana")) {
		check(err)
		fmt.Printf("%q, deleted: %t\n", revision.Value, revision.Deleted)
	}
	// Output:
	// apple is now sold out
	// banana is gone, it was in stock
	// "", deleted: true
	// "in stock", deleted: false
}
