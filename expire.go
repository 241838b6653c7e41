package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/varvekv/varve/internal/objectio"
)

// recordAge is how long the records of earlier runs are kept.
const recordAge = 30 * 24 * time.Hour

// ExpireReport says what Expire did.
type ExpireReport struct {
	Retired  []LayerInfo   // marked as on their way out, from now on no restore points
	Expired  []LayerInfo   // and those that were retired for long enough, and were deleted
	Waiting  []ExpirePoint // retired ones that are not deleted yet, and why
	Kept     []ExpirePoint // that the plan would have dropped, and why they are kept
	Dead     []DeadRun     // declared dead, or swept
	Objects  int64         // deleted
	Bytes    int64         // of these
	Requests int64
	Duration time.Duration
	Problems []error // what could not be deleted; the next run tries again
}

// Err is nil if there was no problem, else all of them.
func (r *ExpireReport) Err() error { return errors.Join(r.Problems...) }

// expiry is one call of Expire.
type expiry struct {
	c      *Collection
	plan   *ExpirePlan
	job    string
	begun  time.Time
	meter  *objectio.Meter
	b      *collectionBucket
	report *ExpireReport
	down   int // stages in a row in which nothing could be deleted, and not for want of rights
}

// expireRecord is the body of what a run writes first.
type expireRecord struct {
	Run       string    `json:"run"`
	Policy    string    `json:"policy"`
	Drops     []string  `json:"drops,omitempty"` // IDs of layers
	CreatedAt time.Time `json:"created_at"`
	Writer    string    `json:"writer"`
}

// Expire carries out a plan, after making it again: what is no longer to be dropped is
// kept. It marks what is to go as retired, which cannot be undone, and deletes what has
// been retired for a day, as soon as nothing needs it. So a policy is carried out by
// calling PlanExpire and Expire from time to time, such as after each full. What other
// runs have begun is continued. The error is not nil if something could not be deleted,
// and the report, if there is one, lists all of it.
func (c *Collection) Expire(ctx context.Context, plan *ExpirePlan) (*ExpireReport, error) {
	e, err := c.newExpiry(plan)
	if err == nil {
		err = e.expire(ctx)
	}
	if err != nil {
		return e.finish(), fmt.Errorf("expire %s: %w", c.name, err)
	}
	return e.finish(), nil
}

func (c *Collection) newExpiry(plan *ExpirePlan) (*expiry, error) {
	if plan == nil {
		return nil, &OptionError{Field: "plan", Reason: "is nil"}
	}
	if err := plan.Policy.validate(); err != nil {
		return nil, err
	}
	job, err := newID(c.opts.Rand)
	return &expiry{c: c, plan: plan, job: job, begun: c.opts.Now(), meter: objectio.NewMeter(0), report: new(ExpireReport)}, err
}

func (e *expiry) finish() *ExpireReport {
	if e == nil {
		return nil
	}
	e.report.Requests, e.report.Duration = e.meter.Requests(), e.c.opts.Now().Sub(e.begun)
	return e.report
}

// expire is the whole of it. What it writes first tells the bucket's time, and whether
// listings show what was written.
func (e *expiry) expire(ctx context.Context) (err error) {
	if e.b, err = e.c.gate(ctx, e.c.bucket.With(e.meter)); err != nil {
		return err
	}
	if e.b.id == "" && e.plan.Collection == "" {
		return nil // there is nothing
	}
	if e.b.id != e.plan.Collection {
		return &OptionError{Field: "plan", Reason: fmt.Sprintf("is of collection %s, and this is %s", e.plan.Collection, e.b.id)}
	}
	if err := e.record(ctx); err != nil {
		return err
	}
	census, err := takeCensus(ctx, e.b, formatExpired(e.job), e.begun, nil)
	if err != nil {
		return err
	}
	again, err := census.plan(ctx, e.plan.Policy)
	if err != nil {
		return err
	}
	marked, err := e.retire(ctx, again)
	if err != nil {
		return err
	}
	if census, err = takeCensus(ctx, e.b, formatExpired(e.job), e.begun, census); err != nil {
		return err
	}
	for _, id := range marked {
		if _, listed := census.marks[id]; !listed && census.layers[id] != nil {
			return staleError(formatRetired(id))
		}
	}
	if err := e.declareDead(ctx, census); err != nil {
		return err
	}
	if err := e.sweep(ctx, census); err != nil {
		return err
	}
	e.c.opts.Logger.InfoContext(ctx, "collection expired", "collection", e.c.name, "run", e.job, "retired", len(e.report.Retired),
		"expired", len(e.report.Expired), "objects", e.report.Objects, "bytes", e.report.Bytes, "problems", len(e.report.Problems))
	return e.report.Err()
}

func (e *expiry) record(ctx context.Context) error {
	policy := e.plan.Policy
	if e.b.sealed {
		policy.KeepLabels = nil // labels are sealed
	}
	r := expireRecord{Run: e.job, Policy: policy.String(), CreatedAt: e.begun.UTC(), Writer: writerName()}
	for _, l := range e.plan.Drops() {
		r.Drops = append(r.Drops, l.ID)
	}
	return e.b.create(ctx, formatExpired(e.job), kindExpired, r)
}

// retire marks what both plans drop. Marks come before the listing that tells who needs
// what.
func (e *expiry) retire(ctx context.Context, now *ExpirePlan) (marked []string, err error) {
	fates := map[string]ExpirePoint{}
	for _, pt := range now.Points {
		fates[pt.ID] = pt
	}
	for _, l := range e.plan.Drops() {
		pt, there := fates[l.ID]
		switch {
		case !there || pt.Retired || pt.LayerInfo != l:
			continue
		case pt.Keep:
			e.report.Kept = append(e.report.Kept, pt)
			continue
		}
		err := e.b.create(ctx, formatRetired(l.ID), kindRetired, retiredRecord{Layer: l.ID, Job: e.job, CreatedAt: e.begun.UTC()})
		if errors.Is(err, objectio.ErrExist) {
			err = nil // another run did it just now
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			e.problem(err)
			continue
		}
		marked = append(marked, l.ID)
		e.report.Retired = append(e.report.Retired, l)
		e.c.opts.Logger.InfoContext(ctx, "layer retired", "collection", e.c.name, "run", e.job, "layer", l.ID, "path", l.Path)
	}
	return marked, nil
}

// voidRecord is the body of a void manifest.
type voidRecord struct {
	Layer     string    `json:"layer"`
	Job       string    `json:"job"` // of the run that declared it dead
	CreatedAt time.Time `json:"created_at"`
}

// declareDead writes void manifests for runs that have not been seen for long. Where
// one wakes up just now, one of the two manifests is there first, and the other writer
// is refused.
func (e *expiry) declareDead(ctx context.Context, c *census) error {
	for _, path := range sortedKeys(c.sites) {
		p := c.sites[path]
		_, retired := c.marks[p.layer]
		if p.state != siteOpen || retired || !c.old(c.lastSeen(p.layer)) {
			continue
		}
		err := e.b.create(ctx, manifestObject(path), kindVoid, voidRecord{Layer: p.layer, Job: e.job, CreatedAt: e.begun.UTC()})
		p.state = siteVoid
		if err != nil {
			p.state = siteOdd // it may have been committed
		}
		if errors.Is(err, objectio.ErrExist) {
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			e.problem(err)
			continue
		}
		e.c.opts.Logger.InfoContext(ctx, "run declared dead", "collection", e.c.name, "run", e.job, "layer", p.layer, "path", path)
	}
	return nil
}

// sweep deletes what nothing needs. A failure concerns one layer, and those that it
// needs.
func (e *expiry) sweep(ctx context.Context, c *census) error {
	users := map[*stored]int{} // how many layers that are there need one
	for _, l := range c.layers {
		for _, d := range l.direct() {
			users[d]++
		}
	}
	dropped, waiting := c.free()
	e.report.Waiting = waiting
	for _, l := range dropped {
		if users[l] > 0 {
			continue // what needs it could not be deleted
		}
		if err := e.sweepLayer(ctx, c, l.info.ID, l.site); err != nil {
			if e.gaveUp(ctx) {
				return err
			}
			continue
		}
		for _, d := range l.direct() {
			users[d]--
		}
		e.report.Expired = append(e.report.Expired, l.info)
	}
	for _, id := range sortedKeys(c.marks) {
		if c.layers[id] == nil && (c.homes[id] == nil || c.homes[id].state == siteOpen) {
			if err := e.sweepLayer(ctx, c, id, c.homes[id]); e.gaveUp(ctx) {
				return err
			}
		}
	}
	for _, path := range sortedKeys(c.sites) {
		if err := e.sweepDead(ctx, c, c.sites[path]); e.gaveUp(ctx) {
			return err
		}
	}
	return e.sweepSmall(ctx, c)
}

// free are the retired layers that may be deleted, those first that need others, and the
// ones that may not yet.
func (c *census) free() (dropped []*stored, waiting []ExpirePoint) {
	needed := c.needed()
	reasons := map[*stored][]string{}
	var roots []*stored
	for _, l := range c.sorted() {
		since, retired := c.marks[l.info.ID]
		if retired {
			reasons[l] = needed[l.info.ID]
			if !c.old(since) {
				reasons[l] = append(reasons[l], "may be read until "+since.Add(grace).UTC().Format(time.RFC3339))
			}
		}
		if !retired || len(reasons[l]) > 0 {
			roots = append(roots, l)
		}
	}
	keep := closure(roots)
	for _, l := range c.sorted() {
		_, retired := c.marks[l.info.ID]
		by, ok := keep[l]
		switch {
		case retired && !ok:
			dropped = append(dropped, l)
		case retired:
			pt := c.fate(&point{layer: l, reasons: reasons[l]}, map[*stored]*stored{l: by})
			waiting = append(waiting, pt)
		}
	}
	return byNeed(dropped), waiting
}

func (e *expiry) problem(err error) {
	if err != nil {
		e.report.Problems = append(e.report.Problems, err)
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
