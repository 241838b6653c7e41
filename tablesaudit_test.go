package varve_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
	"github.com/varvekv/varve/internal/faultblob"
)

const ledgerRows, ledgerBalance = 20, 100

// ledgers are two tables between which money is moved, each with an index of what its rows
// have.
type ledgers struct {
	versionedVillage
	tables [2]export.Object
}

func newLedgers(t *testing.T) *ledgers {
	l := &ledgers{versionedVillage: versionedVillage{openVersioned(t)}}
	l.create(t, nil, export.DatabaseObject, "bank", 0)
	for i, name := range []string{"here", "there"} {
		l.create(t, object(t, l, export.Timestamp{}, "bank"), export.TableObject, name, 1)
		l.tables[i] = *object(t, l, export.Timestamp{}, "bank."+name)
	}
	l.update(t, func(ctx context.Context, tx *mvcckv.Tx) error {
		var errs []error
		for i := range 2 * ledgerRows {
			errs = append(errs, l.put(ctx, tx, i, -1, ledgerBalance))
		}
		return errors.Join(errs...)
	})
	return l
}

func (l *ledgers) row(n int) []byte {
	return fmt.Appendf(mvcckv.KeyPrefix(l.tables[n%2], 0), "%03d", n/2)
}

func (l *ledgers) entry(n, sum int) []byte {
	return fmt.Appendf(mvcckv.KeyPrefix(l.tables[n%2], 1), "%05d/%03d", sum, n/2)
}

func (l *ledgers) put(ctx context.Context, tx *mvcckv.Tx, n, was, sum int) error {
	err := errors.Join(tx.Put(ctx, l.row(n), []byte(strconv.Itoa(sum))), tx.Put(ctx, l.entry(n, sum), nil))
	if was < 0 || was == sum {
		return err
	}
	return errors.Join(err, tx.Delete(ctx, l.entry(n, was)))
}

func (l *ledgers) transfer(ctx context.Context, rng *rand.Rand) error {
	from, to := rng.IntN(2*ledgerRows), rng.IntN(2*ledgerRows)
	_, err := l.Update(ctx, nil, func(tx *mvcckv.Tx) error {
		a, errA := tx.Get(ctx, l.row(from))
		b, errB := tx.Get(ctx, l.row(to))
		if err := errors.Join(errA, errB); err != nil || from == to {
			return err
		}
		x, errX := strconv.Atoi(string(a))
		y, errY := strconv.Atoi(string(b))
		sum := rng.IntN(x + 1)
		return errors.Join(errX, errY, l.put(ctx, tx, from, x, x-sum), l.put(ctx, tx, to, y, y+sum))
	})
	return err
}

// TestTablesAudit: while money is moved between tables, both have together what there is at
// every moment that is restored, and each index what its rows say.
func TestTablesAudit(t *testing.T) {
	t.Parallel()
	l := newLedgers(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var tellers sync.WaitGroup
	var closing atomic.Bool
	for i := range 3 {
		rng := rand.New(rand.NewPCG(5, uint64(i)))
		tellers.Go(func() {
			for !closing.Load() && ctx.Err() == nil {
				if err := l.transfer(ctx, rng); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	c := collectionIn(t, faultblob.New(t, nil), nil)
	rng := rand.New(rand.NewPCG(6, 6))
	var moments []export.Timestamp
	opts := varve.BackupOptions{RevisionHistory: true, Locks: varve.LockOptions{RetryDelay: time.Millisecond}}
	for range 4 {
		for range 50 {
			require.NoError(t, l.transfer(ctx, rng))
		}
		layer, err := c.Backup(ctx, varve.Databases(l, "bank"), &opts)
		require.NoError(t, err)
		opts.Into = varve.Latest
		moments = append(moments, layer.End)
		if middle := (export.Timestamp{WallNanos: (layer.Start.WallNanos + layer.End.WallNanos) / 2}); !layer.Start.IsZero() && middle.Compare(layer.Manifest.Oldest) >= 0 {
			moments = append(moments, middle)
		}
	}
	closing.Store(true)
	tellers.Wait()
	for _, at := range moments {
		for _, whole := range []bool{true, false} {
			to := versionedVillage{openVersioned(t)}
			targets := varve.Databases(to, "bank")
			if !whole {
				to.create(t, nil, export.DatabaseObject, "bank", 0)
				targets = varve.Tables(to, "bank.here", "bank.there")
			}
			_, err := c.Restore(t.Context(), targets, &varve.RestoreOptions{AsOf: at})
			require.NoError(t, err)
			require.Equal(t, 2*ledgerRows*ledgerBalance, auditTable(t, to, "bank.here")+auditTable(t, to, "bank.there"), "as of %s", at)
		}
	}
}

// auditTable is what all rows of a table have, as its index says, too.
func auditTable(t *testing.T, s export.Store, path string) (total int) {
	t.Helper()
	want, got := map[string]bool{}, map[string]bool{}
	for _, line := range rows(t, s, export.Timestamp{}, path) {
		key, value, _ := strings.Cut(line[2:], " = ")
		if line[0] == '1' {
			got[strings.TrimSpace(key)] = true
			continue
		}
		sum, err := strconv.Atoi(value)
		require.NoError(t, err)
		want[fmt.Sprintf("%05d/%s", sum, key)] = true
		total += sum
	}
	require.Equal(t, want, got, path)
	require.Len(t, want, ledgerRows)
	return total
}
