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

// onlyFirst applies a fault to the first of some changes.
func onlyFirst(which func(change) bool, fault func(changes []change, i int) []change) func(export.Span, []change) []change {
	return func(_ export.Span, changes []change) []change {
		if i := slices.IndexFunc(changes, which); i >= 0 {
			return fault(changes, i)
		}
		return changes
	}
}

func dropped(changes []change, i int) []change { return slices.Delete(changes, i, i+1) }

func isNew(c change) bool    { return c.Kind == export.Set && c.former == nil }
func replaced(c change) bool { return c.Kind == export.Set && c.former != nil }
func isGone(c change) bool   { return c.Kind == export.Delete }

func tableFaults() []faultCase {
	return slices.Concat(overFaults(), choiceFaults(), readingFaults(), []faultCase{
		{"cancellation is ignored over tables", []string{"Tables/Cancelled"}, fault{tables: tableFault{deaf: true}}},
		{"a file is longer than its table", []string{"Tables/Over", "Tables/Bounds"}, fault{tables: tableFault{
			opening: func(text []byte) []byte { return append(text, '\n') },
		}}},
		{"a file is shorter than its table", []string{"Tables/Over", "Tables/Bounds"}, fault{tables: tableFault{
			opening: func(text []byte) []byte { return text[1:] },
		}}},
	})
}

func overFaults() []faultCase {
	over := func(name string, changing func(export.Span, []change) []change) faultCase {
		return faultCase{name, []string{"Tables/Over"}, fault{tables: tableFault{changing: changing}}}
	}
	return []faultCase{
		over("a key that no table has is missed", onlyFirst(isNew, dropped)),
		over("a new value is missed", onlyFirst(replaced, dropped)),
		over("a key that is gone is missed", onlyFirst(isGone, dropped)),
		over("a range key is missed", onlyFirst(func(c change) bool { return c.Kind == export.RangeKeySet }, dropped)),
		over("what was replaced is told wrong", onlyFirst(replaced, func(changes []change, i int) []change {
			changes[i].former.Value = append(changes[i].former.Value, '!')
			return changes
		})),
		over("what was replaced is not told", onlyFirst(replaced, func(changes []change, i int) []change {
			changes[i].former = nil
			return changes
		})),
		over("something is told to be replaced", onlyFirst(isNew, func(changes []change, i int) []change {
			former := changes[i].Clone()
			changes[i].former = &former
			return changes
		})),
		over("no change is one", onlyFirst(replaced, func(changes []change, i int) []change {
			changes[i].Value = changes[i].former.Value
			return changes
		})),
		over("keys outside of the span change", func(span export.Span, changes []change) []change {
			if len(span.Start) == 0 {
				return changes
			}
			return append([]change{{Entry: export.Entry{Kind: export.Set, Key: []byte("0")}}}, changes...)
		}),
		over("changes are out of order", func(_ export.Span, changes []change) []change {
			slices.Reverse(changes)
			return changes
		}),
	}
}

func choiceFaults() []faultCase {
	choice := func(name, check string, choosing func(all, chosen []*listTable) []*listTable) faultCase {
		return faultCase{name, []string{check}, fault{tables: tableFault{choosing: choosing}}}
	}
	each := func(edit func(*listTable)) func(all, chosen []*listTable) []*listTable {
		return func(_, chosen []*listTable) []*listTable {
			for _, t := range chosen {
				edit(t)
			}
			return chosen
		}
	}
	return []faultCase{
		choice("tables outside of the span are chosen", "Tables/Over", func(all, _ []*listTable) []*listTable { return all }),
		choice("tables of any size are chosen", "Tables/Bounds", func(all, _ []*listTable) []*listTable { return all }),
		choice("no table is ever chosen", "Tables/Over", func(_, _ []*listTable) []*listTable { return nil }),
		choice("tables descend", "Tables/Over", func(_, chosen []*listTable) []*listTable {
			slices.Reverse(chosen)
			return chosen
		}),
		choice("tables overlap", "Tables/Over", func(_, chosen []*listTable) []*listTable {
			for i := 1; i < len(chosen); i++ {
				chosen[i-1].info.Span.End = append(bytes.Clone(chosen[i].info.Span.Start), 0)
			}
			return chosen
		}),
		choice("a table is chosen twice", "Tables/Over", func(_, chosen []*listTable) []*listTable {
			return append(chosen, chosen[max(0, len(chosen)-1):]...)
		}),
		choice("a size is told wrong", "Tables/Bounds", each(func(t *listTable) { t.info.Bytes++ })),
		choice("a format is not told", "Tables/Over", each(func(t *listTable) { t.info.Format = "" })),
		choice("a table is of an upper level", "Tables/Over", each(func(t *listTable) { t.info.Level = 1 })),
		choice("a span is less than its table", "Tables/Over", each(func(t *listTable) {
			t.info.Span.End = t.entries[len(t.entries)-1].Key
		})),
	}
}

func readingFaults() []faultCase {
	reading := func(name string, read func([]export.Entry) []export.Entry) faultCase {
		return faultCase{name, []string{"Tables/Over"}, fault{tables: tableFault{reading: read}}}
	}
	return []faultCase{
		reading("an entry is hidden", func(entries []export.Entry) []export.Entry { return entries[1:] }),
		reading("an entry has another value", func(entries []export.Entry) []export.Entry {
			entries[0].Value = []byte("another")
			return entries
		}),
		reading("an entry is no set", func(entries []export.Entry) []export.Entry {
			entries[0].Kind = export.Delete
			return entries
		}),
		reading("a key comes twice", func(entries []export.Entry) []export.Entry {
			return slices.Insert(entries, 1, entries[0])
		}),
		reading("entries descend", func(entries []export.Entry) []export.Entry {
			slices.Reverse(entries)
			return entries
		}),
		{"a table that cannot be read is said to be unsound in other words", []string{"Tables/Over", "Tables/Bounds"}, fault{
			tables: tableFault{failing: errors.New("odd")},
		}},
	}
}
