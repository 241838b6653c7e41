package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/internal/seal"
)

// draft is a layer that is being written, by a backup or by a compaction. Until its
// manifest is there, which comes last, it is none.
type draft struct {
	c      *Collection
	meter  *objectio.Meter
	report *reporter
	begun  time.Time
	bucket *collectionBucket
	layer  LayerInfo
	job    string
	needs  []LayerInfo // layers that references were made to

	key     *seal.DataKey  // of the layer; nil: it is not sealed
	wrapped []seal.Wrapped // the key, as it is stored
}

// newDraft draws the IDs of a layer, which is a full until it is said what it extends.
func (c *Collection) newDraft(bytesPerSecond int64, events *Events) (draft, error) {
	d := draft{c: c, begun: c.opts.Now()}
	d.report, d.meter = newReporter(events, c.opts.Now, bytesPerSecond)
	var idErr, jobErr error
	d.layer.ID, idErr = newID(c.opts.Rand)
	d.job, jobErr = newID(c.opts.Rand)
	d.layer.ChainID = d.layer.ID
	return d, errors.Join(idErr, jobErr)
}

// extends makes the layer an incremental.
func (d *draft) extends(parent *Manifest) {
	d.layer.ParentID, d.layer.ChainID, d.layer.Start = parent.Layer, parent.Chain, parent.End
}

// pathBelow is the layer's path by its moments: that of an incremental is appended to below.
func (d *draft) pathBelow(below string) string {
	if d.layer.Full() {
		return formatPath(d.layer.End)
	}
	return formatIncremental(below, d.layer.Start, d.layer.End)
}

// claimRecord is the body of progress/0, the first object of a layer.
type claimRecord struct {
	Layer     string    `json:"layer"`
	Job       string    `json:"job"`
	CreatedAt time.Time `json:"created_at"`
}

func (d *draft) createClaim(ctx context.Context) error {
	return d.create(ctx, claimObject(d.layer.Path), kindClaim, claimRecord{Layer: d.layer.ID, Job: d.job, CreatedAt: d.begun.UTC()})
}

// claimBeside claims another path, where somebody else has the one that was wanted.
func (d *draft) claimBeside(ctx context.Context) error {
	d.layer.Path = rivalPath(d.layer.Path, d.layer.ID)
	return d.createClaim(ctx)
}

// create stores a record. Every body contains an ID drawn for this run, by which a
// write whose reply was lost is told from somebody else's.
func (d *draft) create(ctx context.Context, object string, kind recordKind, body any) error {
	return d.bucket.create(ctx, object, kind, body)
}

// indexRecord is the body of an index entry, whose name says the rest.
type indexRecord struct {
	Layer string `json:"layer"`
}

// list stores the list of what was written, and then the index entry, which alone means
// nothing.
func (d *draft) list(ctx context.Context, written *contents) (list, objects FileList, err error) {
	if list, err = writeFileList(ctx, d.bucket.Bucket, d.layer, d.key, written); err != nil {
		return list, objects, err
	}
	if d.key != nil {
		if objects, err = writeObjects(ctx, d.bucket.Bucket, d.layer, written.files); err != nil {
			return list, objects, err
		}
	}
	return list, objects, d.create(ctx, formatIndex(d.layer), kindIndex, indexRecord{Layer: d.layer.ID})
}

// account says in the manifest what was written, and what that took.
func (d *draft) account(m *Manifest, written *contents) {
	var stored, copied, shared int64
	for _, f := range written.files {
		m.Counts = m.Counts.Plus(f.Counts)
		switch {
		case f.Layer != m.Layer:
			shared += f.Size
			if !slices.Contains(m.Refers, f.Layer) {
				m.Refers = append(m.Refers, f.Layer)
			}
		case f.Content != "":
			stored, copied = stored+f.Size, copied+f.Size
		default:
			stored += f.Size
		}
	}
	m.FileList.Stored = stored + shared
	m.Stats = Stats{
		JobID: d.job, Keys: m.Counts.Sets, Deletions: m.Counts.Deletes + m.Counts.RangeDeletes, RangeKeys: m.Counts.RangeKeys,
		LogicalBytes: m.Counts.LogicalBytes, StoredBytes: stored, CopiedBytes: copied, SharedBytes: shared, Files: int64(len(written.files)),
		Requests: d.meter.Requests(), Retries: d.meter.Retries(),
		Duration: d.c.opts.Now().Sub(d.begun), Changes: m.Stats.Changes,
	}
	for _, o := range written.objects {
		m.Stats.Rows, m.Stats.IndexEntries = m.Stats.Rows+o.counts.Rows, m.Stats.IndexEntries+o.counts.IndexEntries
	}
}

// publish stores the manifest, which is the moment of truth.
func (d *draft) publish(ctx context.Context, m *Manifest, written *contents, order *export.Order) (*Layer, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := checkReadable(m, written, order); err != nil {
		return nil, err
	}
	err := d.createManifest(ctx, m)
	if errors.Is(err, objectio.ErrExist) {
		return nil, fmt.Errorf("%s: %w: %w", d.layer.Path, ErrConflict, err)
	}
	if err != nil {
		return nil, err
	}
	layer := m.layer()
	d.report.layer(layer.LayerInfo)
	return layer, nil
}

// createManifest stores the manifest. Where it is not there after a write that failed,
// it may have been, and its layer have been expired while this process slept. The index
// entry goes before the manifest, and so tells whether to write again.
func (d *draft) createManifest(ctx context.Context, m *Manifest) error {
	body, err := m.encode()
	if err != nil {
		return err
	}
	object := manifestObject(d.layer.Path)
	return storageError("write", object, d.bucket.CreateWhile(ctx, object, body, func(ctx context.Context) error {
		_, err := d.bucket.Size(ctx, formatIndex(d.layer))
		if errors.Is(err, objectio.ErrNotExist) {
			return fmt.Errorf("layer %s was expired meanwhile: %w", d.layer.ID, ErrConflict)
		}
		return err
	}))
}

// checkReadable looks at the layer as whoever restores it will: what a reader would
// refuse must not pass for a backup.
func checkReadable(m *Manifest, written *contents, order *export.Order) error {
	c := new(content)
	c.add(m, written)
	if err := c.fit(order); err != nil {
		return errors.New("layer " + m.Layer + ": no reader would take it: " + err.Error()) // nothing stored is damaged
	}
	return nil
}
