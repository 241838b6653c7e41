package varve_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/mvcckv"
)

const (
	tellersDir = "VARVE_TELLERS_DIR" // tells the process that it is the victim
	tellers    = 2
)

// till is where a teller counts his transfers.
func till(i int) []byte { return fmt.Appendf(nil, "till/%d", i) }

func openBank(t *testing.T, dir string) *mvcckv.Store {
	t.Helper()
	s, err := mvcckv.Open(filepath.Join(dir, "db"), &mvcckv.Options{Pebble: &pebble.Options{Logger: quiet{}}})
	require.NoError(t, err)
	return s
}

// TestTellers is not a test but the process that the next one kills: a bank with tellers
// and somebody who hesitates, which is backed up, and forgets what it may.
func TestTellers(t *testing.T) {
	dir := os.Getenv(tellersDir)
	if dir == "" {
		t.Skip("is run by TestKilledBank")
	}
	store, ctx := openBank(t, dir), t.Context()
	_, err := store.Update(ctx, nil, func(tx *mvcckv.Tx) error { return foundBank(ctx, tx) })
	require.NoError(t, err)
	fmt.Println("ready")
	for i := range tellers {
		go teller(ctx, store, i)
	}
	go hesitate(ctx, store)
	for {
		kept := rand.IntN(4) > 0
		layer, err := varve.Backup(ctx, varve.Cluster(store), "file://"+filepath.Join(dir, "collection"), &varve.BackupOptions{
			RevisionHistory: true, TargetFileBytes: 4 << 10, Into: varve.Latest, FullEvery: 2 * time.Second, NoBase: !kept,
			Locks: varve.LockOptions{RetryDelay: time.Millisecond, PushAfter: 10 * time.Millisecond},
		})
		require.NoError(t, err)
		fmt.Println("done", layer.ID)
		_, err = store.Collect(ctx, export.At(time.Now()))
		require.NoError(t, err)
	}
}

// foundBank makes the accounts, once.
func foundBank(ctx context.Context, tx *mvcckv.Tx) error {
	_, err := tx.Get(ctx, till(0))
	if !errors.Is(err, mvcckv.ErrNotFound) {
		return err
	}
	var errs []error
	for i := range bankAccounts {
		errs = append(errs, tx.Put(ctx, account(i), balance(bankBalance)))
	}
	for i := range tellers {
		errs = append(errs, tx.Put(ctx, till(i), balance(0)))
	}
	return errors.Join(errs...)
}

// teller makes one transfer after the other, and says what was committed, and when.
func teller(ctx context.Context, store *mvcckv.Store, i int) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for {
		var count uint64
		at, err := store.Update(ctx, nil, func(tx *mvcckv.Tx) error {
			done, err := tx.Get(ctx, till(i))
			if err != nil {
				return err
			}
			count = binary.BigEndian.Uint64(done) + 1
			return errors.Join(pay(ctx, tx, rng, bankAccounts), tx.Put(ctx, till(i), balance(int64(count))))
		})
		if err != nil {
			panic(err)
		}
		fmt.Println("paid", i, count, at)
	}
}

// hesitate leaves half of a transfer for a while, which is committed, taken back or pushed.
func hesitate(ctx context.Context, store *mvcckv.Store) {
	for {
		tx, err := store.Begin(ctx, nil)
		if err == nil {
			err = halfTransfer(ctx, tx)
		}
		var retry *mvcckv.RetryError
		if err != nil && !errors.As(err, &retry) {
			panic(err)
		}
		if err := tx.Rollback(); err != nil {
			panic(err)
		}
	}
}

func halfTransfer(ctx context.Context, tx *mvcckv.Tx) error {
	from := rand.IntN(bankAccounts - 1)
	has, err := paid(ctx, tx, from)
	if err != nil {
		return err
	}
	if err := tx.Put(ctx, account(from), balance(0)); err != nil {
		return err
	}
	time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // the process may be killed meanwhile
	if rand.IntN(2) == 0 {
		return nil
	}
	other, err := paid(ctx, tx, from+1)
	if err == nil {
		err = tx.Put(ctx, account(from+1), balance(other+has))
	}
	if err == nil {
		_, err = tx.Commit(ctx)
	}
	return err
}

// TestKilledBank kills a process at random moments of its transactions and backups, with
// history, and wants each time: no commit lost and none undone by halves, locks resolved,
// the chain continued, and all the money at any moment of it.
func TestKilledBank(t *testing.T) {
	t.Parallel()
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay with: go test -run TestKilledBank . -args -crash.seed %d", seed)
	a := &auditor{T: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 1)), layers: map[string]*varve.Layer{}, reported: map[string]bool{}}
	typical := 50 * time.Millisecond
	deadline := time.Now().Add(time.Duration(*crashRounds) * time.Second / 2)
	rounds := 0
	for ; rounds < 5 || rounds < *crashRounds && time.Now().Before(deadline); rounds++ {
		typical = killOne(t, a.rng, "TestTellers", tellersDir+"="+a.dir, typical, a.report)
		a.inspect()
	}
	t.Logf("%d kills, %d left locks; %d layers, %d reported by victims, %d compared after a kill; %d and %d transfers; audited at %d moments",
		rounds, a.locked, len(a.layers), len(a.reported), a.compared, len(a.paid[0]), len(a.paid[1]), a.audited)
	require.Positive(t, a.locked, "some of the dead have left locks")
	require.Greater(t, len(a.layers), rounds, "victims have committed layers, too")
}

// auditor knows what the victims did.
type auditor struct {
	*testing.T
	dir      string
	rng      *rand.Rand
	paid     [tellers][]export.Timestamp // when each transfer was
	reported map[string]bool             // layers
	layers   map[string]*varve.Layer     // that were verified

	locked, compared, audited int
}

func (a *auditor) report(line string) {
	a.Helper()
	if id, ok := strings.CutPrefix(line, "done "); ok {
		a.reported[id] = true
		return
	}
	var i, n int
	var stamp string
	_, err := fmt.Sscanf(line, "paid %d %d %s", &i, &n, &stamp)
	require.NoError(a, err, line)
	at, err := export.ParseTimestamp(stamp)
	require.NoError(a, err)
	require.Len(a, a.paid[i], n-1)
	a.paid[i] = append(a.paid[i], at)
}

// inspect is the life after a kill. Who comes first across what the dead have left, a reader
// or the backup, is left to chance.
func (a *auditor) inspect() {
	a.Helper()
	store := openBank(a.T, a.dir)
	defer func() { require.NoError(a, store.Close()) }()
	locked := a.meetsLock(store)
	if locked {
		a.locked++
	}
	c, err := varve.OpenCollection(a.Context(), "file://"+filepath.Join(a.dir, "collection"), nil)
	require.NoError(a, err)
	defer func() { require.NoError(a, c.Close()) }()
	if a.rng.IntN(2) == 0 {
		a.count(a.scanned(store))
		require.False(a, a.meetsLock(store), "the reader has resolved it")
	}
	a.backup(c, store)
	require.False(a, a.meetsLock(store), "the backup has resolved it")
	a.count(a.scanned(store))
	a.verify(c)
	for range 6 {
		a.audit(c)
	}
}

// meetsLock reports whether an export that resolves nothing comes across a lock.
func (a *auditor) meetsLock(store *mvcckv.Store) bool {
	a.Helper()
	snapshot, err := store.Snapshot(a.Context(), export.SnapshotOptions{})
	require.NoError(a, err)
	_, err = kvtest.Collect(a.Context(), snapshot, export.Request{})
	require.NoError(a, snapshot.Close())
	var locked *export.LockedError
	if errors.As(err, &locked) {
		return true
	}
	require.NoError(a, err)
	return false
}

func (a *auditor) scanned(store *mvcckv.Store) []export.Entry {
	a.Helper()
	tx, err := store.Begin(a.Context(), nil)
	require.NoError(a, err)
	c, err := tx.Scan(a.Context(), varve.Span{})
	require.NoError(a, err)
	var all []export.Entry
	for c.Next() {
		all = append(all, c.Entry().Clone())
	}
	require.NoError(a, errors.Join(c.Err(), c.Close(), tx.Rollback()))
	return all
}

// count wants all the money, and every transfer that was reported: of one more of each
// teller the victim may not have got to speak.
func (a *auditor) count(all []export.Entry) {
	a.Helper()
	a.requireTotal(all, "now")
	for i, done := range tills(all) {
		n := int(binary.BigEndian.Uint64(done.Value))
		if n == len(a.paid[i])+1 {
			a.paid[i] = append(a.paid[i], done.Timestamp)
		}
		require.Len(a, a.paid[i], n, "teller %d", i)
		if n > 0 {
			require.Equal(a, a.paid[i][n-1], done.Timestamp)
		}
	}
}

// tills are what the tellers counted.
func tills(all []export.Entry) []export.Entry { return all[len(all)-tellers:] }

func (a *auditor) requireTotal(all []export.Entry, when any) {
	a.Helper()
	require.Greater(a, len(all), tellers, "as of %s", when)
	var total int64
	for _, e := range all[:len(all)-tellers] {
		total += int64(binary.BigEndian.Uint64(e.Value))
	}
	require.EqualValues(a, bankAccounts*bankBalance, total, "as of %s", when)
}

// backup wants the chain to go on, with history, or with the report that it is gone.
func (a *auditor) backup(c *varve.Collection, store *mvcckv.Store) {
	a.Helper()
	opts := &varve.BackupOptions{
		RevisionHistory: true, TargetFileBytes: 4 << 10, Into: varve.Latest,
		Locks: varve.LockOptions{RetryDelay: time.Millisecond, PushAfter: time.Millisecond},
	}
	parent, err := c.Layer(a.Context(), varve.Latest)
	if errors.Is(err, varve.ErrNoLayer) {
		opts.Into, parent, err = "", new(varve.Layer), nil
	}
	require.NoError(a, err)
	layer, err := c.Backup(a.Context(), varve.Cluster(store), opts)
	require.NoError(a, err)
	require.Equal(a, parent.ID, layer.ParentID)
	switch layer.Stats.Changes {
	case varve.FromChain:
		a.compared++
		require.Equal(a, layer.End, layer.Manifest.Oldest, "no window")
	case varve.Revisions:
		require.Equal(a, parent.End, layer.Manifest.Oldest, "no gap")
	default:
		require.Equal(a, varve.Everything, layer.Stats.Changes)
	}
	a.reported[layer.ID] = true
}

// verify wants every layer whole: those that were there before, those that were reported,
// and what a victim may have committed with its last breath.
func (a *auditor) verify(c *varve.Collection) {
	a.Helper()
	for l, err := range c.Layers(a.Context()) {
		require.NoError(a, err)
		level := varve.VerifyHash
		if a.layers[l.ID] == nil {
			level = varve.VerifyDigest
			a.layers[l.ID], err = c.Layer(a.Context(), l.ID)
			require.NoError(a, err)
		}
		if level == varve.VerifyDigest || a.rng.IntN(4) == 0 {
			_, err := c.Verify(a.Context(), l.ID, &varve.VerifyOptions{Level: level})
			require.NoError(a, err)
		}
	}
	for id := range a.reported {
		require.Contains(a, a.layers, id, "was reported")
	}
}

// audit restores a moment out of the window of a layer: that of some transfer, or any.
func (a *auditor) audit(c *varve.Collection) {
	a.Helper()
	var windows []*varve.Layer
	for l, err := range c.Layers(a.Context()) {
		require.NoError(a, err)
		windows = append(windows, a.layers[l.ID])
	}
	l := windows[a.rng.IntN(len(windows))]
	at, oldest := l.End, l.Manifest.Oldest
	first := sort.Search(len(a.paid[0]), func(i int) bool { return a.paid[0][i].Compare(oldest) > 0 })
	after := sort.Search(len(a.paid[0]), func(i int) bool { return a.paid[0][i].Compare(l.End) > 0 })
	if first < after {
		at = a.paid[0][first+a.rng.IntN(after-first)]
		if a.rng.IntN(2) == 0 {
			at.WallNanos += a.rng.Int64N(l.End.WallNanos - at.WallNanos + 1)
		}
		if at.Compare(l.End) > 0 {
			at = l.End
		}
	}
	dst := newStore(a, &memkv.Options{SingleRevision: true})
	_, err := c.Restore(a.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: l.ID, AsOf: at})
	require.NoError(a, err, "as of %s", at)
	all := stateOf(dst)
	a.requireTotal(all, at)
	for i, done := range tills(all) {
		want := sort.Search(len(a.paid[i]), func(n int) bool { return a.paid[i][n].Compare(at) > 0 })
		require.EqualValues(a, want, binary.BigEndian.Uint64(done.Value), "teller %d as of %s", i, at)
	}
	a.audited++
}
