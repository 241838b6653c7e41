package varve

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// ExpirePlan says which restore points of a collection stay and why, and what is to be
// deleted. It was made at one moment, and is checked again when it is carried out.
type ExpirePlan struct {
	Collection string // ID
	Policy     Policy
	At         time.Time     // by the bucket's clock or this process's, whichever is behind
	Ahead      time.Duration // of the bucket's clock, as far as that is known; negative: behind
	Points     []ExpirePoint // newest first
	Dead       []DeadRun     // by path
	Odd        []string      // paths with a manifest or claim that cannot be read, which are left alone
}

// ExpirePoint is a restore point, and what becomes of it.
type ExpirePoint struct {
	LayerInfo
	StoredAt    time.Time // by the bucket's clock
	StoredBytes int64     // of all objects of its own
	Verified    bool
	Keep        bool
	Retired     bool     // on its way out already
	Reasons     []string // why it is kept, or dropped
}

// DeadRun is one that never committed its layer, and has not written anything for a
// day. It is declared dead, and what it wrote is deleted.
type DeadRun struct {
	Path, Layer string
	LastSeen    time.Time // by the bucket's clock
	StoredBytes int64     // of what is to be deleted
	Declared    bool      // it is dead already, and has left something
}

// Drops are the layers that are to go.
func (p *ExpirePlan) Drops() []LayerInfo {
	var out []LayerInfo
	for _, pt := range p.Points {
		if !pt.Keep {
			out = append(out, pt.LayerInfo)
		}
	}
	return out
}

// String is the plan as a table.
func (p *ExpirePlan) String() string {
	var out strings.Builder
	drops := len(p.Drops())
	fmt.Fprintf(&out, "keep %d, drop %d, by the policy: %s\n", len(p.Points)-drops, drops, p.Policy)
	if p.Ahead > time.Hour {
		fmt.Fprintf(&out, "the clock of this process is %s behind the bucket's, so that things are younger\n", duration(p.Ahead.Round(time.Second)))
	}
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, pt := range p.Points {
		fate, kind := "drop", "incremental"
		if pt.Keep {
			fate = "keep"
		}
		if pt.Full() {
			kind = "full"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", fate, pt.Path, kind, strings.Join(pt.Reasons, "; "))
	}
	for _, d := range p.Dead {
		why := "never committed, last seen " + d.LastSeen.UTC().Format(time.RFC3339)
		if d.Declared {
			why = "was declared dead"
		}
		fmt.Fprintf(w, "sweep\t%s\t%s\t%s\n", d.Path, "dead run", why)
	}
	for _, path := range p.Odd {
		fmt.Fprintf(w, "leave\t%s\t%s\t%s\n", path, "unknown", "cannot be read")
	}
	if err := w.Flush(); err != nil {
		return err.Error() // a strings.Builder has none
	}
	return out.String()
}

// PlanExpire says what the policy makes of the collection. Nothing is written.
func (c *Collection) PlanExpire(ctx context.Context, policy Policy) (*ExpirePlan, error) {
	var plan *ExpirePlan
	err := c.do(ctx, "plan expiry of", func(b *collectionBucket) error {
		if err := policy.validate(); err != nil {
			return err
		}
		census, err := takeCensus(ctx, b, "", c.opts.Now(), nil)
		if err == nil {
			plan, err = census.plan(ctx, policy)
		}
		return err
	})
	return plan, err
}

func (c *census) plan(ctx context.Context, policy Policy) (*ExpirePlan, error) {
	if len(policy.KeepLabels) > 0 {
		if err := c.openLabels(ctx); err != nil {
			return nil, err
		}
	}
	plan := &ExpirePlan{Collection: c.b.id, Policy: policy, At: c.now, Ahead: c.ahead}
	points := c.weigh(policy)
	var roots []*stored
	for _, pt := range points {
		if len(pt.reasons) > 0 {
			roots = append(roots, pt.layer)
		}
	}
	needed := closure(roots)
	for _, pt := range points {
		plan.Points = append(plan.Points, c.fate(pt, needed))
	}
	for _, path := range sortedKeys(c.sites) {
		c.planSite(plan, c.sites[path])
	}
	return plan, nil
}

// weigh applies the rules to the layers that are not retired and can be restored, each
// store and its targets for themselves.
func (c *census) weigh(policy Policy) []*point {
	var points []*point
	groups := map[string][]*point{}
	verified := c.proved()
	needed := c.needed()
	for _, l := range c.sorted() {
		pt := &point{layer: l, times: [2]time.Time{l.info.End.Time(), l.at}, verified: verified[l]}
		points = append(points, pt)
		_, retired := c.marks[l.info.ID]
		if !retired {
			pt.standIn = c.standIn(l, verified)
		}
		switch {
		case retired, pt.standIn != nil:
		case l.whole:
			groups[l.group()] = append(groups[l.group()], pt)
		case policy.Force:
			pt.forced = []string{"its chain is broken"}
		default:
			pt.reasons = []string{"its chain is broken"}
		}
	}
	for _, key := range sortedKeys(groups) {
		policy.keep(groups[key], c.now)
	}
	for _, pt := range points {
		pt.reasons = append(pt.reasons, needed[pt.layer.info.ID]...)
		if other := c.layers[pt.layer.manifest.StandsFor]; other != nil && !c.old(pt.layer.at) {
			pt.reasons = append(pt.reasons, "will stand for "+other.info.Path) // it does not count yet, and would go before it does
		}
	}
	return points
}

// standIn is another layer that is the same restore point, and has been for as long as
// whoever reads this one may not know, so that only one of the two counts; nil if there is
// none.
func (c *census) standIn(l *stored, verified map[*stored]bool) *stored {
	for _, s := range c.stands[l.info.ID] {
		_, retired := c.marks[s.info.ID]
		if s.whole && !retired && (verified[s] || !verified[l]) && s.replaces(l) {
			return s
		}
	}
	return nil
}

// group tells stores and their targets apart. Where a catalog tells what the targets are,
// they are the same as long as they bear the same names. A sealed layer shows a hash of
// all this, and no more.
func (l *stored) group() string {
	m := l.manifest
	if m.Sealing != nil {
		return m.Lineage + "/" + m.Sealing.Targets
	}
	var of any = m.Spans
	if m.Targets.targets().named() {
		of = m.Targets
	}
	targets, err := json.Marshal(of)
	if err != nil {
		return err.Error() // spans are bytes, and names are strings
	}
	return m.Lineage + "/" + string(targets)
}

// fate is what becomes of a point.
func (c *census) fate(pt *point, needed map[*stored]*stored) ExpirePoint {
	l := pt.layer
	out := ExpirePoint{
		LayerInfo: l.info, StoredAt: l.at, StoredBytes: l.site.bytesOf(l.info.ID), Verified: pt.verified, Reasons: pt.reasons,
	}
	by, ok := needed[l]
	since, retired := c.marks[l.info.ID]
	out.Keep, out.Retired = ok, retired
	if by != nil {
		out.Reasons = append(out.Reasons, "needed by "+by.info.Path)
	}
	switch {
	case retired:
		out.Reasons = append([]string{"retired " + since.UTC().Format(time.RFC3339)}, out.Reasons...)
	case !ok && pt.standIn != nil:
		out.Reasons = []string{pt.standIn.info.Path + " stands for it"}
	case !ok:
		out.Reasons = []string{"no rule keeps it"}
		if len(pt.forced) > 0 {
			out.Reasons = append(out.Reasons, "forced: "+strings.Join(pt.forced, "; "))
		}
	}
	return out
}

func (c *census) planSite(plan *ExpirePlan, p *site) {
	d := DeadRun{Path: p.path, Layer: p.layer, LastSeen: c.lastSeen(p.layer), StoredBytes: sizeOf(p.partsOf(p.layer))}
	_, retired := c.marks[p.layer]
	switch {
	case p.state == siteOdd:
		plan.Odd = append(plan.Odd, p.path)
	case p.state == siteVoid && c.leftovers(p) > 0:
		d.Declared = true
		plan.Dead = append(plan.Dead, d)
	case p.state == siteOpen && !retired && c.old(d.LastSeen):
		plan.Dead = append(plan.Dead, d)
	}
}

// leftovers counts the objects of a run that was declared dead, which may go. Its claim and
// the void manifest stay: they keep others from its path, and itself from committing.
func (c *census) leftovers(p *site) int {
	n := len(p.parts)
	if p.layer == "" {
		return n
	}
	n += len(c.index[p.layer])
	for _, r := range c.refs {
		if r.holder == p.layer {
			n++
		}
	}
	return n
}
