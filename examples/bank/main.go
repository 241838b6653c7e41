// Bank keeps accounts in a store with history, and backs them up while money is moved
// about: all of them once, and then every revision. After somebody has deleted half of
// the accounts, the bank of one second before is restored beside the live one. It needs
// no arguments and no network.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
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
	must(bank.Update(ctx, nil, func(tx *mvcckv.Tx) (err error) {
		for i := 0; i < accounts && err == nil; i++ {
			err = tx.Put(ctx, account(i), balance(each))
		}
		return err
	}))
	var tellers sync.WaitGroup
	var closing atomic.Bool
	for i := range 3 {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		tellers.Go(func() {
			for !closing.Load() {
				transfer(ctx, bank, rng)
			}
		})
	}
	fmt.Printf("%d accounts have %d, and three tellers move it about all the time.\n\nchanges      up to           revisions  digest\n", accounts, total)
	backUp(ctx, backups, bank)
	rng := rand.New(rand.NewPCG(0, 0))
	for range 3 {
		for begun := time.Now(); time.Since(begun) < 400*time.Millisecond; {
			transfer(ctx, bank, rng)
		}
		backUp(ctx, backups, bank)
	}

	gone := must(bank.Update(ctx, &mvcckv.TxOptions{Priority: 1}, func(tx *mvcckv.Tx) error {
		return tx.DeleteRange(ctx, account(0), account(accounts/2))
	}))
	fmt.Printf("\nAt %s somebody deletes half of the accounts. The tellers go on, and so do the backups.\n", gone.Time().Format(clock))
	backUp(ctx, backups, bank)

	asOf := export.Timestamp{WallNanos: gone.WallNanos - int64(time.Second)}
	aside := open(filepath.Join(dir, "aside"))
	defer aside.Close()
	restored := must(backups.Restore(ctx, varve.Cluster(aside), &varve.RestoreOptions{AsOf: asOf}))
	fmt.Printf("\nThe bank of one second before that, %s, is restored beside the live one, proved by %s:\n", asOf.Time().Format(clock), restored.Proof)
	n, sum := count(ctx, aside)
	if fmt.Printf("    %d accounts have %d\n", n, sum); n != accounts || sum != total {
		log.Fatalf("there were %d accounts with %d", accounts, total)
	}
	closing.Store(true)
	tellers.Wait()
	n, sum = count(ctx, bank)
	fmt.Printf("    in the live one %d have %d\n", n, sum)
}

func account(n int) []byte { return fmt.Appendf(nil, "account/%03d", n) }

func open(dir string) *mvcckv.Store {
	return must(mvcckv.Open(dir, &mvcckv.Options{Pebble: &pebble.Options{Logger: quiet{}}}))
}

// count is how many accounts there are, and what they have together.
func count(ctx context.Context, bank *mvcckv.Store) (n, sum int) {
	must(bank.Update(ctx, nil, func(tx *mvcckv.Tx) error {
		n, sum = 0, 0
		c, err := tx.Scan(ctx, export.Span{})
		if err != nil {
			return err
		}
		for c.Next() {
			n, sum = n+1, sum+amount(c.Entry().Value)
		}
		return errors.Join(c.Err(), c.Close())
	}))
	return n, sum
}

func balance(sum int) []byte { return []byte(strconv.Itoa(sum)) }

func amount(balance []byte) int { return must(strconv.Atoi(string(balance))) }

// transfer moves some of the money of one account to another, if both are there.
func transfer(ctx context.Context, bank *mvcckv.Store, rng *rand.Rand) {
	from, to := rng.IntN(accounts), rng.IntN(accounts)
	_, err := bank.Update(ctx, nil, func(tx *mvcckv.Tx) error {
		a, errA := tx.Get(ctx, account(from))
		b, errB := tx.Get(ctx, account(to))
		if err := errors.Join(errA, errB); err != nil || from == to {
			return err
		}
		sum := rng.IntN(amount(a) + 1)
		return errors.Join(tx.Put(ctx, account(from), balance(amount(a)-sum)), tx.Put(ctx, account(to), balance(amount(b)+sum)))
	})
	if err != nil && !errors.Is(err, mvcckv.ErrNotFound) {
		log.Fatal(err)
	}
}

// backUp stores every revision since the last layer, or all there are where there is none.
// Tellers are quick: what they have locked is free again soon.
func backUp(ctx context.Context, c *varve.Collection, bank *mvcckv.Store) {
	l := must(c.Backup(ctx, varve.Cluster(bank), &varve.BackupOptions{Into: varve.Latest, FullEvery: 24 * time.Hour,
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
