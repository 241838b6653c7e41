package varve

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Policy says which restore points stay. A point that no rule keeps is dropped, unless
// another needs it. At least one rule must be given.
//
// A layer and one that stands for it, as [Collection.Compact] makes it, are one point: when
// the second has been there for a day the first does not count any more.
//
// Rules count the points of each store and set of targets for themselves, and they
// count twice: by the ends of the layers, and by when the bucket says that they were
// stored. What either of the two keeps is kept. So neither a clock that was set wrong
// nor somebody who adds layers with ends of his own choice makes a policy drop what it
// would have kept. How old something is, is always said by the bucket's clock.
type Policy struct {
	// KeepLast keeps this many of the newest points.
	KeepLast int
	// KeepWithin keeps what is not older than this.
	KeepWithin time.Duration
	// KeepDaily, KeepWeekly and KeepMonthly keep the newest point of each of this many
	// days, ISO weeks and months that have one, in UTC, the newest first.
	KeepDaily, KeepWeekly, KeepMonthly int
	// KeepLabels keeps layers that have one of these labels; with the value "" whatever
	// it is. The labels of a sealed layer are seen with a key that opens it; without one,
	// any label keeps it.
	KeepLabels map[string]string
	// Verified lets the rules above, other than KeepWithin and KeepLabels, count only
	// points that were verified: see VerifyOptions.Record. What is newer than the newest
	// of these is kept, too.
	Verified bool
	// Guarantee is how far back from the newest point it must be possible to restore: no
	// point in between is dropped, nor the newest one before. So that holds also where
	// backups have stopped, and whatever clocks say that it is.
	Guarantee time.Duration
	// Force drops even what Guarantee covers, the newest verified point, or if none is
	// verified the newest, and points whose chain is broken.
	Force bool
}

func (p *Policy) validate() error {
	err := notNegative(
		amount{"KeepLast", int64(p.KeepLast)}, amount{"KeepWithin", int64(p.KeepWithin)}, amount{"KeepDaily", int64(p.KeepDaily)},
		amount{"KeepWeekly", int64(p.KeepWeekly)}, amount{"KeepMonthly", int64(p.KeepMonthly)}, amount{"Guarantee", int64(p.Guarantee)},
	)
	if err != nil {
		return err
	}
	if p.KeepLast == 0 && p.KeepWithin == 0 && p.KeepDaily == 0 && p.KeepWeekly == 0 && p.KeepMonthly == 0 && len(p.KeepLabels) == 0 {
		return &OptionError{Field: "Policy", Reason: "keeps nothing: give one of KeepLast, KeepWithin, KeepDaily, KeepWeekly, KeepMonthly and KeepLabels"}
	}
	return nil
}

// String lists the rules.
func (p Policy) String() string {
	var out []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(p.KeepLast > 0, "last %d", p.KeepLast)
	add(p.KeepWithin > 0, "within %s", duration(p.KeepWithin))
	add(p.KeepDaily > 0, "daily %d", p.KeepDaily)
	add(p.KeepWeekly > 0, "weekly %d", p.KeepWeekly)
	add(p.KeepMonthly > 0, "monthly %d", p.KeepMonthly)
	for _, k := range slices.Sorted(maps.Keys(p.KeepLabels)) {
		add(true, "label %s", strings.TrimSuffix(k+"="+p.KeepLabels[k], "="))
	}
	add(p.Verified, "of what is verified")
	add(p.Guarantee > 0, "guarantee of %s", duration(p.Guarantee))
	add(p.Force, "forced")
	return strings.Join(out, ", ")
}

// duration counts in days where it is more than one.
func duration(d time.Duration) string {
	const day = 24 * time.Hour
	days, rest := d/day, d%day
	switch {
	case days < 2:
		return d.String()
	case rest == 0:
		return fmt.Sprintf("%d days", days)
	}
	return fmt.Sprintf("%d days %s", days, rest)
}

// point is a restore point as rules see it.
type point struct {
	layer    *stored
	standIn  *stored      // which counts in its place; nil: none
	times    [2]time.Time // that of its end, and that of the bucket
	verified bool
	reasons  []string // why it is kept
	forced   []string // why it would be, were it not for Force
}

// clocks are what rules count by, by the index in point.times.
var clocks = [2]string{"by its own clock", "by the bucket's clock"}

// keep adds to points, which are of one store and its targets, the reasons to keep
// them.
func (p *Policy) keep(points []*point, now time.Time) {
	for _, rule := range p.rules() {
		for pt, why := range rule.apply(points, now) {
			pt.reasons = append(pt.reasons, why)
		}
	}
	for pt, why := range rule(p.keepSafe).apply(points, now) {
		if p.Force {
			pt.forced = append(pt.forced, why)
		} else {
			pt.reasons = slices.Insert(pt.reasons, 0, why)
		}
	}
}

// apply asks a rule by both clocks.
func (r rule) apply(points []*point, now time.Time) map[*point]string {
	out := map[*point]string{}
	var by [2]map[*point]string
	for clock := range by {
		by[clock] = map[*point]string{}
		sorted := slices.SortedStableFunc(slices.Values(points), func(a, b *point) int {
			if c := b.times[clock].Compare(a.times[clock]); c != 0 {
				return c
			}
			return newestFirst(a.layer.info, b.layer.info)
		})
		r(sorted, func(pt *point) time.Time { return pt.times[clock] }, now, func(pt *point, why string) { by[clock][pt] = why })
	}
	for _, pt := range points {
		own, bucket := by[0][pt], by[1][pt]
		switch {
		case own != "" && bucket != "":
			out[pt] = own
		case own != "":
			out[pt] = own + " " + clocks[0]
		case bucket != "":
			out[pt] = bucket + " " + clocks[1]
		}
	}
	return out
}

// rule says why it keeps which points. They are sorted by one clock, newest first.
type rule func(points []*point, at func(*point) time.Time, now time.Time, keep func(pt *point, why string))

func (p *Policy) rules() []rule {
	var rules []rule
	if p.KeepLast > 0 {
		rules = append(rules, p.counting(keepLast(p.KeepLast)))
	}
	if p.KeepWithin > 0 {
		rules = append(rules, keepWithin(p.KeepWithin))
	}
	rules = append(rules,
		p.counting(keepCalendar(p.KeepDaily, "daily", func(t time.Time) string { return t.Format("2006-01-02") })),
		p.counting(keepCalendar(p.KeepWeekly, "weekly", func(t time.Time) string {
			year, week := t.ISOWeek()
			return fmt.Sprintf("%04d-W%02d", year, week)
		})),
		p.counting(keepCalendar(p.KeepMonthly, "monthly", func(t time.Time) string { return t.Format("2006-01") })),
		p.keepLabels)
	if p.Verified {
		rules = append(rules, keepUnverified)
	}
	return rules
}

// keepSafe is what only Force takes away.
func (p *Policy) keepSafe(points []*point, at func(*point) time.Time, _ time.Time, keep func(*point, string)) {
	if len(points) == 0 {
		return
	}
	if i := slices.IndexFunc(points, func(pt *point) bool { return pt.verified }); i >= 0 {
		keep(points[i], "newest verified")
	} else {
		keep(points[0], "newest, none is verified")
	}
	if p.Guarantee > 0 {
		for _, pt := range points {
			keep(pt, "guarantee of "+duration(p.Guarantee))
			if at(points[0]).Sub(at(pt)) > p.Guarantee {
				break
			}
		}
	}
}

// counting lets a rule count what the policy counts.
func (p *Policy) counting(r rule) rule {
	if !p.Verified {
		return r
	}
	return func(points []*point, at func(*point) time.Time, now time.Time, keep func(*point, string)) {
		r(slices.DeleteFunc(slices.Clone(points), func(pt *point) bool { return !pt.verified }), at, now, keep)
	}
}

func keepUnverified(points []*point, _ func(*point) time.Time, _ time.Time, keep func(*point, string)) {
	for _, pt := range points {
		if pt.verified {
			return
		}
		keep(pt, "not verified yet")
	}
}

func keepLast(n int) rule {
	return func(points []*point, _ func(*point) time.Time, _ time.Time, keep func(*point, string)) {
		for i, pt := range points[:min(n, len(points))] {
			keep(pt, fmt.Sprintf("last %d of %d", i+1, n))
		}
	}
}

func keepWithin(d time.Duration) rule {
	return func(points []*point, at func(*point) time.Time, now time.Time, keep func(*point, string)) {
		for _, pt := range points {
			if now.Sub(at(pt)) <= d {
				keep(pt, "within "+duration(d))
			}
		}
	}
}

func keepCalendar(n int, name string, period func(time.Time) string) rule {
	return func(points []*point, at func(*point) time.Time, _ time.Time, keep func(*point, string)) {
		last, left := "", n
		for _, pt := range points {
			at := period(at(pt).UTC())
			if at == last {
				continue
			}
			if left == 0 {
				return
			}
			last, left = at, left-1
			keep(pt, name+" "+at)
		}
	}
}

func (p *Policy) keepLabels(points []*point, _ func(*point) time.Time, _ time.Time, keep func(*point, string)) {
	for _, pt := range points {
		if pt.layer.manifest.locked != nil && len(p.KeepLabels) > 0 {
			keep(pt, "sealed, so that its labels are not known")
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(p.KeepLabels)) {
			v, ok := pt.layer.manifest.Labels[k]
			if want := p.KeepLabels[k]; ok && (want == "" || want == v) {
				keep(pt, "label "+k+"="+v)
				break
			}
		}
	}
}
