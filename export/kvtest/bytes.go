package kvtest

import (
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func bytesChecks() []check {
	return []check{
		{"E7/Cursor", checkCursorBytes},
		{"E7/Loader", checkLoaderBytes},
	}
}

// checkCursorBytes looks at an entry again after everything else has moved.
func checkCursorBytes(w *world) {
	w.fill()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	c, err := s.Export(w.ctx, export.Request{})
	require.NoError(w, err)
	defer w.closing(c)
	other, err := s.Export(w.ctx, export.Request{})
	require.NoError(w, err)
	defer w.closing(other)
	require.True(w, other.Next(), "it goes ahead by one")
	for n := 0; c.Next(); n++ {
		before := clone(c.Entry())
		other.Next()
		w.set(name(n%samples), n%3, "meanwhile")
		if n%60 == 0 {
			w.shake()
		}
		require.Equal(w, before, clone(c.Entry()))
		require.Equal(w, before.Key, append([]byte(nil), c.Entry().Position().Key...))
	}
	require.NoError(w, c.Err())
	require.NoError(w, other.Err())
}

// checkLoaderBytes overwrites the bytes of every entry when it was added.
func checkLoaderBytes(w *world) {
	w.fill()
	want := w.state()
	destination := w.empty()
	span := w.span("a", "z")
	in := w.ingest(destination, export.IngestOptions{Spans: []export.Span{span}})
	defer w.aborting(in)
	l, err := in.Load(w.ctx, span)
	require.NoError(w, err)
	for i := range want {
		e := clone(&want[i])
		require.NoError(w, l.Add(&e))
		spoil(e.Key, e.End, e.Suffix, e.Value)
	}
	require.NoError(w, l.Finish())
	require.NoError(w, in.Commit(w.ctx))
	w.same(want, w.holds(destination))
}

func spoil(all ...[]byte) {
	for _, b := range all {
		for i := range b {
			b[i] = 0xcc
		}
	}
}
