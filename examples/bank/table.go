package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"strconv"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

// create makes the database, with the accounts and an index of what they have.
func create(ctx context.Context, bank *mvcckv.Store) (table export.Object) {
	must(bank.Update(ctx, nil, func(tx *mvcckv.Tx) error {
		db, err := tx.CreateObject(ctx, export.Object{Kind: export.DatabaseObject, Name: "bank"}, 0)
		if err != nil {
			return err
		}
		if table, err = tx.CreateObject(ctx, export.Object{Parent: db.ID, Kind: export.TableObject, Name: "accounts"}, 2); err != nil {
			return err
		}
		view := export.Object{Parent: db.ID, Kind: export.ViewObject, Name: "rich", Definition: []byte("who has 200 or more"),
			Needs: []export.Dependency{{Kind: export.ViewDependency, On: table.ID}}}
		_, err = tx.CreateObject(ctx, view, 0)
		for i := 0; i < accounts && err == nil; i++ {
			err = errors.Join(tx.Put(ctx, row(table, i), balance(each)), tx.Put(ctx, entry(table, each, i), nil))
		}
		return err
	}))
	return table
}

func row(table export.Object, n int) []byte {
	return fmt.Appendf(mvcckv.KeyPrefix(table, 0), "%03d", n)
}

func entry(table export.Object, sum, n int) []byte {
	return fmt.Appendf(mvcckv.KeyPrefix(table, 1), "%05d/%03d", sum, n)
}

// count is how many accounts there are, and what they have together.
func count(ctx context.Context, bank *mvcckv.Store, table export.Object) (n, sum int) {
	must(bank.Update(ctx, nil, func(tx *mvcckv.Tx) error {
		n, sum = 0, 0
		c, err := tx.Scan(ctx, table.Spans[0])
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
func transfer(ctx context.Context, bank *mvcckv.Store, table export.Object, rng *rand.Rand) {
	from, to := rng.IntN(accounts), rng.IntN(accounts)
	_, err := bank.Update(ctx, nil, func(tx *mvcckv.Tx) error {
		a, errA := tx.Get(ctx, row(table, from))
		b, errB := tx.Get(ctx, row(table, to))
		if err := errors.Join(errA, errB); err != nil || from == to {
			return err
		}
		sum := rng.IntN(amount(a) + 1)
		return errors.Join(set(ctx, tx, table, from, amount(a), amount(a)-sum), set(ctx, tx, table, to, amount(b), amount(b)+sum))
	})
	if err != nil && !errors.Is(err, mvcckv.ErrNotFound) {
		log.Fatal(err)
	}
}

// set changes what an account has, in its row and in the index.
func set(ctx context.Context, tx *mvcckv.Tx, table export.Object, n, was, sum int) error {
	return errors.Join(tx.Put(ctx, row(table, n), balance(sum)), tx.Delete(ctx, entry(table, was, n)), tx.Put(ctx, entry(table, sum, n), nil))
}
