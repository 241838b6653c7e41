package export

import "context"

// A catalog is what an application calls its data: databases, and what is in them. The
// abilities of this file are optional, like those of optional.go.

// Kinds of objects that varve tells apart. Others are treated as views are: named, in a
// parent, without data unless they have spans.
const (
	DatabaseObject = "database"
	SchemaObject   = "schema" // in a database; names may leave it out where that is not ambiguous
	TableObject    = "table"
	ViewObject     = "view"
	SequenceObject = "sequence"
	TypeObject     = "type"
	FunctionObject = "function"
	ScheduleObject = "schedule"
	SystemObject   = "system" // users, grants, settings
)

// Kinds of dependencies that varve tells apart: those without which a restore can go on.
const (
	ForeignKeyDependency    = "foreign key"
	SequenceDependency      = "sequence"
	SequenceOwnerDependency = "sequence owner"
	ViewDependency          = "view" // of a view, on what it shows
	TypeDependency          = "type"
)

// Object is a named thing in a store: a database, a table with its indexes, a
// view, a system object.
type Object struct {
	ID         uint64 // not 0, and of one object for the whole life of a store
	Parent     uint64 // object it is in; 0: none
	Kind       string
	Name       string // in its parent, where no other object has it
	Spans      []Span // its data: of a table the rows, then each index; no two objects share a key
	Definition []byte // not read by varve, and restored as it is: it should name others as the application does, not by ID or span
	Grants     []byte // neither
	Needs      []Dependency
	Regions    []string // that a store must have to hold it
	System     bool     // comes with a cluster alone, unless it is asked for by name
}

// Dependency is what an object cannot be restored without.
type Dependency struct {
	Kind string // "foreign key", "sequence", "view", "type"
	On   uint64
}

// Cataloger, on Snapshot: named objects as of it. Without it only Cluster and
// Spans are targets.
type Cataloger interface {
	// Objects lists all of them, each after its parent. They are the caller's.
	Objects(ctx context.Context) ([]Object, error)
}

// CatalogHistorian, on Snapshot of a store with [Info].Revisions: what objects were
// between two moments. Without it a backup knows its objects as of its end alone.
type CatalogHistorian interface {
	// ObjectVersions lists what objects became in (since, snapshot], oldest first, all that
	// is kept if since is zero. It is [ErrNoBase] where Info.Oldest has come after since.
	ObjectVersions(ctx context.Context, since Timestamp) ([]ObjectVersion, error)
}

// ObjectVersion is what an object was from a moment on.
type ObjectVersion struct {
	Timestamp Timestamp
	Object    Object // if Dropped, as it was before
	Dropped   bool
}

// Placer, on Store: finds room for objects that are restored under a name. Without it
// only whole stores and spans are restored.
type Placer interface {
	// Place returns what each object will be in this store, with an ID and spans of its
	// own: as many spans as it had, in their order, each all keys with one prefix if
	// the former was, else the same; Name is the last of its path, and all else as it
	// was, Parent and Needs too, which the caller maps. Its spans hold nothing, and no other
	// object has a part of them. An object that this store has under that path keeps
	// what it has here, its data too, if the store cannot have another beside it. What is
	// not placed at a Commit is lost and nothing else; IDs are not given twice. An object
	// that has no place is an error. Where the store has a static catalog, and none was
	// declared, that wraps errors.ErrUnsupported.
	Place(ctx context.Context, wanted []Placement) ([]Object, error)
}

// Placement is an object, and the names from its database down that it will have.
type Placement struct {
	Path   []string
	Object Object // as it was backed up
}

// CatalogIngester, on Ingester of a Placer: makes objects appear together with their data.
// IngestOptions.Spans may then be empty, if objects have no data.
type CatalogIngester interface {
	// Publish adds objects, parents first, to what Commit makes visible. Their Parent and
	// Needs are of this store. One that bears the name of another in its parent takes its
	// place, and that of all that is in it, if IngestOptions.Replace is set; else Commit
	// is a *NotEmptyError that names it. One that is there as it is to be is left alone.
	// What was published by another ingester of the same name is not taken up.
	Publish(ctx context.Context, objects []Object) error
}
