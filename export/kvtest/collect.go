package kvtest

import (
	"context"
	"errors"

	"github.com/varvekv/varve/export"
)

// Collect is a deep copy of all that an export yields, up to its error if it ends
// with one.
func Collect(ctx context.Context, s export.Snapshot, req export.Request) ([]export.Entry, error) {
	c, err := s.Export(ctx, req)
	if err != nil {
		return nil, err
	}
	var all []export.Entry
	for c.Next() {
		all = append(all, clone(c.Entry()))
	}
	return all, errors.Join(c.Err(), c.Close())
}

// clone copies the bytes of e too; empty ones become nil.
func clone(e *export.Entry) export.Entry {
	copied := func(b []byte) []byte { return append([]byte(nil), b...) }
	return export.Entry{
		Kind: e.Kind, Timestamp: e.Timestamp,
		Key: copied(e.Key), End: copied(e.End), Suffix: copied(e.Suffix), Value: copied(e.Value),
	}
}
