package varve_test

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

// TestTouchingSpans: spans that touch are several all the same. Work is cut where one
// ends, however little there is in it, so that each file lies in one of them.
func TestTouchingSpans(t *testing.T) {
	t.Parallel()
	left := varve.Span{Start: []byte("key-000010"), End: []byte("key-000040")}
	right := varve.Span{Start: left.End, End: []byte("key-000070")}
	far := varve.Span{Start: right.End, End: []byte("key-000080")}
	farther := varve.Span{Start: far.End}
	for name, noBase := range map[string]bool{"base": false, "no base": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, varve.BackupOptions{NoBase: noBase, Audit: true})
			s.opts.Events = &varve.Events{File: func(f varve.FileInfo) {
				require.True(t, slices.ContainsFunc(s.spans, func(of varve.Span) bool { return of.Covers(nil, f.Span) }), "file of %s", f.Span)
			}}
			for i, spans := range [][]varve.Span{
				{left, right},                         // of a full
				{left, right},                         // kept
				{{Start: left.Start, End: right.End}}, // kept, as one
				{left, right, far, farther},           // kept of one, and introduced
				{left, right, {Start: far.Start}},     // kept, two as one
			} {
				s.spans = spans
				require.NoError(t, s.backup())
				s.opts.Into = varve.Latest
				s.change(uint64(i))
				dir := pebblekv.Dir("new", &pebblekv.Options{Pebble: &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}}})
				_, err := s.collection().Restore(t.Context(), varve.Spans(dir, spans...), &varve.RestoreOptions{Prove: true})
				require.NoError(t, err)
			}
			s.requireWhole()
		})
	}
}
