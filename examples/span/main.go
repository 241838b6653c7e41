// Span backs up a Pebble database and restores one span of it: a tenant's keys
// that were deleted by mistake come back into the open database, and nothing else
// is touched.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) (err error) {
	db, store, err := pebblekv.Open("bank", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, tenant := range []string{"acme", "globex", "initech"} {
		for i := range 1000 {
			if err := db.Set(fmt.Appendf(nil, "%s/%04d", tenant, i), fmt.Appendf(nil, "balance %d", 100*i), nil); err != nil {
				return err
			}
		}
	}
	bucket := memblob.OpenBucket(nil) // any gocloud bucket
	defer func() { err = errors.Join(err, bucket.Close()) }()
	backups, err := varve.NewCollection(bucket, nil)
	if err != nil {
		return err
	}
	if _, err := backups.Backup(ctx, varve.Cluster(store), nil); err != nil {
		return err
	}
	fmt.Println("backed up: ", count(db, "acme"), count(db, "globex"), count(db, "initech"))

	globex := varve.Span{Start: []byte("globex/"), End: []byte("globex0")}
	if err := db.DeleteRange(globex.Start, globex.End, nil); err != nil {
		return err
	}
	if err := db.Set([]byte("acme/9999"), []byte("written since"), nil); err != nil {
		return err
	}
	fmt.Println("accident:  ", count(db, "acme"), count(db, "globex"), count(db, "initech"))

	restored, err := backups.Restore(ctx, varve.Spans(store, globex), nil)
	if err != nil {
		return err
	}
	fmt.Println("restored:  ", count(db, "acme"), count(db, "globex"), count(db, "initech"))
	fmt.Printf("%d keys of %s came back; their proof: %s\n", count(db, "globex"), restored.Spans[0], restored.Proof)

	_, err = backups.Restore(ctx, varve.Spans(store, globex), nil)
	var full *varve.NotEmptyError
	if !errors.As(err, &full) {
		return errors.Join(errors.New("a second restore did not refuse"), err)
	}
	fmt.Println("once more: ", full)
	return nil
}

func count(db *pebble.DB, tenant string) (n int) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(tenant + "/"), UpperBound: []byte(tenant + "0")})
	if err != nil {
		log.Fatal(err)
	}
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		log.Fatal(err)
	}
	return n
}

// quiet keeps Pebble's own log out of the output.
type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
