package varve

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// StorageReport is what [Collection.Check] has found out about a destination. Of each
// finding nil is the good one.
type StorageReport struct {
	// Place is where that is, without credentials.
	Place string

	// Write, Read, List and Delete are nil where the right is there, an [*AccessError]
	// where it is refused, and else why it is not known. Only expiry deletes.
	Write, Read, List, Delete error

	// CreateOnly is nil if of all who create an object exactly one does, and the others are
	// told. On that rests that two writers never harm each other.
	CreateOnly error
	// Listing is nil if a listing shows what was written before it.
	Listing error

	// WriteLatency and ReadLatency are how long a small object takes, the middle of several.
	WriteLatency, ReadLatency time.Duration
	// UploadRate and DownloadRate are bytes a second of one object of some MiB.
	UploadRate, DownloadRate int64

	// Left are the objects that could not be deleted again. Readers ignore them.
	Left []string
}

// Err is what keeps backups and restores from being safe, or from being at all; nil:
// nothing. That objects cannot be deleted does not.
func (r *StorageReport) Err() error {
	return errors.Join(r.Write, r.Read, r.List, r.CreateOnly, r.Listing)
}

// Check finds out whether storage does what varve needs of it, by writing, reading,
// listing and deleting objects of its own under probe/, which nobody else looks at. It
// needs no backup to be there and disturbs none. What storage refuses or gets wrong
// stands in the report; an error means that there is none.
func (c *Collection) Check(ctx context.Context) (*StorageReport, error) {
	p, err := c.newProbe(ctx)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", c.name, err)
	}
	p.rights(ctx)
	if p.report.Write == nil && p.report.Read == nil {
		p.createOnly(ctx)
		p.speed(ctx)
	}
	p.listing(ctx)
	p.cleanUp(ctx)
	err = errors.Join(ctx.Err(), p.close())
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", c.name, err)
	}
	return p.report, nil
}
