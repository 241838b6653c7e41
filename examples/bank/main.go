// Bank keeps two databases in a store with history: bank has a table of accounts with an
// index, a table of customers and a view, and audit a table of transfers, which is created only
// after the first backup. Both are backed up while tellers move money about: all of them once,
// and then every revision. After somebody has closed half of the accounts, their table of one
// second before is restored under a new name beside the live one. It needs no arguments and no
// network.
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
	b := create(ctx, bank)
	var tellers sync.WaitGroup
	var closing atomic.Bool
	for i := range 3 {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		tellers.Go(func() {
			for !closing.Load() {
				b.transfer(ctx, rng)
			}
		})
	}
	fmt.Printf("%d accounts have %d, and three tellers move it about all the time.\n\nchanges     up to         introduced  revisions  digest\n", accounts, total)
	backUp(ctx, backups, bank)
	b.keepTransfers(ctx)
	rng := rand.New(rand.NewPCG(0, 0))
	for range 3 {
		for begun := time.Now(); time.Since(begun) < 400*time.Millisecond; {
			b.transfer(ctx, rng)
		}
		backUp(ctx, backups, bank)
	}

	gone := b.closeHalf(ctx)
	fmt.Printf("\nAt %s somebody closes half of the accounts. The tellers go on, and so do the backups.\n", gone.Time().Format(clock))
	backUp(ctx, backups, bank)

	asOf := export.Timestamp{WallNanos: gone.WallNanos - int64(time.Second)}
	restored := must(backups.Restore(ctx, varve.Tables(bank, "bank.accounts"), &varve.RestoreOptions{
		AsOf: asOf, Rename: []varve.Rename{{From: "bank.accounts", To: "bank.accounts_before"}},
	}))
	closing.Store(true)
	tellers.Wait()
	fmt.Printf("\nThe table of one second before that, %s, is restored beside the live one:\n\nobject                accounts   index   money\n", asOf.Time().Format(clock))
	for _, table := range []export.Object{restored.Objects[0], b.accounts} {
		n, indexed, sum := b.count(ctx, table)
		fmt.Printf("%-20s  %8d  %6d  %6d\n", "bank."+table.Name, n, indexed, sum)
		if n != indexed || table.ID != b.accounts.ID && (n != accounts || sum != total) {
			log.Fatalf("there were %d accounts with %d", accounts, total)
		}
	}
	fmt.Printf("\nThe last backup has of each object what was written since the one before:\n\nobject                kind        rows   index  deletions\n")
	for _, o := range must(backups.Objects(ctx, varve.Latest)) {
		name := o.Name
		if o.Kind != export.DatabaseObject {
			name = o.Database + "." + name
		}
		fmt.Printf("%-20s  %-8s  %6d  %6d  %9d\n", name, o.Kind, o.Rows, o.IndexEntries, o.Deletions)
	}
}

func open(dir string) *mvcckv.Store {
	return must(mvcckv.Open(dir, &mvcckv.Options{Pebble: &pebble.Options{Logger: quiet{}}}))
}

// backUp stores every revision since the last layer, or all there are where there is none.
// Tellers are quick: what they have locked is free again soon.
func backUp(ctx context.Context, c *varve.Collection, bank *mvcckv.Store) {
	l := must(c.Backup(ctx, varve.Databases(bank, "bank", "audit"), &varve.BackupOptions{Into: varve.Latest, FullEvery: 24 * time.Hour,
		RevisionHistory: true, Locks: varve.LockOptions{RetryDelay: 20 * time.Millisecond}}))
	fmt.Printf("%-10s  %s  %10d  %9d  %s\n", l.Stats.Changes, l.End.Time().Format(clock), len(l.Manifest.Introduced), l.Stats.Keys+l.Stats.Deletions, l.Manifest.Digest.Source)
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
