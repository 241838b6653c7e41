// Nightly backs up a shop's database every night: all of it once a week, and what
// changed in between. After a mistake it restores the night before that, first aside
// as a whole, and then one span of it into the open database. It needs no arguments
// and no network, and its clock is simulated.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

const day = 24 * time.Hour

var customers = varve.Span{Start: []byte("customers/"), End: []byte("customers0")}

// shop is a database, its backups, and what time it is there.
type shop struct {
	db      *pebble.DB
	store   *pebblekv.Store
	backups *varve.Collection
	now     time.Time
	night   int

	fulls, incrementals int64 // stored bytes
}

func main() {
	log.SetFlags(0)
	dir := must(os.MkdirTemp("", "varve-nightly-"))
	defer os.RemoveAll(dir)
	ctx := context.Background()
	s := open(ctx, dir)
	defer s.db.Close()
	defer s.backups.Close()
	fmt.Println("night       layer          sets  deletions  stored bytes  changes      snapshots kept")
	s.nights(ctx, 11)
	fmt.Println("\nThen somebody drops the customers, which is noticed two nights later.")
	check(s.db.DeleteRange(customers.Start, customers.End, pebble.Sync))
	mistake := s.now.Add(-12 * time.Hour)
	s.nights(ctx, 2)

	fmt.Printf("\nWhat was there at %s?\n", mistake.Format("Mon Jan 02, 15:04"))
	_, err := s.backups.Resolve(ctx, "", varve.At(mistake))
	miss, ok := errors.AsType[*varve.NoRestorePointError](err)
	if !ok {
		log.Fatalf("that moment was not backed up: %v", err)
	}
	fmt.Println("   ", miss)
	chain := must(s.backups.Resolve(ctx, "", miss.Before))
	fmt.Printf("    the night before it is a full of %s and %d incrementals\n",
		chain.Layers[0].End.Time().Format("Mon Jan 02"), len(chain.Layers)-1)

	aside := filepath.Join(dir, "aside")
	all := must(s.backups.Restore(ctx, varve.Cluster(pebblekv.Dir(aside, nil)), &varve.RestoreOptions{AsOf: miss.Before, Prove: true}))
	old := must(pebble.Open(aside, &pebble.Options{Logger: quiet{}}))
	defer old.Close()
	fmt.Printf("    restored aside, proved by %s: %d customers; the open database has %d\n",
		all.Proof, count(old, customers), count(s.db, customers))

	fmt.Println("\nThe customers come back into the open database, and orders stay as they are.")
	span := must(s.backups.Restore(ctx, varve.Spans(s.store, customers), &varve.RestoreOptions{AsOf: miss.Before}))
	fmt.Printf("    %s restored, proved by %s: %d customers\n", span.Spans[0], span.Proof, count(s.db, customers))

	fmt.Println("\nTo the chain that was a change like any other.")
	s.nights(ctx, 3)
	fmt.Printf("\nFulls took %d bytes, incrementals %d.\n", s.fulls, s.incrementals)
}

// open makes the shop, on the first Sunday of November at two in the morning.
func open(ctx context.Context, dir string) *shop {
	s := &shop{now: time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return s.now }
	path := filepath.Join(dir, "shop")
	s.db = must(pebble.Open(path, &pebble.Options{Logger: quiet{}}))
	s.store = must(pebblekv.New(s.db, path, &pebblekv.Options{Now: clock}))
	s.backups = must(varve.OpenCollection(ctx, "file://"+filepath.Join(dir, "backups"), &varve.CollectionOptions{Now: clock}))
	for i := range 20_000 {
		check(s.db.Set(fmt.Appendf(nil, "customers/%05d", i), fmt.Appendf(nil, "customer %d, of the first day", i), pebble.NoSync))
	}
	return s
}

func (s *shop) nights(ctx context.Context, n int) {
	for range n {
		s.trade(s.night)
		s.backUp(ctx)
		s.now, s.night = s.now.Add(day), s.night+1
	}
}

// trade is a day's work: new orders, customers that change, old orders that go.
func (s *shop) trade(night int) {
	for i := range 1000 {
		check(s.db.Set(fmt.Appendf(nil, "orders/%03d/%04d", night, i), fmt.Appendf(nil, "order %d of day %d", i, night), pebble.NoSync))
	}
	for i := night; i < 20_000 && count(s.db, customers) > 0; i += 200 {
		check(s.db.Set(fmt.Appendf(nil, "customers/%05d", i), fmt.Appendf(nil, "customer %d, changed on day %d", i, night), pebble.NoSync))
	}
	if old := night - 7; old >= 0 {
		check(s.db.DeleteRange(fmt.Appendf(nil, "orders/%03d/", old), fmt.Appendf(nil, "orders/%03d0", old), pebble.Sync))
	}
}

// backUp takes what changed, or all if the last full is a week old. Nights are never
// exactly a day apart, so a full is due half a day earlier.
func (s *shop) backUp(ctx context.Context) {
	l := must(s.backups.Backup(ctx, varve.Cluster(s.store), &varve.BackupOptions{Into: varve.Latest, FullEvery: 7*day - day/2}))
	kind, sum := "incremental", &s.incrementals
	if l.Full() {
		kind, sum = "full", &s.fulls
	}
	*sum += l.Stats.StoredBytes
	fmt.Printf("%-10s  %-11s  %6d  %9d  %12d  %-11s  %14d\n", l.End.Time().Format("Mon Jan 02"), kind,
		l.Stats.Keys, l.Stats.Deletions, l.Stats.StoredBytes, l.Stats.Changes, len(must(s.store.Snapshots(ctx))))
}

func count(db *pebble.DB, span varve.Span) (n int) {
	it := must(db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End}))
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	check(it.Close())
	return n
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// quiet keeps Pebble's own log out of the output.
type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
