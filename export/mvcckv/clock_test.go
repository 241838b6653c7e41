package mvcckv_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

// TestClockSetBack: timestamps go on, while the store is open and over restarts, clean
// or not.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		fs, now := vfs.NewCrashableMem(), newWall()
		opts := options(fs)
		opts.Now = now.Now
		s := newStore(t, opts)
		var last export.Timestamp
		step := func(s *mvcckv.Store) {
			t.Helper()
			at := set(t, s, "a", "1")
			require.Positive(t, at.Compare(last), "%s after %s", at, last)
			tx := begin(t, s, nil)
			require.GreaterOrEqual(t, tx.Timestamp().Compare(at), 0)
			require.NoError(t, tx.Rollback())
			last = tx.Timestamp()
		}
		for _, d := range []time.Duration{0, 10 * time.Second, -time.Hour, time.Millisecond, 2 * time.Hour, -300 * 24 * time.Hour} {
			now.add(d)
			for range 3 {
				step(s)
			}
			if !crash {
				s = reopen(t, s, opts)
			} else {
				opts = options(fs.CrashClone(vfs.CrashCloneCfg{}))
				fs, opts.Now = opts.Pebble.FS.(*vfs.MemFS), now.Now
				s = open(t, opts)
			}
			now.add(-time.Minute)
			step(s)
		}
	}
}

// TestClockCatchesUp: clean restarts do not add up.
func TestClockCatchesUp(t *testing.T) {
	t.Parallel()
	now := newWall()
	opts := options(vfs.NewMem())
	opts.Now = now.Now
	s := newStore(t, opts)
	for range 20 {
		set(t, s, "a", "1")
		s = reopen(t, s, opts)
	}
	ahead := set(t, s, "a", "1").Time().Sub(now.Now())
	require.Less(t, ahead, time.Second)
}

// TestBeforeEpoch: a wall clock that stands before all timestamps there can be.
func TestBeforeEpoch(t *testing.T) {
	t.Parallel()
	opts := options(vfs.NewMem())
	opts.Now = func() time.Time { return time.Unix(-5, 0) }
	s := newStore(t, opts)
	first := set(t, s, "a", "1")
	require.Positive(t, set(t, s, "a", "2").Compare(first))
	require.Equal(t, []string{"set a=2"}, holds(t, s))
}

func TestOptions(t *testing.T) {
	t.Parallel()
	_, err := mvcckv.Open(dbDir, &mvcckv.Options{SnapshotMaxAge: -1})
	require.ErrorContains(t, err, "SnapshotMaxAge")
}
