package varve_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/mvcckv"
)

// village is a store whose catalog changes, of any engine that has one.
type village interface {
	export.Store
	create(t testing.TB, parent *export.Object, kind, name string, indexes int)
	rename(t testing.TB, o *export.Object, parent uint64, name string)
	truncate(t testing.TB, o *export.Object)
	drop(t testing.TB, o *export.Object)
	set(t testing.TB, key, value []byte)
	remove(t testing.TB, key []byte)
}

// memVillage is one in memory.
type memVillage struct {
	*memkv.Store
	last uint64
}

func (v *memVillage) spans(o *export.Object, n int) {
	v.last++ // what was given once is not given again
	o.Spans = nil
	for i := range n {
		o.Spans = append(o.Spans, export.PrefixSpan(fmt.Appendf(nil, "mem/%04d/%04d/%d/", o.ID, v.last, i)))
	}
}

func (v *memVillage) put(t testing.TB, o export.Object) {
	_, err := v.PutObjects(o)
	require.NoError(t, err)
}

func (v *memVillage) create(t testing.TB, parent *export.Object, kind, name string, indexes int) {
	o := export.Object{Kind: kind, Name: name}
	for _, other := range objectsOf(t, v, export.Timestamp{}) {
		v.last = max(v.last, other.ID) // a restore has given some
	}
	v.last++
	o.ID = v.last
	if parent != nil {
		o.Parent = parent.ID
		v.spans(&o, indexes+1)
	}
	v.put(t, o)
}

func (v *memVillage) rename(t testing.TB, o *export.Object, parent uint64, name string) {
	o.Parent, o.Name = parent, name
	v.put(t, *o)
}

func (v *memVillage) truncate(t testing.TB, o *export.Object) {
	v.spans(o, len(o.Spans))
	v.put(t, *o)
}

func (v *memVillage) drop(t testing.TB, o *export.Object) {
	_, err := v.DropObjects(o.ID)
	require.NoError(t, err)
}

func (v *memVillage) set(_ testing.TB, key, value []byte) { v.Set(key, value) }
func (v *memVillage) remove(_ testing.TB, key []byte)     { v.Delete(key) }

// versionedVillage is one that transactions change.
type versionedVillage struct{ *mvcckv.Store }

func (v versionedVillage) update(t testing.TB, do func(ctx context.Context, tx *mvcckv.Tx) error) {
	t.Helper()
	_, err := v.Update(t.Context(), nil, func(tx *mvcckv.Tx) error { return do(t.Context(), tx) })
	require.NoError(t, err)
}

func (v versionedVillage) create(t testing.TB, parent *export.Object, kind, name string, indexes int) {
	o, spans := export.Object{Kind: kind, Name: name}, 0
	if parent != nil {
		o.Parent, spans = parent.ID, indexes+1
	}
	v.update(t, func(ctx context.Context, tx *mvcckv.Tx) error {
		_, err := tx.CreateObject(ctx, o, spans)
		return err
	})
}

func (v versionedVillage) rename(t testing.TB, o *export.Object, parent uint64, name string) {
	v.update(t, func(ctx context.Context, tx *mvcckv.Tx) error { return tx.RenameObject(ctx, o.ID, parent, name) })
}

func (v versionedVillage) truncate(t testing.TB, o *export.Object) {
	v.update(t, func(ctx context.Context, tx *mvcckv.Tx) error {
		_, err := tx.TruncateObject(ctx, o.ID)
		return err
	})
}

func (v versionedVillage) drop(t testing.TB, o *export.Object) {
	v.update(t, func(ctx context.Context, tx *mvcckv.Tx) error { return tx.DropObject(ctx, o.ID) })
}

func (v versionedVillage) set(t testing.TB, key, value []byte) {
	v.update(t, func(ctx context.Context, tx *mvcckv.Tx) error { return tx.Put(ctx, key, value) })
}

func (v versionedVillage) remove(t testing.TB, key []byte) {
	v.update(t, func(ctx context.Context, tx *mvcckv.Tx) error { return tx.Delete(ctx, key) })
}

// villages are the engines that there are, each empty.
func villages() map[string]func(t testing.TB) village {
	return map[string]func(t testing.TB) village{
		"memkv":  func(t testing.TB) village { return &memVillage{Store: newStore(t, nil)} },
		"mvcckv": func(t testing.TB) village { return versionedVillage{openVersioned(t)} },
	}
}

// live changes the village in one of the ways that it can change.
func live(t testing.TB, v village, rng *rand.Rand) {
	t.Helper()
	var databases, tables []*export.Object
	objects := objectsOf(t, v, export.Timestamp{})
	taken := map[string]bool{}
	for i := range objects {
		o := &objects[i]
		taken[fmt.Sprint(o.Parent, o.Name)] = true
		if o.Kind == export.DatabaseObject {
			databases = append(databases, o)
		} else {
			tables = append(tables, o)
		}
	}
	database := func() *export.Object { return databases[rng.IntN(len(databases))] }
	table := func() *export.Object { return tables[rng.IntN(len(tables))] }
	name := func(prefix string, n int) string { return fmt.Sprint(prefix, rng.IntN(n)) }
	switch p := rng.IntN(100); {
	case len(databases) == 0 || p < 3:
		if n := name("d", 3); !taken[fmt.Sprint(0, n)] {
			v.create(t, nil, export.DatabaseObject, n, 0)
		}
	case len(tables) == 0 || p < 12:
		if d, n := database(), name("t", 4); !taken[fmt.Sprint(d.ID, n)] {
			v.create(t, d, export.TableObject, n, rng.IntN(2))
		}
	case p < 17:
		if d, n := database(), name("t", 4); !taken[fmt.Sprint(d.ID, n)] {
			v.rename(t, table(), d.ID, n)
		}
	case p < 18:
		if n := name("d", 3); !taken[fmt.Sprint(0, n)] {
			v.rename(t, database(), 0, n)
		}
	case p < 22:
		v.truncate(t, table())
	case p < 26:
		v.drop(t, table())
	case p < 27 && len(databases) > 1:
		v.drop(t, database())
	default:
		o := table()
		for range rng.IntN(6) {
			span := o.Spans[rng.IntN(len(o.Spans))]
			key := fmt.Appendf(span.Start[:len(span.Start):len(span.Start)], "%02d", rng.IntN(20))
			if rng.IntN(3) == 0 {
				v.remove(t, key)
			} else {
				v.set(t, key, fmt.Append(nil, rng.Uint32()))
			}
		}
	}
}

func (v versionedVillage) change(t testing.TB, o *export.Object) {
	v.update(t, func(ctx context.Context, tx *mvcckv.Tx) error { return tx.ChangeObject(ctx, *o) })
}
