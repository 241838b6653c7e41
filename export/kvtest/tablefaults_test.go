package kvtest

import (
	"bytes"
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
)

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
