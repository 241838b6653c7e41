package memkv

import (
	"context"
	"fmt"

	"github.com/varvekv/varve/export"
)

// Commit implements [export.Ingester]. After an error the store is as it was, and
// a second Commit may be tried.
func (in *ingester) Commit(ctx context.Context) error {
	db := in.store.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := in.usable(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := db.checkEmpty(in.opts); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	db.points.freeze()
	points, ranges, objects, displaced := db.points, db.ranges, db.objects, db.displaced
	at := db.tick()
	if err := db.publish(ctx, in, at); err != nil {
		// The frozen tree has not changed, and nobody has seen what came after it.
		db.points, db.ranges, db.objects, db.displaced = points, ranges, objects, displaced
		return fmt.Errorf("commit: %w", err)
	}
	if in.opts.Lineage != "" {
		db.lineage = in.opts.Lineage
		db.forget(at)
	}
	if in.staging == db.staging {
		db.staging = nil
	}
	in.staging = nil
	return nil
}

// publish writes what is staged over what the spans hold. It needs mu.
func (db *database) publish(ctx context.Context, in *ingester, at export.Timestamp) error {
	if err := db.publishObjects(in, at); err != nil {
		return err
	}
	for _, span := range in.opts.Spans {
		if err := ctx.Err(); err != nil {
			return err
		}
		db.deleteRange(span, at)
		db.deleteRangeKeys(span, at)
	}
	for _, l := range in.staging.loads {
		for i := range l.entries {
			if i%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			db.publishEntry(&l.entries[i], at)
		}
	}
	return nil
}

func (db *database) publishEntry(e *export.Entry, at export.Timestamp) {
	if e.Kind == export.Set {
		db.put(e.Key, revision{at: at, kind: export.Set, value: e.Value})
		return
	}
	db.addRange(rangeWrite{
		kind: e.Kind, span: export.Span{Start: e.Key, End: e.End},
		suffix: e.Suffix, value: e.Value, at: at,
	})
}
