package pebblekv_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
)

// littleTables makes tables of a kilobyte, in several blocks.
func littleTables(o *pebble.Options) *pebble.Options {
	for level := range o.TargetFileSizes {
		o.TargetFileSizes[level], o.Levels[level].BlockSize = 1<<10, 256
	}
	o.DisableAutomaticCompactions = true
	return o
}

// bed is a database of which a thousand keys have sunk to the bottom.
type bed struct {
	*rig
	key func(i int) []byte
}

const bedKeys = 1000

func newBed(t *testing.T, o *pebble.Options, key func(i int) []byte) *bed {
	t.Helper()
	b := &bed{rig: newRig(t, littleTables(o)), key: key}
	b.write(t, 0, bedKeys)
	b.compact(t)
	return b
}

func (b *bed) write(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		value := fmt.Appendf(nil, "%d of %d", i, b.tables)
		require.NoError(t, b.db.Set(b.key(i), value, pebble.NoSync))
	}
	b.tables++ // values differ from time to time
}

func (b *bed) compact(t *testing.T) {
	t.Helper()
	require.NoError(t, b.db.Flush())
	require.NoError(t, b.db.Compact(t.Context(), []byte("\x00"), []byte("z\x00"), false)) // bare prefixes of any order here
}

// bottom are the tables of the bottom level, as Pebble lists them.
func (b *bed) bottom(t *testing.T) []pebble.SSTableInfo {
	t.Helper()
	levels, err := b.db.SSTables(pebble.WithProperties())
	require.NoError(t, err)
	return levels[6]
}

// choice is what a snapshot of the database chooses of span, which it makes the state
// of span with what lies over it.
func (b *bed) choice(t *testing.T, span export.Span, least, most int64) []export.TableInfo {
	t.Helper()
	s := b.snapshot(t, export.SnapshotOptions{})
	defer func() { require.NoError(t, s.Close()) }()
	exporter := s.(export.TableExporter)
	tables, err := exporter.Tables(t.Context(), span, least, most)
	require.NoError(t, err)
	var infos []export.TableInfo
	var made []export.Entry
	for _, table := range tables {
		infos = append(infos, table.Info())
		c, err := table.Entries(t.Context())
		require.NoError(t, err)
		made = append(made, drain(t, c)...)
	}
	changes, err := exporter.Over(t.Context(), span, tables, true)
	require.NoError(t, err)
	info, err := b.store.Info(t.Context())
	require.NoError(t, err)
	want, err := kvtest.Collect(t.Context(), s, export.Request{Span: span})
	require.NoError(t, err)
	require.Equal(t, texts(kvtest.Canonical(info.Order, want)), texts(kvtest.Apply(info.Order, made, drain(t, changes))))
	return infos
}

func (b *bed) all(t *testing.T) []export.TableInfo {
	t.Helper()
	return b.choice(t, export.Span{}, 1, math.MaxInt64)
}

func drain(t *testing.T, c export.Cursor) []export.Entry {
	t.Helper()
	var all []export.Entry
	for c.Next() {
		all = append(all, c.Entry().Clone())
	}
	require.NoError(t, c.Err())
	require.NoError(t, c.Close())
	return all
}

func texts(entries []export.Entry) []string {
	out := make([]string, len(entries))
	for i := range entries {
		out[i] = line(&entries[i])
	}
	return out
}
