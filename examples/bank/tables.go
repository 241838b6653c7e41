package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"strconv"
	"sync/atomic"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

// tables are those of the bank.
type tables struct {
	store    *mvcckv.Store
	accounts export.Object
	audit    export.Object                 // a database
	kept     atomic.Pointer[export.Object] // of transfers; nil: not yet
}

// create makes both databases, with the accounts, an index of what they have, whose they are,
// and a view.
func create(ctx context.Context, store *mvcckv.Store) *tables {
	b := &tables{store: store}
	must(store.Update(ctx, nil, func(tx *mvcckv.Tx) (err error) {
		add := func(o export.Object, spans int) (made export.Object) {
			if err == nil {
				made, err = tx.CreateObject(ctx, o, spans)
			}
			return made
		}
		bank := add(export.Object{Kind: export.DatabaseObject, Name: "bank"}, 0)
		b.audit = add(export.Object{Kind: export.DatabaseObject, Name: "audit"}, 0)
		b.accounts = add(export.Object{Parent: bank.ID, Kind: export.TableObject, Name: "accounts"}, 2)
		customers := add(export.Object{Parent: bank.ID, Kind: export.TableObject, Name: "customers",
			Needs: []export.Dependency{{Kind: export.ForeignKeyDependency, On: b.accounts.ID}}}, 1)
		add(export.Object{Parent: bank.ID, Kind: export.ViewObject, Name: "rich", Definition: []byte("who has 200 or more"),
			Needs: []export.Dependency{{Kind: export.ViewDependency, On: b.accounts.ID}}}, 0)
		for i := 0; i < accounts && err == nil; i++ {
			name := fmt.Appendf(nil, "customer %d", i)
			err = errors.Join(tx.Put(ctx, row(customers, i), name), tx.Put(ctx, row(b.accounts, i), balance(each)), tx.Put(ctx, entry(b.accounts, each, i), nil))
		}
		return err
	}))
	return b
}

// keepTransfers creates a table: each transfer is a row of it from now on.
func (b *tables) keepTransfers(ctx context.Context) {
	var made export.Object
	must(b.store.Update(ctx, nil, func(tx *mvcckv.Tx) (err error) {
		made, err = tx.CreateObject(ctx, export.Object{Parent: b.audit.ID, Kind: export.TableObject, Name: "transfers"}, 1)
		return err
	}))
	b.kept.Store(&made)
}

func row(table export.Object, n int) []byte {
	return fmt.Appendf(mvcckv.KeyPrefix(table, 0), "%03d", n)
}

func entry(table export.Object, sum, n int) []byte {
	return fmt.Appendf(mvcckv.KeyPrefix(table, 1), "%05d/%03d", sum, n)
}

func balance(sum int) []byte { return []byte(strconv.Itoa(sum)) }

func amount(balance []byte) int { return must(strconv.Atoi(string(balance))) }

// transfer moves some of the money of one account to another, if both are there.
func (b *tables) transfer(ctx context.Context, rng *rand.Rand) {
	from, to := rng.IntN(accounts), rng.IntN(accounts)
	_, err := b.store.Update(ctx, nil, func(tx *mvcckv.Tx) error {
		x, errX := tx.Get(ctx, row(b.accounts, from))
		y, errY := tx.Get(ctx, row(b.accounts, to))
		if err := errors.Join(errX, errY); err != nil || from == to {
			return err
		}
		sum := rng.IntN(amount(x) + 1)
		err := errors.Join(b.set(ctx, tx, from, amount(x), amount(x)-sum), b.set(ctx, tx, to, amount(y), amount(y)+sum))
		if kept := b.kept.Load(); kept != nil {
			key := fmt.Appendf(mvcckv.KeyPrefix(*kept, 0), "%016x", rng.Uint64())
			err = errors.Join(err, tx.Put(ctx, key, fmt.Appendf(nil, "%d from %d to %d", sum, from, to)))
		}
		return err
	})
	if err != nil && !errors.Is(err, mvcckv.ErrNotFound) {
		log.Fatal(err)
	}
}

// set changes what an account has, in its row and in the index.
func (b *tables) set(ctx context.Context, tx *mvcckv.Tx, n, was, sum int) error {
	return errors.Join(tx.Put(ctx, row(b.accounts, n), balance(sum)), tx.Delete(ctx, entry(b.accounts, was, n)), tx.Put(ctx, entry(b.accounts, sum, n), nil))
}

// closeHalf removes every second account, with its money.
func (b *tables) closeHalf(ctx context.Context) export.Timestamp {
	return must(b.store.Update(ctx, &mvcckv.TxOptions{Priority: 1}, func(tx *mvcckv.Tx) error {
		for n := 0; n < accounts; n += 2 {
			was, err := tx.Get(ctx, row(b.accounts, n))
			if err != nil {
				return err
			}
			if err := errors.Join(tx.Delete(ctx, row(b.accounts, n)), tx.Delete(ctx, entry(b.accounts, amount(was), n))); err != nil {
				return err
			}
		}
		return nil
	}))
}

// count is how many accounts a table has, and its index, and what they have together.
func (b *tables) count(ctx context.Context, table export.Object) (n, indexed, sum int) {
	must(b.store.Update(ctx, nil, func(tx *mvcckv.Tx) error {
		n, indexed, sum = 0, 0, 0
		for i, span := range table.Spans {
			c, err := tx.Scan(ctx, span)
			if err != nil {
				return err
			}
			for c.Next() {
				if i == 0 {
					n, sum = n+1, sum+amount(c.Entry().Value)
				} else {
					indexed++
				}
			}
			if err := errors.Join(c.Err(), c.Close()); err != nil {
				return err
			}
		}
		return nil
	}))
	return n, indexed, sum
}
