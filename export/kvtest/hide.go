package kvtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvekv/varve/export"
)

// Hide is store without its optional abilities: neither it nor its snapshots and
// ingesters can do more than the contract requires. Named snapshots are for a
// SnapshotKeeper, so a name is answered with errors.ErrUnsupported.
func Hide(store export.Store) export.Store { return plainStore{store} }

type plainStore struct{ export.Store }

type plainSnapshot struct{ export.Snapshot }

type plainIngester struct{ export.Ingester }

func (p plainStore) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	if opts.Name != "" {
		return nil, fmt.Errorf("snapshot %s: names are hidden: %w", opts.Name, errors.ErrUnsupported)
	}
	s, err := p.Store.Snapshot(ctx, opts)
	if err != nil {
		return nil, err
	}
	return plainSnapshot{s}, nil
}

func (p plainStore) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	in, err := p.Store.Ingest(ctx, opts)
	if err != nil {
		return nil, err
	}
	return plainIngester{in}, nil
}
