package varve_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestBytesPerSecond: no more passes than was allowed, after a first burst. It takes real
// time: tables of more than a block are not written in a bubble of synctest, for Pebble's
// pools carry its channels out of it.
func TestBytesPerSecond(t *testing.T) {
	t.Parallel()
	src := newStore(t, &memkv.Options{SingleRevision: true})
	rng := rand.NewChaCha8([32]byte{})
	for i := range 100 {
		value := make([]byte, 10_000)
		rng.Read(value)
		src.Set(fmt.Appendf(nil, "%03d", i), value)
	}
	const rate, least = 400_000, 1.4 // of a megabyte, the burst of a second is free
	c := collectionIn(t, faultblob.New(t, nil), nil)
	scratch := newStore(t, &memkv.Options{SingleRevision: true})
	_, err := c.Backup(t.Context(), varve.Cluster(src), nil)
	require.NoError(t, err)
	for name, run := range map[string]func() error{
		"backup": func() error {
			_, err := c.Backup(t.Context(), varve.Cluster(src), &varve.BackupOptions{BytesPerSecond: rate})
			return err
		},
		"restore": func() error {
			_, err := c.Restore(t.Context(), varve.Cluster(scratch), &varve.RestoreOptions{BytesPerSecond: rate, Replace: true})
			return err
		},
		"verify": func() error {
			_, err := c.Verify(t.Context(), "", &varve.VerifyOptions{BytesPerSecond: rate})
			return err
		},
	} {
		begun := time.Now()
		require.NoError(t, run())
		require.Greater(t, time.Since(begun).Seconds(), least, name)
		require.Less(t, time.Since(begun).Seconds(), 20*least, name)
	}
}

// chronicle is what Events told.
type chronicle struct {
	t        *testing.T
	calls    sync.Mutex
	progress []varve.ProgressInfo
	files    map[string]int
	layers   []string
}

func (c *chronicle) events() *varve.Events {
	c.files = map[string]int{}
	return &varve.Events{
		Progress: func(p varve.ProgressInfo) { c.alone(func() { c.progress = append(c.progress, p) }) },
		File:     func(f varve.FileInfo) { c.alone(func() { c.files[f.Path]++ }) },
		Layer:    func(l varve.LayerInfo) { c.alone(func() { c.layers = append(c.layers, l.ID) }) },
	}
}

// alone fails the test if another call is under way.
func (c *chronicle) alone(f func()) {
	if !c.calls.TryLock() {
		c.t.Error("two calls of Events at once")
		return
	}
	defer c.calls.Unlock()
	runtime.Gosched()
	f()
}

// require wants each phase to grow and to end, each file once, the layer once.
func (c *chronicle) require(layer *varve.Layer, phases ...varve.Phase) {
	c.t.Helper()
	var seen []varve.Phase
	for i, p := range c.progress {
		if i == 0 || c.progress[i-1].Phase != p.Phase {
			seen = append(seen, p.Phase)
		} else {
			require.GreaterOrEqual(c.t, p.Done, c.progress[i-1].Done)
			require.GreaterOrEqual(c.t, p.Elapsed, c.progress[i-1].Elapsed)
		}
		require.LessOrEqual(c.t, p.Done, p.Total)
		if i == len(c.progress)-1 || c.progress[i+1].Phase != p.Phase {
			require.Equal(c.t, p.Total, p.Done, "%s ends", p.Phase)
			require.Positive(c.t, p.Done)
		}
	}
	require.Equal(c.t, phases, seen)
	require.Greater(c.t, len(c.progress), len(phases), "progress is told on the way, too")
	require.Len(c.t, c.files, int(layer.Stats.Files))
	for path, n := range c.files {
		require.Equal(c.t, 1, n, path)
	}
	require.Equal(c.t, []string{layer.ID}, c.layers)
}

// TestEvents: with a clock that leaps, progress is told at every step.
func TestEvents(t *testing.T) {
	t.Parallel()
	var seconds atomic.Int64
	now := func() time.Time { return time.Unix(seconds.Add(1), 0) }
	c := collectionIn(t, faultblob.New(t, nil), &varve.CollectionOptions{Now: now})
	src := pieced(t, 5000, 1)
	heard := &chronicle{t: t}
	layer, err := c.Backup(t.Context(), varve.Cluster(src), &varve.BackupOptions{
		Concurrency: 8, TargetFileBytes: 8 << 10, Audit: true, Events: heard.events(),
	})
	require.NoError(t, err)
	heard.require(layer, varve.PhaseExport, varve.PhaseAudit)

	for level := varve.VerifyExists; level <= varve.VerifyRehearsal; level++ {
		heard = &chronicle{t: t}
		_, err = c.Verify(t.Context(), "", &varve.VerifyOptions{
			Level: level, Concurrency: 8, Scratch: newStore(t, &memkv.Options{SingleRevision: true}), Events: heard.events(),
		})
		require.NoError(t, err)
		heard.require(layer, varve.PhaseVerify)
	}

	for _, dst := range []varve.Targets{
		varve.Cluster(newStore(t, &memkv.Options{SingleRevision: true})),
		varve.Cluster(pebblekv.Dir(filepath.Join(t.TempDir(), "db"), nil)),
	} {
		heard = &chronicle{t: t}
		restored, err := c.Restore(t.Context(), dst, &varve.RestoreOptions{Concurrency: 8, Events: heard.events()})
		require.NoError(t, err)
		heard.require(layer, varve.PhaseLoad)
		require.Equal(t, layer.Stats.Files, restored.Stats.Files)
		require.Equal(t, layer.Stats.Keys, restored.Stats.Keys)
		require.Equal(t, layer.Stats.StoredBytes, restored.Stats.StoredBytes)
	}
}

// TestEventsOfAnInstant: each phase tells at least of its end.
func TestEventsOfAnInstant(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	c := collectionIn(t, faultblob.New(t, nil), &varve.CollectionOptions{Now: func() time.Time { return now }})
	heard := &chronicle{t: t}
	_, err := c.Backup(t.Context(), varve.Cluster(pieced(t, 1000, 1)), &varve.BackupOptions{TargetFileBytes: 8 << 10, Audit: true, Events: heard.events()})
	require.NoError(t, err)
	_, err = c.Restore(t.Context(), varve.Cluster(newStore(t, nil)), &varve.RestoreOptions{Events: heard.events()})
	require.NoError(t, err)
	_, err = c.Verify(t.Context(), "", &varve.VerifyOptions{Events: heard.events()})
	require.NoError(t, err)
	var phases []varve.Phase
	for _, p := range heard.progress {
		phases = append(phases, p.Phase)
	}
	require.Equal(t, []varve.Phase{varve.PhaseExport, varve.PhaseAudit, varve.PhaseLoad, varve.PhaseVerify}, phases)
}

// TestEventsOfSpans: two parts of one file are still one file.
func TestEventsOfSpans(t *testing.T) {
	t.Parallel()
	c := collectionIn(t, faultblob.New(t, nil), nil)
	src := pieced(t, 1000, 1)
	layer, err := c.Backup(t.Context(), varve.Cluster(src), nil)
	require.NoError(t, err)
	require.Equal(t, int64(1), layer.Stats.Files)
	heard := &chronicle{t: t}
	dst := newStore(t, &memkv.Options{SingleRevision: true})
	spans := []varve.Span{{Start: []byte("key-000100"), End: []byte("key-000200")}, {Start: []byte("key-000300"), End: []byte("key-000310")}}
	restored, err := c.Restore(t.Context(), varve.Spans(dst, spans...), &varve.RestoreOptions{Events: heard.events()})
	require.NoError(t, err)
	var sets int64
	for _, e := range stateOf(dst) {
		if e.Kind.IsRange() {
			continue
		}
		sets++
	}
	require.Equal(t, sets, restored.Stats.Keys)
	require.Equal(t, int64(1), restored.Stats.Files)
	for path, n := range heard.files {
		require.Equal(t, 1, n, path)
	}
}
