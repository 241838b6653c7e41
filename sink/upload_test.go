package sink_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// noise is n sets of 10 KB that do not compress.
func noise(n int) (all []export.Entry) {
	w := newWorld(9, sink.Form{})
	for i := range n {
		all = append(all, export.Entry{Kind: export.Set, Key: prefix(i), Value: w.noise(10_000)})
	}
	return all
}

// add adds entries until that fails.
func add(w *sink.Writer, entries []export.Entry) error {
	for i := range entries {
		if err := w.Add(&entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// leavesNothing runs do and waits until as many goroutines are left as there were.
// Tests that use it are not parallel. (Pebble's pools forbid a synctest bubble.)
func leavesNothing(t *testing.T, do func()) {
	t.Helper()
	before := runtime.NumGoroutine()
	do()
	for range 100_000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	stacks := make([]byte, 1<<20)
	t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
}

// TestAbort: wherever a writer is given up, the file it was in does not appear, and
// no goroutine is left.
func TestAbort(t *testing.T) {
	entries := noise(400)
	for _, n := range []int{0, 1, 50, 60, 199, 399, 400} {
		for _, target := range []int64{1 << 20, 1 << 30} {
			leavesNothing(t, func() {
				bucket, faults := memory(t)
				var stored []string
				w, err := begin(t.Context(), bucket, export.Span{}, sink.Options{
					TargetBytes: target, Wrote: func(f sink.File) { stored = append(stored, f.Path) },
				})
				require.NoError(t, err)
				require.NoError(t, add(w, entries[:n]))
				w.Abort()
				w.Abort()
				require.Equal(t, stored, faults.Keys())
				require.Error(t, w.Add(&entries[0]))
				_, err = w.Finish()
				require.Error(t, err)
			})
		}
	}
}

func TestAbortAfterFinish(t *testing.T) {
	t.Parallel()
	bucket, faults := memory(t)
	w, err := begin(t.Context(), bucket, export.Span{}, sink.Options{})
	require.NoError(t, err)
	require.NoError(t, add(w, noise(3)))
	_, err = w.Finish()
	require.NoError(t, err)
	w.Abort()
	require.Len(t, faults.Keys(), 1)
	_, err = w.Finish()
	require.Error(t, err)
}

func TestCancelledWriter(t *testing.T) {
	entries := noise(400)
	for _, n := range []int{0, 1, 100, 400} {
		leavesNothing(t, func() {
			bucket, faults := memory(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			w, err := begin(ctx, bucket, export.Span{}, sink.Options{})
			require.NoError(t, err)
			defer w.Abort()
			require.NoError(t, add(w, entries[:n]))
			cancel(errors.New("a sibling failed"))
			if err = add(w, entries[n:]); err == nil {
				_, err = w.Finish()
			}
			require.ErrorIs(t, err, context.Canceled)
			w.Abort()
			require.Empty(t, faults.Keys())
		})
	}
}

// TestUploadFails: whatever storage does to whichever object, its error is told, at
// the latest by Finish, and goes on to be told.
func TestUploadFails(t *testing.T) {
	entries := noise(400)
	for _, kind := range []faultblob.FaultKind{faultblob.Lost, faultblob.Denied} {
		for object := range 4 {
			leavesNothing(t, func() {
				bucket, faults := memory(t)
				faults.Inject(func(op faultblob.Op) faultblob.Fault {
					if op.Kind == faultblob.Put && op.Key == name(object) {
						return faultblob.Fault{Kind: kind}
					}
					return faultblob.Fault{}
				})
				w, err := begin(t.Context(), bucket, export.Span{}, sink.Options{TargetBytes: 1 << 20})
				require.NoError(t, err)
				defer w.Abort()
				addErr := add(w, entries)
				_, err = w.Finish()
				require.ErrorIs(t, err, faultblob.ErrInjected)
				require.ErrorContains(t, err, name(object))
				if addErr != nil {
					require.Equal(t, addErr, err)
				}
				if kind == faultblob.Denied {
					require.ErrorIs(t, err, objectio.ErrDenied)
				}
				require.Len(t, faults.Keys(), object)
			})
		}
	}
}

// TestReplyLost: an object that is stored although its upload failed is ours.
func TestReplyLost(t *testing.T) {
	t.Parallel()
	bucket, faults := memory(t)
	faults.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Put {
			return faultblob.Fault{Kind: faultblob.Applied}
		}
		return faultblob.Fault{}
	})
	require.Len(t, write(t, bucket, export.Span{}, noise(3), sink.Options{}).Files, 1)
}

// TestUploadFailsHalfWay: storage that takes no more ends the writer long before the
// file would have.
func TestUploadFailsHalfWay(t *testing.T) {
	entries := noise(1000)
	for _, after := range []int64{1, 600 << 10, 3 << 20} {
		leavesNothing(t, func() {
			v := newVoid()
			v.failAfter = after
			w, err := begin(t.Context(), v.open(), export.Span{}, sink.Options{})
			require.NoError(t, err)
			defer w.Abort()
			require.ErrorIs(t, add(w, entries), errVoid)
			_, err = w.Finish()
			require.ErrorIs(t, err, errVoid)
		})
	}
}

func TestStoredSizeDiffers(t *testing.T) {
	t.Parallel()
	for _, lie := range []int64{-1, 1} {
		v := newVoid()
		v.lie = lie
		w, err := begin(t.Context(), v.open(), export.Span{}, sink.Options{})
		require.NoError(t, err)
		defer w.Abort()
		require.NoError(t, add(w, noise(3)))
		_, err = w.Finish()
		require.ErrorIs(t, err, objectio.ErrSize)
	}
}

// TestUnwritable: what no table can hold is refused by name, not stored unreadably.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	bad := map[string]func() []export.Entry{
		"descending": func() []export.Entry { e := noise(2); return []export.Entry{e[1], e[0]} },
		"twice":      func() []export.Entry { e := noise(1); return []export.Entry{e[0], e[0]} },
		"before 1970": func() []export.Entry {
			e := noise(3)
			e[1].Timestamp.WallNanos = -1
			return e
		},
	}
	for name, entries := range bad {
		for _, form := range []sink.Form{{}, {Revisions: true}} {
			bucket, faults := memory(t)
			w, err := begin(t.Context(), bucket, export.Span{}, sink.Options{Form: form})
			require.NoError(t, err)
			defer w.Abort()
			require.ErrorContains(t, add(w, entries()), "k00000", name)
			w.Abort()
			require.Empty(t, faults.Keys())
		}
	}
}
