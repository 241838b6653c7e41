package varve_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/mvcckv"
	"github.com/varvekv/varve/internal/faultblob"
)

// bank is a store of accounts whose total never changes, as every transfer takes place at
// one moment.
type bank struct {
	store interface {
		export.Store
		export.SnapshotKeeper
	}
	open     func(t *testing.T, accounts int)                         // makes the accounts
	transfer func(rng *rand.Rand, accounts int) error                 // between two of them
	collect  func(ctx context.Context, before export.Timestamp) error // forgets, as far as it may
	leave    func(t *testing.T) (back func(t *testing.T))             // begins a transfer, goes away, and is back too late; nil: no such thing
}

const bankAccounts, bankBalance = 40, 1000

func account(n int) []byte { return fmt.Appendf(nil, "account/%03d", n) }

func balance(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// memBank is one in memory.
func memBank(t *testing.T) *bank {
	s := newStore(t, &memkv.Options{PartitionBytes: 256})
	var mu sync.Mutex // of readers that write
	put := func(n int, value int64) export.Entry {
		return export.Entry{Kind: export.Set, Key: account(n), Value: balance(value)}
	}
	read := func(n int) int64 {
		v, ok := s.Get(account(n))
		if !ok {
			return 0
		}
		return int64(binary.BigEndian.Uint64(v))
	}
	return &bank{
		store: s,
		open: func(_ *testing.T, accounts int) {
			var all []export.Entry
			for i := range accounts {
				all = append(all, put(i, bankBalance))
			}
			s.Apply(all...)
		},
		transfer: func(rng *rand.Rand, accounts int) error {
			mu.Lock()
			defer mu.Unlock()
			from, to := rng.IntN(accounts), rng.IntN(accounts-1)
			if to >= from {
				to++
			}
			sum := rng.Int64N(read(from) + 1)
			if rng.IntN(20) == 0 { // the account is closed
				s.Apply(export.Entry{Kind: export.Delete, Key: account(from)}, put(to, read(to)+read(from)))
				return nil
			}
			s.Apply(put(from, read(from)-sum), put(to, read(to)+sum))
			return nil
		},
		collect: func(_ context.Context, before export.Timestamp) error {
			s.Collect(before)
			return nil
		},
	}
}

// openVersioned is an empty store with history and transactions, in memory.
func openVersioned(t testing.TB) *mvcckv.Store {
	t.Helper()
	s, err := mvcckv.Open("db", &mvcckv.Options{Pebble: &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// versionedBank is one with transactions, which meet one another and the backup.
func versionedBank(t *testing.T) *bank {
	s, ctx := openVersioned(t), t.Context()
	return &bank{
		store: s,
		open: func(t *testing.T, accounts int) {
			_, err := s.Update(ctx, nil, func(tx *mvcckv.Tx) error {
				var errs []error
				for i := range accounts {
					errs = append(errs, tx.Put(ctx, account(i), balance(bankBalance)))
				}
				return errors.Join(errs...)
			})
			require.NoError(t, err)
		},
		transfer: func(rng *rand.Rand, accounts int) error {
			_, err := s.Update(ctx, nil, func(tx *mvcckv.Tx) error { return pay(ctx, tx, rng, accounts) })
			return err
		},
		collect: func(ctx context.Context, before export.Timestamp) error {
			_, err := s.Collect(ctx, before)
			return err
		},
		leave: func(t *testing.T) func(t *testing.T) {
			tx, err := s.Begin(ctx, nil)
			require.NoError(t, err)
			require.NoError(t, tx.Put(ctx, account(bankAccounts/2), balance(1<<40)))
			return func(t *testing.T) {
				var retry *mvcckv.RetryError
				_, err := tx.Commit(ctx)
				require.ErrorAs(t, err, &retry)
				require.Equal(t, mvcckv.Pushed, retry.Conflict)
			}
		},
	}
}

// pay moves money between two accounts in a transaction, or all that one has and closes it.
func pay(ctx context.Context, tx *mvcckv.Tx, rng *rand.Rand, accounts int) error {
	from, to := rng.IntN(accounts), rng.IntN(accounts-1)
	if to >= from {
		to++
	}
	has, err := paid(ctx, tx, from)
	if err != nil {
		return err
	}
	other, err := paid(ctx, tx, to)
	if err != nil {
		return err
	}
	if rng.IntN(20) == 0 {
		return errors.Join(tx.Delete(ctx, account(from)), tx.Put(ctx, account(to), balance(other+has)))
	}
	sum := rng.Int64N(has + 1)
	return errors.Join(tx.Put(ctx, account(from), balance(has-sum)), tx.Put(ctx, account(to), balance(other+sum)))
}

// paid is what an account holds: nothing if it is closed.
func paid(ctx context.Context, tx *mvcckv.Tx, n int) (int64, error) {
	v, err := tx.Get(ctx, account(n))
	if errors.Is(err, mvcckv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

// TestBank: whatever moment of the chain is restored, no money was made or lost, with
// writers throughout.
func TestBank(t *testing.T) {
	t.Parallel()
	auditBank(t, memBank(t))
}

// TestVersionedBank: as TestBank, with transactions that conflict, that a backup waits for,
// and that a collection of garbage pushes.
func TestVersionedBank(t *testing.T) {
	t.Parallel()
	auditBank(t, versionedBank(t))
}

// auditBank backs the bank up while it is open, and counts the money at every moment.
func auditBank(t *testing.T, b *bank) {
	b.open(t, bankAccounts)
	bucket := faultblob.New(t, nil)
	c := collectionIn(t, bucket, nil)
	opts := varve.BackupOptions{
		RevisionHistory: true, TargetFileBytes: 2 << 10, Concurrency: 2,
		Locks: varve.LockOptions{RetryDelay: time.Millisecond, PushAfter: 20 * time.Millisecond},
	}
	for round := range 6 {
		opts.RevisionHistory = round != 2
		b.day(t, round, func() {
			layer, err := c.Backup(t.Context(), varve.Cluster(b.store), &opts)
			require.NoError(t, err)
			require.NoError(t, b.collect(t.Context(), layer.End.Next()))
		})
		opts.Into = varve.Latest
	}
	r := &revisor{T: t, c: c, bucket: bucket.Open(), rng: rand.New(rand.NewPCG(8, 8))}
	r.audit(*auditRestores)
	require.Greater(t, r.counted, 1000)
}

// day is one on which the bank is backed up, after somebody went away with a lock.
func (b *bank) day(t *testing.T, day int, backup func()) {
	t.Helper()
	back := func(*testing.T) {}
	if b.leave != nil {
		back = b.leave(t)
	}
	var tellers sync.WaitGroup
	var closing atomic.Bool // the backup is done: tellers may stop
	for i := range 2 {
		rng := rand.New(rand.NewPCG(uint64(i), uint64(day)))
		tellers.Go(func() {
			for n := 0; n < 200 || !closing.Load() && n < 400; n++ {
				if err := b.transfer(rng, bankAccounts); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	backup()
	back(t)
	closing.Store(true)
	tellers.Wait()
}
