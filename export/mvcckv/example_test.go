package mvcckv_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/varvekv/varve/export/mvcckv"
)

// A value is changed, and then read as of before the change.
func Example() {
	ctx := context.Background()
	store, err := mvcckv.Open("bank", &mvcckv.Options{Pebble: &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	set := func(value string) func(tx *mvcckv.Tx) error {
		return func(tx *mvcckv.Tx) error { return tx.Put(ctx, []byte("alice"), []byte(value)) }
	}
	before, err := store.Update(ctx, nil, set("10"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.Update(ctx, nil, set("0")); err != nil {
		log.Fatal(err)
	}

	past, err := store.Begin(ctx, &mvcckv.TxOptions{AsOf: before})
	if err != nil {
		log.Fatal(err)
	}
	defer past.Rollback()
	value, err := past.Get(ctx, []byte("alice"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("alice had %s\n", value)
	// Output: alice had 10
}
