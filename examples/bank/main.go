// Bank keeps a table of accounts with an index, and a view, in a database of a store with
// history, and backs them up while money is moved about: all of them once, and then every
// revision. After somebody has deleted half of the accounts, the table of one second before
// is restored under a new name beside the live one. It needs no arguments and no network.
package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

const (
	accounts, each = 100, 100
	total          = accounts * each
	clock          = "15:04:05.000"
)

func main() {
	log.SetFlags(0)
	dir := must(os.MkdirTemp("", "varve-bank-"))
	defer os.RemoveAll(dir)
	ctx := context.Background()
	bank := open(filepath.Join(dir, "bank"))
	defer bank.Close()
	backups := must(varve.OpenCollection(ctx, "file://"+filepath.Join(dir, "backups"), nil))
	defer backups.Close()
	table := create(ctx, bank)
	var tellers sync.WaitGroup
	var closing atomic.Bool
	for i := range 3 {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		tellers.Go(func() {
			for !closing.Load() {
				transfer(ctx, bank, table, rng)
			}
		})
	}
	fmt.Printf("%d accounts have %d, and three tellers move it about all the time.\n\nchanges      up to           revisions  digest\n", accounts, total)
	backUp(ctx, backups, bank)
	rng := rand.New(rand.NewPCG(0, 0))
	for range 3 {
		for begun := time.Now(); time.Since(begun) < 400*time.Millisecond; {
			transfer(ctx, bank, table, rng)
		}
		backUp(ctx, backups, bank)
	}

	gone := must(bank.Update(ctx, &mvcckv.TxOptions{Priority: 1}, func(tx *mvcckv.Tx) error {
		return tx.DeleteRange(ctx, row(table, 0), row(table, accounts/2))
	}))
	fmt.Printf("\nAt %s somebody deletes half of the accounts. The tellers go on, and so do the backups.\n", gone.Time().Format(clock))
	backUp(ctx, backups, bank)

	asOf := export.Timestamp{WallNanos: gone.WallNanos - int64(time.Second)}
	restored := must(backups.Restore(ctx, varve.Tables(bank, "bank.accounts"), &varve.RestoreOptions{
		AsOf: asOf, Rename: []varve.Rename{{From: "bank.accounts", To: "bank.accounts_before"}},
	}))
	fmt.Printf("\nThe table of one second before that, %s, is restored beside the live one:\n", asOf.Time().Format(clock))
	before := restored.Objects[0]
	n, sum := count(ctx, bank, before)
	if n != accounts || sum != total {
		log.Fatalf("there were %d accounts with %d", accounts, total)
	}
	closing.Store(true)
	tellers.Wait()
	fmt.Printf("    bank.accounts_before  %3d accounts have %d\n", n, sum)
	n, sum = count(ctx, bank, table)
	fmt.Printf("    bank.accounts         %3d accounts have %d\n\nThe last backup has of\n", n, sum)
	for _, o := range must(backups.Objects(ctx, varve.Latest)) {
		fmt.Printf("    %-8s %-8s  %6d rows, %6d index entries, %6d deletions\n", o.Kind, o.Name, o.Rows, o.IndexEntries, o.Deletions)
	}
}

func open(dir string) *mvcckv.Store {
	return must(mvcckv.Open(dir, &mvcckv.Options{Pebble: &pebble.Options{Logger: quiet{}}}))
}

// backUp stores every revision since the last layer, or all there are where there is none.
// Tellers are quick: what they have locked is free again soon.
func backUp(ctx context.Context, c *varve.Collection, bank *mvcckv.Store) {
	l := must(c.Backup(ctx, varve.Databases(bank, "bank"), &varve.BackupOptions{Into: varve.Latest, FullEvery: 24 * time.Hour,
		RevisionHistory: true, Locks: varve.LockOptions{RetryDelay: 20 * time.Millisecond}}))
	fmt.Printf("%-11s  %s  %11d  %s\n", l.Stats.Changes, l.End.Time().Format(clock), l.Stats.Keys+l.Stats.Deletions, l.Manifest.Digest.Source)
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// quiet keeps Pebble's own log out of the output.
type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
