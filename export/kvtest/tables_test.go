package kvtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/varvekv/varve/export"
)

// tableFault is a way in which a TableExporter is wrong. Its functions may be nil.
type tableFault struct {
	choosing func(all, chosen []*listTable) []*listTable
	reading  func([]export.Entry) []export.Entry // what a table says that it holds
	failing  error                               // of its cursor, at the end
	opening  func([]byte) []byte
	changing func(export.Span, []change) []change
	deaf     bool // to cancellation
}

// change is an entry of Changes, with what it replaced.
type change struct {
	export.Entry
	former *export.Entry
}

// tableSnapshot shows a state as if it had been compacted long ago: its tables lack
// keys, have others that are gone, and former values.
type tableSnapshot struct {
	export.Snapshot
	fault tableFault
}

var _ export.TableExporter = tableSnapshot{}

const tableKeys = 8 // of each

func (s tableSnapshot) Tables(ctx context.Context, span export.Span, least, most int64) ([]export.Table, error) {
	state, err := Collect(ctx, s.Snapshot, export.Request{})
	if err != nil {
		return nil, err
	}
	var all, chosen []*listTable
	for keys := range slices.Chunk(pointsOf(state), tableKeys) {
		all = append(all, newListTable(age(keys), s.fault))
	}
	for _, t := range all {
		if size := t.info.Bytes; least <= size && size <= most && span.Covers(nil, t.info.Span) {
			chosen = append(chosen, t)
		}
	}
	if s.fault.choosing != nil {
		chosen = s.fault.choosing(all, chosen)
	}
	tables := make([]export.Table, len(chosen))
	for i, t := range chosen {
		tables[i] = t
	}
	return tables, nil
}

func pointsOf(state []export.Entry) []export.Entry {
	return slices.DeleteFunc(state, func(e export.Entry) bool { return e.Kind.IsRange() })
}

// age makes of keys what stood there before.
func age(keys []export.Entry) []export.Entry {
	var aged []export.Entry
	for i, e := range keys {
		switch i % 5 {
		case 1:
			continue
		case 2:
			e.Value = append([]byte("once "), e.Value...)
		case 3:
			gone := e.Clone()
			gone.Key = append(gone.Key, "-gone"...)
			aged = append(aged, e, gone)
			continue
		}
		aged = append(aged, e)
	}
	return aged
}

func (s tableSnapshot) Over(ctx context.Context, span export.Span, tables []export.Table, _ bool) (export.Changes, error) {
	if s.fault.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	state, err := Collect(ctx, s.Snapshot, export.Request{Span: span})
	if err != nil {
		return nil, err
	}
	var under []export.Entry
	for _, t := range tables {
		under = append(under, t.(*listTable).entries...)
	}
	slices.SortFunc(under, func(a, b export.Entry) int { return bytes.Compare(a.Key, b.Key) })
	compared := export.Compare(nil, &listCursor{entries: under, at: -1}, &listCursor{entries: state, at: -1})
	var changes []change
	for compared.Next() {
		c := change{Entry: compared.Entry().Clone()}
		if f := compared.Former(); f != nil {
			former := f.Clone()
			c.former = &former
		}
		changes = append(changes, c)
	}
	if s.fault.changing != nil {
		changes = s.fault.changing(span, changes)
	}
	return &changeCursor{changes: changes, at: -1}, errors.Join(compared.Err(), compared.Close())
}

// changeCursor yields changes of a list.
type changeCursor struct {
	changes []change
	at      int
}

func (c *changeCursor) Next() bool {
	c.at++
	return c.at < len(c.changes)
}

func (c *changeCursor) Entry() *export.Entry  { return &c.changes[c.at].Entry }
func (c *changeCursor) Former() *export.Entry { return c.changes[c.at].former }
func (c *changeCursor) Err() error            { return nil }
func (c *changeCursor) Close() error          { return nil }

// listTable is a table in memory.
type listTable struct {
	info    export.TableInfo
	entries []export.Entry
	fault   tableFault
}

func newListTable(entries []export.Entry, f tableFault) *listTable {
	t := &listTable{entries: entries, fault: f}
	last := entries[len(entries)-1].Key
	t.info = export.TableInfo{
		Span:   export.Span{Start: entries[0].Key, End: append(bytes.Clone(last), 0)},
		Format: "list", Bytes: int64(len(t.text())),
	}
	return t
}

func (t *listTable) text() []byte {
	var text []byte
	for i := range t.entries {
		text = append(append(text, line(&t.entries[i])...), '\n')
	}
	return text
}

func (t *listTable) Info() export.TableInfo { return t.info }

func (t *listTable) Open() (io.ReadCloser, error) {
	text := t.text()
	if t.fault.opening != nil {
		text = t.fault.opening(text)
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

func (t *listTable) Entries(ctx context.Context) (export.Cursor, error) {
	if err := ctx.Err(); err != nil && !t.fault.deaf {
		return nil, err
	}
	entries := slices.Clone(t.entries)
	if t.fault.reading != nil {
		entries = t.fault.reading(entries)
	}
	return failingCursor{&listCursor{entries: entries, at: -1}, t.fault.failing}, nil
}

// failingCursor ends with an error.
type failingCursor struct {
	*listCursor
	err error
}

func (c failingCursor) Err() error { return c.err }
