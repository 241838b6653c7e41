package merge_test

import (
	"slices"

	"github.com/varvekv/varve/export"
)

// slice is a cursor over entries that takes the rules at their word: what it handed
// out is spoilt by its next call, and it counts how often it is closed.
type slice struct {
	entries []export.Entry
	failAt  int // which call of Next fails, from 1; 0: none
	fail    error
	onClose error

	calls, closed int
	entry         export.Entry
	err           error
}

func (s *slice) Next() bool {
	s.spoil()
	s.calls++
	if s.calls == s.failAt {
		s.err = s.fail
	}
	if s.err != nil || s.closed > 0 || len(s.entries) == 0 {
		return false
	}
	s.entry, s.entries = copyOf(s.entries[0]), s.entries[1:]
	return true
}

func (s *slice) spoil() {
	for _, b := range [][]byte{s.entry.Key, s.entry.End, s.entry.Suffix, s.entry.Value} {
		for i := range b {
			b[i] = 0xee
		}
	}
	s.entry = export.Entry{}
}

func (s *slice) Entry() *export.Entry { return &s.entry }
func (s *slice) Err() error           { return s.err }

func (s *slice) Close() error {
	s.spoil()
	s.closed++
	return s.onClose
}

func copyOf(e export.Entry) export.Entry {
	e.Key, e.End = slices.Clone(e.Key), slices.Clone(e.End)
	e.Suffix, e.Value = slices.Clone(e.Suffix), slices.Clone(e.Value)
	return e
}

// drain copies what a cursor yields and closes it.
func drain(c export.Cursor) (all []export.Entry, err, closeErr error) {
	for c.Next() {
		all = append(all, copyOf(*c.Entry()))
	}
	return all, c.Err(), c.Close()
}
