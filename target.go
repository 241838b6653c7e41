package varve

import (
	"fmt"
	"slices"
	"strings"
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
	store export.Store
	kind  targetKind
	names []string
	spans []Span
}

// targetKind is how targets were named; manifests carry it.
type targetKind string

const (
	clusterTarget   targetKind = "cluster"
	databasesTarget targetKind = "databases"
	tablesTarget    targetKind = "tables"
	spansTarget     targetKind = "spans"
)

// Cluster is everything in the store, system objects included.
func Cluster(store export.Store) Targets { return Targets{store: store, kind: clusterTarget} }

// Databases are all that is in them at the moment that is backed up or restored: what
// is created in one later is part of the next incremental of the same targets, and what was
// dropped is not. System objects come along where they are named themselves, or a database
// that is one is.
func Databases(store export.Store, names ...string) Targets {
	return Targets{store: store, kind: databasesTarget, names: slices.Clone(names)}
}

// Tables are tables with their indexes, views, and any other objects that others are not
// in. A name is that of the database and of the object, "bank.accounts", with that of the schema
// between them where there are schemas and it is ambiguous without; "bank.*" is all that is
// in a database or schema. Each layer has what bears the name at its end: a table that was
// dropped and made anew is another one, which is backed up from the beginning.
func Tables(store export.Store, names ...string) Targets {
	return Targets{store: store, kind: tablesTarget, names: slices.Clone(names)}
}

// Spans are intervals of the store's keys. They must not be empty or overlap, and
// must start and end at bare prefixes of the store's order.
func Spans(store export.Store, spans ...Span) Targets {
	t := Targets{store: store, kind: spansTarget}
	for _, s := range spans {
		t.spans = append(t.spans, s.Clone())
	}
	return t
}

// check says why t cannot be used at all.
func (t Targets) check() error {
	switch {
	case t.store == nil:
		return &TargetError{Name: "store", Reason: "is nil"}
	case t.kind == spansTarget && len(t.spans) == 0:
		return &TargetError{Name: "Spans", Reason: "no span given"}
	case t.named() && len(t.names) == 0:
		return &TargetError{Name: t.String(), Reason: "no name given"}
	}
	for i, name := range t.names {
		switch {
		case name == "" || slices.Contains(strings.Split(name, "."), ""):
			return &TargetError{Name: fmt.Sprintf("%q", name), Reason: "has an empty part"}
		case slices.Contains(t.names[:i], name):
			return &TargetError{Name: name, Reason: "is named twice"}
		}
	}
	return nil
}

// cluster reports whether t is the whole store.
func (t Targets) cluster() bool { return t.kind == clusterTarget }

// named reports whether a catalog must tell what t is.
func (t Targets) named() bool { return t.kind == databasesTarget || t.kind == tablesTarget }

// String is the call that makes such targets, for messages.
func (t Targets) String() string {
	switch t.kind {
	case clusterTarget:
		return "Cluster"
	case databasesTarget:
		return fmt.Sprintf("Databases%q", t.names)
	case tablesTarget:
		return fmt.Sprintf("Tables%q", t.names)
	}
	return fmt.Sprintf("Spans%v", t.spans)
}

// intervals are the spans of targets that no catalog tells, by start.
func (t Targets) intervals(order *export.Order) ([]Span, error) {
	if t.cluster() {
		return []Span{{}}, nil
	}
	return sortedSpans(order, t.spans)
}

// sortedSpans are spans that were given by start, unless they cannot be given.
func sortedSpans(order *export.Order, given []Span) ([]Span, error) {
	spans := sortSpans(order, given)
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
