package varve_test

import (
	"errors"
	"maps"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/mvcckv"
)

// memAnnals are those of the store in memory.
type memAnnals struct {
	*memkv.Store
	past   *past
	states [][]export.Entry // after the moments
}

func (m *memAnnals) write() {
	m.past.write(1)
	for len(m.states) < len(m.past.moments) {
		m.states = append(m.states, m.State(varve.Span{}))
	}
}

func (m *memAnnals) when() []export.Timestamp { return m.past.moments }

func (m *memAnnals) at(t export.Timestamp) []export.Entry {
	n := sort.Search(len(m.states), func(i int) bool { return m.past.moments[i].Compare(t) > 0 })
	if n == 0 {
		return nil
	}
	return m.states[n-1]
}

func (m *memAnnals) collect(before export.Timestamp) { m.Collect(before) }

func (m *memAnnals) reopen() {
	m.Store = m.Reopen()
	m.past.store = m.Store
}

func (m *memAnnals) destination() (export.Store, func() []export.Entry) {
	dst := newStore(m.past, &memkv.Options{SingleRevision: m.past.rng.IntN(2) == 0})
	return dst, func() []export.Entry { return stateOf(dst) }
}

// txAnnals are those of the store of versions: what was committed, by its moment, which may
// lie before that of what was committed earlier.
type txAnnals struct {
	*mvcckv.Store
	past    *past
	opts    *mvcckv.Options
	open    []*openTx
	moments []export.Timestamp
	commits map[export.Timestamp]map[string]*string // a value that is nil deletes
}

type openTx struct {
	*mvcckv.Tx
	writes map[string]*string
}

func newTxAnnals(p *past) annals {
	o := &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}}
	for level := range o.TargetFileSizes {
		o.TargetFileSizes[level] = 600 // several tables
	}
	a := &txAnnals{past: p, opts: &mvcckv.Options{Pebble: o, Now: p.clock.now}, commits: map[export.Timestamp]map[string]*string{}}
	a.begin()
	p.Cleanup(func() { require.NoError(p, a.Close()) })
	return a
}

func (a *txAnnals) begin() {
	s, err := mvcckv.Open("db", a.opts)
	require.NoError(a.past, err)
	a.Store, a.open = s, nil
}

// reopen leaves the locks of what is open.
func (a *txAnnals) reopen() {
	require.NoError(a.past, a.Close())
	a.begin()
}

func (a *txAnnals) when() []export.Timestamp { return a.moments }

func (a *txAnnals) state(t export.Timestamp) map[string]*string {
	state := map[string]*string{}
	for _, at := range a.moments {
		if at.Compare(t) <= 0 {
			maps.Copy(state, a.commits[at])
		}
	}
	return state
}

func (a *txAnnals) at(t export.Timestamp) []export.Entry {
	state := a.state(t)
	var all []export.Entry
	for _, key := range slices.Sorted(maps.Keys(state)) {
		if value := state[key]; value != nil {
			all = append(all, export.Entry{Kind: export.Set, Key: []byte(key), Value: []byte(*value)})
		}
	}
	return all
}

func (a *txAnnals) collect(before export.Timestamp) {
	_, err := a.Collect(a.past.Context(), before)
	require.NoError(a.past, err)
}

func (a *txAnnals) destination() (export.Store, func() []export.Entry) {
	if a.past.rng.IntN(3) > 0 {
		dst := newStore(a.past, &memkv.Options{SingleRevision: a.past.rng.IntN(2) == 0})
		return dst, func() []export.Entry { return stateOf(dst) }
	}
	dst := openVersioned(a.past.T)
	return dst, func() []export.Entry { return contentIn(a.past.T, dst) }
}

// write makes a small transaction, or a step of one of those that are open.
func (a *txAnnals) write() {
	p := a.past
	if len(a.open) == 0 || p.rng.IntN(3) == 0 {
		tx, err := a.Begin(p.Context(), &mvcckv.TxOptions{Priority: mvcckv.Priority(p.rng.IntN(3))})
		require.NoError(p, err)
		a.open = append(a.open, &openTx{tx, map[string]*string{}})
	}
	i := len(a.open) - 1
	if p.rng.IntN(3) == 0 {
		i = p.rng.IntN(len(a.open))
	}
	tx := a.open[i]
	err := a.step(tx)
	end := p.rng.IntN(8)
	switch {
	case err == nil && len(a.open) < 4 && end < 3:
		return
	case err == nil && end < 7:
		err = a.commit(tx)
	}
	var retry *mvcckv.RetryError
	if err != nil {
		require.ErrorAs(p, err, &retry)
	}
	require.NoError(p, tx.Rollback())
	a.open = slices.Delete(a.open, i, i+1)
}

// step is a random write to few keys.
func (a *txAnnals) step(tx *openTx) error {
	p := a.past
	key, value := p.key(), string(p.key())
	switch p.rng.IntN(8) {
	case 0, 1:
		tx.writes[string(key)] = nil
		return tx.Delete(p.Context(), key)
	case 2:
		span := varve.Span{Start: key, End: append(slices.Clone(key[:2]), '~')}
		seen := a.state(tx.Timestamp())
		maps.Copy(seen, tx.writes)
		for k, v := range seen {
			if v != nil && span.Contains(nil, []byte(k)) {
				tx.writes[k] = nil
			}
		}
		return tx.DeleteRange(p.Context(), span.Start, span.End)
	case 3:
		other := p.key()
		tx.writes[string(key)], tx.writes[string(other)] = &value, &value
		return errors.Join(tx.Put(p.Context(), key, []byte(value)), tx.Put(p.Context(), other, []byte(value)))
	}
	tx.writes[string(key)] = &value
	return tx.Put(p.Context(), key, []byte(value))
}

func (a *txAnnals) commit(tx *openTx) error {
	at, err := tx.Commit(a.past.Context())
	if err != nil || at.IsZero() {
		return err
	}
	i, found := slices.BinarySearchFunc(a.moments, at, export.Timestamp.Compare)
	require.False(a.past, found, "two at %s", at)
	a.moments = slices.Insert(a.moments, i, at)
	a.commits[at] = tx.writes
	return nil
}
