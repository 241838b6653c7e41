package pebblekv

import "github.com/varvekv/varve/export"

// lookup finds values in a state, of keys that ascend.
type lookup struct {
	state  state
	cmp    func(a, b []byte) int
	span   export.Span
	it     pointIterator // nil: nothing was asked for yet
	placed bool          // at the first key at or after the last one asked for

	near  bool // the next one is a few keys ahead, as a rule
	seeks int
}

// To step over a key costs a small part of what a search does. Whether keys that
// are asked for lie close together is tried out every so many searches.
const (
	nearSteps  = 16
	probeEvery = 32
)

// get is the value that a reader finds, valid until the next call.
func (l *lookup) get(key []byte) (value []byte, live bool, err error) {
	if l.it == nil {
		if l.it, err = l.state.points(l.span); err != nil {
			return nil, false, err
		}
		l.placed = l.it.SeekGE(key)
	} else if l.placed {
		l.advance(key)
	}
	if !l.placed {
		return nil, false, l.it.Error()
	}
	if l.cmp(l.it.Key(), key) != 0 {
		return nil, false, nil
	}
	value, err = l.it.ValueAndErr()
	return value, err == nil, err
}

// advance moves to the first key at or after key.
func (l *lookup) advance(key []byte) {
	if l.cmp(l.it.Key(), key) >= 0 {
		return
	}
	if l.near {
		for range nearSteps {
			if l.placed = l.it.Next(); !l.placed || l.cmp(l.it.Key(), key) >= 0 {
				return
			}
		}
		l.near = false
	}
	l.placed = l.it.SeekGE(key)
	l.seeks++
	l.near = l.seeks%probeEvery == 0
}

func (l *lookup) close() error {
	if l.it == nil {
		return nil
	}
	err := l.it.Close()
	l.it = nil
	return err
}
