package varve

import (
	"context"
	"fmt"

	"github.com/varvekv/varve/export"
)

// Privilege is what the caller of a backup or restore must be allowed to do.
type Privilege int

const (
	// PrivilegeAdmin is needed to back up or restore a whole store. The object is one of
	// the kind "cluster" without a name.
	PrivilegeAdmin Privilege = iota + 1
	// PrivilegeBackup is needed for each object that is read. Spans are objects of the kind
	// "span".
	PrivilegeBackup
	// PrivilegeRestore is needed for each object that is restored, as it will be named.
	PrivilegeRestore
)

// Kinds of what Authorize is asked about and no catalog has.
const (
	ClusterKind = "cluster"
	SpanKind    = "span"
)

// String is "admin", "backup" or "restore".
func (p Privilege) String() string {
	switch p {
	case PrivilegeAdmin:
		return "admin"
	case PrivilegeBackup:
		return "backup"
	case PrivilegeRestore:
		return "restore"
	}
	return fmt.Sprintf("Privilege(%d)", int(p))
}

// authorization asks the caller once for each object, before anything is written.
type authorization func(ctx context.Context, p Privilege, o export.Object) error

// targets asks about what was named without a catalog.
func (ask authorization) targets(ctx context.Context, t Targets, p Privilege, spans []Span) error {
	switch {
	case ask == nil:
		return nil
	case t.cluster():
		return ask.one(ctx, PrivilegeAdmin, ClusterKind, export.Object{Kind: ClusterKind, Spans: []Span{{}}})
	case t.named():
		return nil
	}
	for _, s := range spans {
		if err := ask.one(ctx, p, s.String(), export.Object{Kind: SpanKind, Name: s.String(), Spans: []Span{s}}); err != nil {
			return err
		}
	}
	return nil
}

// objects asks about each object.
func (ask authorization) objects(ctx context.Context, p Privilege, objects []*export.Object, path func(id uint64) string) error {
	if ask == nil {
		return nil
	}
	for _, o := range objects {
		if err := ask.one(ctx, p, path(o.ID), *o); err != nil {
			return err
		}
	}
	return nil
}

func (ask authorization) one(ctx context.Context, p Privilege, name string, o export.Object) error {
	if err := ask(ctx, p, o); err != nil {
		return fmt.Errorf("authorize %s of %s: %w", p, name, err)
	}
	return nil
}
