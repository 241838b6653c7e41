package mvcckv_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/mvcckv"
)

// model is a store at work beside a list of what was committed, by which every moment
// is known.
type model struct {
	*testing.T
	rng  *rand.Rand
	now  *wall
	opts *mvcckv.Options
	s    *mvcckv.Store

	step    int
	history []committed // by timestamp
	open    []*modelTx
	named   map[string]export.Timestamp
	views   []view // what was read, to be read again
	oldest  export.Timestamp
}

type committed struct {
	at     export.Timestamp
	writes state
}

// state is values by key; of writes, one that is nil deletes.
type state map[string]*string

type view struct {
	at   export.Timestamp
	want []string
}

type modelTx struct {
	*mvcckv.Tx
	begun, wrote int // steps; wrote is 0 until it has
	writes       state
	pushed       bool
}

// TestModel runs random transactions, reads of random moments, collections and
// restarts against the list. The name of a failed test is its seed.
func TestModel(t *testing.T) {
	t.Parallel()
	seeds := 24
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := &model{T: t, rng: rand.New(rand.NewPCG(uint64(seed), 5)), now: newWall(), named: map[string]export.Timestamp{}}
			m.opts = options(vfs.NewMem())
			m.opts.Now = m.now.Now
			for level := range m.opts.Pebble.TargetFileSizes {
				m.opts.Pebble.TargetFileSizes[level] = 500
			}
			m.s = newStore(t, m.opts)
			for m.step = 1; m.step < 700; m.step++ {
				m.act()
			}
			for _, v := range m.views {
				m.again(v)
			}
		})
	}
}

func (m *model) act() {
	m.Helper()
	m.now.add(time.Duration(m.rng.IntN(2000)-500) * time.Millisecond)
	tx := m.some()
	switch op := m.rng.IntN(30); {
	case op < 3 || tx == nil:
		m.begin()
	case op < 12:
		m.write(tx, m.key(), m.rng.IntN(4) == 0)
	case op == 12:
		m.deleteRange(tx)
	case op < 15:
		m.get(tx)
	case op < 17:
		m.scan(tx)
	case op < 21:
		m.commit(tx)
	case op == 21:
		require.NoError(m, tx.Rollback())
		m.drop(tx)
	case op == 22:
		m.past()
	case op == 23:
		m.export()
	case op == 24:
		m.collect()
	case op == 25:
		m.name()
	case op == 26:
		require.NoError(m, m.s.Flush(m.Context()))
	case op == 27 && m.rng.IntN(3) == 0:
		require.NoError(m, m.s.Shake(m.Context()))
	case op == 28 && m.rng.IntN(4) == 0:
		m.s = reopen(m.T, m.s, m.opts)
		m.open = nil
	case len(m.views) > 0:
		m.again(m.views[m.rng.IntN(len(m.views))])
	}
}

func (m *model) some() *modelTx {
	if len(m.open) == 0 {
		return nil
	}
	return m.open[m.rng.IntN(len(m.open))]
}

func (m *model) drop(tx *modelTx) {
	m.open = slices.DeleteFunc(m.open, func(o *modelTx) bool { return o == tx })
}

func (m *model) key() string { return fmt.Sprintf("k%02d", m.rng.IntN(12)) }

func (m *model) span() export.Span {
	a, b := m.key(), m.key()
	if a > b {
		a, b = b, a
	}
	return export.Span{Start: []byte(a), End: []byte(b + "x")}
}

// state is what was committed up to at, with own over it.
func (m *model) state(at export.Timestamp, own state, span export.Span) []string {
	all := state{}
	for _, c := range m.history {
		if c.at.Compare(at) <= 0 {
			maps.Copy(all, c.writes)
		}
	}
	maps.Copy(all, own)
	text := []string{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if all[key] != nil && span.Contains(nil, []byte(key)) {
			text = append(text, fmt.Sprintf("set %s=%s", key, *all[key]))
		}
	}
	return text
}

func (m *model) begin() {
	if len(m.open) > 4 {
		return
	}
	tx := begin(m.T, m.s, nil)
	m.open = append(m.open, &modelTx{Tx: tx, begun: m.step, writes: state{}})
}

// ends checks that err is a conflict that may be, and rolls back. It reports whether
// there was one.
func (m *model) ends(tx *modelTx, err error, may func(why mvcckv.Conflict) bool) bool {
	m.Helper()
	var retry *mvcckv.RetryError
	if !errors.As(err, &retry) {
		require.NoError(m, err)
		require.False(m, tx.pushed, "it goes on, and was pushed")
		return false
	}
	if retry.Conflict == mvcckv.Pushed {
		require.True(m, tx.pushed, "%v", err)
	} else {
		require.True(m, may(retry.Conflict), "%v", err)
	}
	require.NoError(m, tx.Rollback())
	m.drop(tx)
	return true
}

// locked is the transaction that holds key, but tx.
func (m *model) locked(tx *modelTx, key string) *modelTx {
	for _, o := range m.open {
		if _, wrote := o.writes[key]; wrote && o != tx && !o.pushed {
			return o
		}
	}
	return nil
}

// mayMeet reports whether a reader that began at a step may meet a lock in span: not
// one of who had not written before.
func (m *model) mayMeet(tx *modelTx, begun int, span export.Span) bool {
	for _, o := range m.open {
		for key := range o.writes {
			if o != tx && !o.pushed && o.wrote < begun && span.Contains(nil, []byte(key)) {
				return true
			}
		}
	}
	return false
}

func (m *model) writtenSince(tx *modelTx, key string) bool {
	return slices.ContainsFunc(m.history, func(c committed) bool {
		_, wrote := c.writes[key]
		return wrote && c.at.Compare(tx.Timestamp()) > 0
	})
}

func (m *model) write(tx *modelTx, key string, remove bool) {
	m.Helper()
	value := fmt.Sprintf("%d.%d", m.step, m.rng.IntN(10))
	var err error
	if remove {
		err = tx.Delete(m.Context(), []byte(key))
	} else {
		err = tx.Put(m.Context(), []byte(key), []byte(value))
	}
	_, own := tx.writes[key]
	holder, since := m.locked(tx, key), m.writtenSince(tx, key)
	if m.ends(tx, err, func(why mvcckv.Conflict) bool {
		return why == mvcckv.Locked && holder != nil || why == mvcckv.WrittenSince && since
	}) {
		return
	}
	require.True(m, own || holder == nil && !since, "%q: an update is lost", key)
	m.wrote(tx, key, &value)
	if remove {
		tx.writes[key] = nil
	}
}

func (m *model) wrote(tx *modelTx, key string, value *string) {
	if tx.wrote == 0 {
		tx.wrote = m.step
	}
	tx.writes[key] = value
}

func (m *model) deleteRange(tx *modelTx) {
	m.Helper()
	span := m.span()
	var seen []string
	for key := range m.keysOf(tx.Timestamp(), tx.writes, span) {
		seen = append(seen, key)
	}
	may := m.mayMeet(tx, tx.begun, span)
	for _, key := range seen {
		may = may || m.locked(tx, key) != nil || m.writtenSince(tx, key)
	}
	err := tx.DeleteRange(m.Context(), span.Start, span.End)
	if m.ends(tx, err, func(mvcckv.Conflict) bool { return may }) {
		return
	}
	for _, key := range seen {
		m.wrote(tx, key, nil)
	}
}

func (m *model) keysOf(at export.Timestamp, own state, span export.Span) map[string]bool {
	keys := map[string]bool{}
	for _, line := range m.state(at, own, span) {
		keys[line[len("set "):len("set k00")]] = true
	}
	return keys
}

func (m *model) get(tx *modelTx) {
	m.Helper()
	key := m.key()
	value, err := tx.Get(m.Context(), []byte(key))
	if errors.Is(err, mvcckv.ErrNotFound) {
		err = nil
		value = nil
	}
	span := export.Span{Start: []byte(key), End: []byte(key + "\x00")}
	may := m.mayMeet(tx, tx.begun, span)
	if m.ends(tx, err, func(why mvcckv.Conflict) bool { return why == mvcckv.Locked && may }) {
		return
	}
	got := []string{}
	if value != nil {
		got = append(got, fmt.Sprintf("set %s=%s", key, value))
	}
	require.Equal(m, m.state(tx.Timestamp(), tx.writes, span), got)
}

func (m *model) scan(tx *modelTx) {
	m.Helper()
	span := m.span()
	c, err := tx.Scan(m.Context(), span)
	may := m.mayMeet(tx, tx.begun, span)
	if m.ends(tx, err, func(why mvcckv.Conflict) bool { return why == mvcckv.Locked && may }) {
		return
	}
	require.Equal(m, m.state(tx.Timestamp(), tx.writes, span), m.drain(c))
}

func (m *model) drain(c export.Cursor) []string {
	m.Helper()
	got := []string{}
	for c.Next() {
		got = append(got, lines([]export.Entry{*c.Entry()})...)
	}
	require.NoError(m, errors.Join(c.Err(), c.Close()))
	return got
}

func (m *model) commit(tx *modelTx) {
	m.Helper()
	at, err := tx.Commit(m.Context())
	if m.ends(tx, err, func(mvcckv.Conflict) bool { return false }) {
		return
	}
	m.drop(tx)
	if len(tx.writes) == 0 {
		return
	}
	require.Positive(m, at.Compare(tx.Timestamp()))
	i, found := slices.BinarySearchFunc(m.history, at, func(c committed, at export.Timestamp) int { return c.at.Compare(at) })
	require.False(m, found, "two at %s", at)
	m.history = slices.Insert(m.history, i, committed{at, tx.writes})
}

// moment is one around something that was committed.
func (m *model) moment() (export.Timestamp, bool) {
	if len(m.history) == 0 {
		return export.Timestamp{}, false
	}
	at := m.history[m.rng.IntN(len(m.history))].at
	if m.rng.IntN(2) == 0 && at.Logical > 0 {
		at.Logical--
	}
	return at, true
}

// past reads a random moment, of which only a lock may keep it.
func (m *model) past() {
	m.Helper()
	at, ok := m.moment()
	if ok {
		m.again(view{at: at, want: m.state(at, nil, export.Span{})})
	}
}

func (m *model) again(v view) {
	m.Helper()
	tx, err := m.s.Begin(m.Context(), &mvcckv.TxOptions{AsOf: v.at})
	if v.at.Compare(m.oldest) < 0 {
		beforeGC(m.T, err, v.at, m.oldest)
		return
	}
	require.NoError(m, err)
	c, err := tx.Scan(m.Context(), export.Span{})
	if err == nil {
		require.Equal(m, v.want, m.drain(c), "at %s", v.at)
		m.views = append(m.views, v)
	} else {
		require.True(m, m.mayMeet(nil, m.step+1, export.Span{}), "%v", err)
	}
	require.NoError(m, tx.Rollback())
}

// export takes the state and what changed since some moment, at the cost of everybody
// who has written.
func (m *model) export() {
	m.Helper()
	snap := snapshot(m.T, m.s, export.SnapshotOptions{})
	defer snap.Close()
	want := m.state(snap.Timestamp(), nil, export.Span{})
	require.Equal(m, want, append([]string{}, exported(m.T, snap, export.Request{Locks: export.PushLocks})...))
	for _, o := range m.open {
		o.pushed = o.pushed || len(o.writes) > 0
	}
	m.views = append(m.views, view{snap.Timestamp(), want})
	if base, ok := m.moment(); ok && base.Compare(m.oldest) >= 0 && base.Compare(snap.Timestamp()) <= 0 {
		m.since(snap, base)
	}
}

func (m *model) since(snap export.Snapshot, base export.Timestamp) {
	m.Helper()
	before, after := m.entries(base), m.entries(snap.Timestamp())
	for _, all := range []bool{false, true} {
		req := export.Request{Since: base, Revisions: all}
		changes, err := kvtest.Collect(m.Context(), snap, req)
		require.NoError(m, err)
		got := kvtest.Timeless(kvtest.Apply(nil, before, changes))
		require.Equal(m, kvtest.Timeless(after), got, "since %s", base)
		if len(changes) == 0 {
			continue
		}
		n := m.rng.IntN(len(changes))
		position := changes[n].Position()
		req.Resume = &position
		rest, err := kvtest.Collect(m.Context(), snap, req)
		require.NoError(m, err)
		require.Equal(m, changes[n+1:], append([]export.Entry{}, rest...), "after %s %q", position.Timestamp, position.Key)
	}
	m.differs(snap, base, before, after)
}

// differs wants of each change what it replaced, and no change that is none.
func (m *model) differs(snap export.Snapshot, base export.Timestamp, before, after []export.Entry) {
	m.Helper()
	c, err := snap.(export.Differ).Changes(m.Context(), export.Request{Since: base})
	require.NoError(m, err)
	old := map[string]string{}
	for _, e := range before {
		old[string(e.Key)] = string(e.Value)
	}
	var changes []export.Entry
	for c.Next() {
		e, former := c.Entry().Clone(), c.Former()
		value, there := old[string(e.Key)]
		require.Equal(m, there, former != nil, "%s %q since %s", e.Kind, e.Key, base)
		if there {
			require.Equal(m, value, string(former.Value), "%q since %s", e.Key, base)
			require.LessOrEqual(m, former.Timestamp.Compare(base), 0)
		}
		require.True(m, there || e.Kind == export.Set, "%q was not there since %s", e.Key, base)
		changes = append(changes, e)
	}
	require.NoError(m, errors.Join(c.Err(), c.Close()))
	require.Equal(m, kvtest.Timeless(after), kvtest.Timeless(kvtest.Apply(nil, before, changes)), "since %s", base)
}

func (m *model) entries(at export.Timestamp) []export.Entry {
	var all []export.Entry
	for _, line := range m.state(at, nil, export.Span{}) {
		all = append(all, export.Entry{Kind: export.Set, Key: []byte(line[4:7]), Value: []byte(line[8:])})
	}
	return kvtest.Canonical(nil, all)
}

func (m *model) collect() {
	m.Helper()
	before, ok := m.moment()
	if !ok {
		return
	}
	want := before
	for _, o := range m.open {
		if !o.pushed || len(o.writes) == 0 { // who is pushed has ended
			want = smaller(want, o.Timestamp())
		}
	}
	for _, at := range m.named {
		want = smaller(want, at)
	}
	if want.Compare(m.oldest) < 0 {
		want = m.oldest
	}
	m.oldest = want
	require.Equal(m, want, collect(m.T, m.s, before))
}

func smaller(a, b export.Timestamp) export.Timestamp {
	return slices.MinFunc([]export.Timestamp{a, b}, export.Timestamp.Compare)
}

// name takes a named snapshot, or releases one.
func (m *model) name() {
	m.Helper()
	name := fmt.Sprintf("%032x", m.rng.IntN(3))
	if _, ok := m.named[name]; ok {
		require.NoError(m, m.s.Release(m.Context(), name))
		delete(m.named, name)
		return
	}
	snap := snapshot(m.T, m.s, export.SnapshotOptions{Name: name})
	m.named[name] = snap.Timestamp()
	require.NoError(m, snap.Close())
	list, err := m.s.Snapshots(m.Context())
	require.NoError(m, err)
	var got []string
	for _, info := range list {
		got = append(got, info.Name)
	}
	slices.SortFunc(got, cmp.Compare[string])
	require.Equal(m, slices.Sorted(maps.Keys(m.named)), got)
}
