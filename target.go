package varve

import (
	"slices"
	"time"

	"github.com/varvekv/varve/export"
)

type (
	// Timestamp is a position in one store's history.
	Timestamp = export.Timestamp
	// Span is the half-open interval of keys [Start, End).
	Span = export.Span
)

// At is the first position of the nanosecond t, for BackupOptions.AsOf.
func At(t time.Time) Timestamp { return export.At(t) }

// Targets say what is backed up or restored, and in which store. The zero Targets
// is invalid.
type Targets struct {
	store   export.Store
	cluster bool
	spans   []Span
}

// Cluster is everything in the store.
func Cluster(store export.Store) Targets { return Targets{store: store, cluster: true} }

// Spans are intervals of the store's keys. They must not be empty or overlap, and
// must start and end at bare prefixes of the store's order.
func Spans(store export.Store, spans ...Span) Targets {
	t := Targets{store: store}
	for _, s := range spans {
		t.spans = append(t.spans, s.Clone())
	}
	return t
}

// resolve is the spans meant, by start.
func (t Targets) resolve(order *export.Order) ([]Span, error) {
	if t.cluster {
		return []Span{{}}, nil
	}
	if len(t.spans) == 0 {
		return nil, &TargetError{Name: "Spans", Reason: "no span given"}
	}
	cmp := order.WithDefaults().Compare
	spans := slices.Clone(t.spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp(a.Start, b.Start) })
	for i, s := range spans {
		switch {
		case s.IsEmpty(order):
			return nil, &TargetError{Name: s.String(), Reason: "ends where or before it starts"}
		case !order.CutPoint(s.Start) || !order.CutPoint(s.End):
			return nil, &TargetError{Name: s.String(), Reason: "starts or ends inside a prefix of order " + order.WithDefaults().Name}
		case i > 0 && s.Overlaps(order, spans[i-1]):
			return nil, &TargetError{Name: s.String(), Reason: "overlaps " + spans[i-1].String()}
		}
	}
	return spans, nil
}

// check says why t cannot be used at all.
func (t Targets) check() error {
	if t.store == nil {
		return &TargetError{Name: "store", Reason: "is nil"}
	}
	return nil
}
