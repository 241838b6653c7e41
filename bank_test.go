package varve_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
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

// TestBank: whatever moment of the chain is restored, no money was made or lost, with
// writers throughout.
func TestBank(t *testing.T) {
	t.Parallel()
	auditBank(t, memBank(t), 400)
}

// auditBank backs the bank up while it is open, and counts the money at so many moments.
func auditBank(t *testing.T, b *bank, moments int) {
	b.open(t, bankAccounts)
	c := collectionIn(t, faultblob.New(t, nil), nil)
	opts := varve.BackupOptions{RevisionHistory: true, TargetFileBytes: 512, Concurrency: 2}
	for round := range 6 {
		var tellers sync.WaitGroup
		for i := range 2 {
			rng := rand.New(rand.NewPCG(uint64(i), uint64(round)))
			tellers.Go(func() {
				for range 150 {
					if err := b.transfer(rng, bankAccounts); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		opts.RevisionHistory = round != 2
		layer, err := c.Backup(t.Context(), varve.Cluster(b.store), &opts)
		require.NoError(t, err)
		require.NoError(t, b.collect(t.Context(), layer.End.Next()))
		opts.Into = varve.Latest
		tellers.Wait()
	}
	chain, err := c.Resolve(t.Context(), varve.Latest, varve.Timestamp{})
	require.NoError(t, err)
	points := chain.Points()
	rng := rand.New(rand.NewPCG(8, 8))
	audited := 0
	for audited < moments {
		w := points[rng.IntN(len(points))]
		at := w.Newest
		if span := w.Newest.WallNanos - w.Oldest.WallNanos; span > 0 && !w.Oldest.IsZero() {
			at = export.Timestamp{WallNanos: w.Oldest.WallNanos + 1 + rng.Int64N(span)}
		}
		if at.Compare(w.Newest) > 0 {
			at = w.Newest
		}
		dst := newStore(t, &memkv.Options{SingleRevision: true})
		_, err := c.Restore(t.Context(), varve.Cluster(dst), &varve.RestoreOptions{AsOf: at})
		require.NoError(t, err, "as of %s", at)
		var total int64
		for _, e := range dst.State(varve.Span{}) {
			total += int64(binary.BigEndian.Uint64(e.Value))
		}
		require.EqualValues(t, bankAccounts*bankBalance, total, "as of %s", at)
		audited++
	}
}
