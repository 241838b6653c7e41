package varve

import (
	"fmt"
	"time"

	"github.com/varvekv/varve/export"
)

// jobSpec is what it takes to go on with a job: all but the store, and the functions that
// a caller gave.
type jobSpec struct {
	Targets jobTargets   `json:"targets"`
	Backup  *backupSpec  `json:"backup,omitempty"`
	Restore *restoreSpec `json:"restore,omitempty"`
}

// jobTargets are Targets without their store.
type jobTargets struct {
	Kind  targetKind `json:"kind"`
	Names []string   `json:"names,omitempty"`
	Spans []Span     `json:"spans,omitempty"`
}

func (t Targets) spec() jobTargets { return jobTargets{Kind: t.kind, Names: t.names, Spans: t.spans} }

func (t jobTargets) targets(store export.Store) (Targets, error) {
	out := Targets{store: store, kind: t.Kind, names: t.Names, spans: t.Spans}
	switch t.Kind {
	case clusterTarget, databasesTarget, tablesTarget, spansTarget:
		return out, out.check()
	}
	return out, fmt.Errorf("targets of the kind %q", t.Kind)
}

// backupSpec is a backup whose moment is fixed.
type backupSpec struct {
	Parent   string    `json:"parent,omitempty"`
	Chain    string    `json:"chain"`
	Start    Timestamp `json:"start"`
	End      Timestamp `json:"end"`
	AsOf     Timestamp `json:"as_of"`
	Lineage  string    `json:"lineage"`
	Named    bool      `json:"named"` // the store keeps the snapshot, under the layer's ID
	Spans    []Span    `json:"spans"`
	Excluded []Span    `json:"excluded,omitempty"`
	Missing  []Missing `json:"missing,omitempty"`

	Into            string            `json:"into,omitempty"`
	Name            string            `json:"name,omitempty"`
	Synthetic       bool              `json:"synthetic,omitempty"`
	RevisionHistory bool              `json:"revision_history,omitempty"`
	Locks           LockOptions       `json:"locks"`
	Adopt           bool              `json:"adopt,omitempty"`
	NoBase          bool              `json:"no_base,omitempty"`
	BaseLimit       int64             `json:"base_limit,string"`
	BaseAge         time.Duration     `json:"base_age_nanos,string"`
	AllowMissing    bool              `json:"allow_missing,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Concurrency     int               `json:"concurrency"`
	TargetFileBytes int64             `json:"target_file_bytes,string"`
	BytesPerSecond  int64             `json:"bytes_per_second,string"`
	Compression     string            `json:"compression"`
	NoDigest        bool              `json:"no_digest,omitempty"`
	Audit           bool              `json:"audit,omitempty"`
	MaxPause        time.Duration     `json:"max_pause_nanos,string"`
	CheckpointEvery time.Duration     `json:"checkpoint_nanos,string"`
	StallAfter      time.Duration     `json:"stall_nanos,string"`
}

var compressionNames = map[Compression]string{CompressZstd: "zstd", CompressS2: "s2", CompressNone: "none"}

// spec is the run as it must be gone on with.
func (r *run) spec() *jobSpec {
	o := r.opts
	return &jobSpec{Targets: r.targets.spec(), Backup: &backupSpec{
		Parent: r.layer.ParentID, Chain: r.layer.ChainID, Start: r.layer.Start, End: r.layer.End, AsOf: r.asOf,
		Lineage: r.info.Lineage, Named: r.keeper() != nil, Spans: r.spans, Excluded: r.excluded, Missing: r.missing,
		Into: o.Into, Name: o.Name, Synthetic: o.Synthetic && r.parent == nil, RevisionHistory: o.RevisionHistory, Locks: o.Locks, Adopt: o.Adopt,
		NoBase: o.NoBase, BaseLimit: o.BaseLimit, BaseAge: o.BaseAge, AllowMissing: o.AllowMissing, Labels: o.Labels,
		Concurrency: o.Concurrency, TargetFileBytes: o.TargetFileBytes, BytesPerSecond: o.BytesPerSecond,
		Compression: compressionNames[o.Compression], NoDigest: o.NoDigest, Audit: o.Audit,
		MaxPause: o.MaxPause, CheckpointEvery: o.CheckpointEvery, StallAfter: o.StallAfter,
	}}
}

// options are those of the run. What is read of them has been checked once.
func (s *backupSpec) options() (BackupOptions, error) {
	o := BackupOptions{
		Into: s.Into, Name: s.Name, RevisionHistory: s.RevisionHistory, Locks: s.Locks, Adopt: s.Adopt,
		NoBase: s.NoBase, BaseLimit: s.BaseLimit, BaseAge: s.BaseAge, AllowMissing: s.AllowMissing, Labels: s.Labels,
		Concurrency: s.Concurrency, TargetFileBytes: s.TargetFileBytes, BytesPerSecond: s.BytesPerSecond,
		NoDigest: s.NoDigest, Audit: s.Audit, MaxPause: s.MaxPause, CheckpointEvery: s.CheckpointEvery, StallAfter: s.StallAfter,
	}
	if s.Parent == "" {
		o.Into, o.Adopt, o.Synthetic = "", false, s.Synthetic
	}
	for c, name := range compressionNames {
		if name == s.Compression {
			o.Compression = c
			return o, nil
		}
	}
	return o, fmt.Errorf("compression %q", s.Compression)
}

// restoreSpec is a restore of which it is known what it restores, and where to.
type restoreSpec struct {
	AsOf    Timestamp `json:"as_of"`
	Lineage string    `json:"lineage,omitempty"` // that the destination gets

	Rename            []Rename      `json:"rename,omitempty"`
	Rewrite           []Rewrite     `json:"rewrite,omitempty"`
	SkipMissing       Dependency    `json:"skip_missing,omitempty"`
	SkipLocalityCheck bool          `json:"skip_locality_check,omitempty"`
	SchemaOnly        bool          `json:"schema_only,omitempty"`
	VerifyOnly        bool          `json:"verify_only,omitempty"`
	Replace           bool          `json:"replace,omitempty"`
	Prove             bool          `json:"prove,omitempty"`
	Concurrency       int           `json:"concurrency"`
	BytesPerSecond    int64         `json:"bytes_per_second,string"`
	MaxPause          time.Duration `json:"max_pause_nanos,string"`
	StallAfter        time.Duration `json:"stall_nanos,string"`
}

// spec is the restore as it must be gone on with.
func (r *restore) spec() *jobSpec {
	o := r.opts
	return &jobSpec{Targets: r.targets.spec(), Restore: &restoreSpec{
		AsOf: o.AsOf, Lineage: r.lineage, Rename: o.Rename, Rewrite: o.Rewrite, SkipMissing: o.SkipMissing,
		SkipLocalityCheck: o.SkipLocalityCheck, SchemaOnly: o.SchemaOnly, VerifyOnly: o.VerifyOnly, Replace: o.Replace,
		Prove: o.Prove, Concurrency: o.Concurrency, BytesPerSecond: o.BytesPerSecond, MaxPause: o.MaxPause, StallAfter: o.StallAfter,
	}}
}

// options are those of a restore of a layer.
func (s *restoreSpec) options(layer string) RestoreOptions {
	return RestoreOptions{
		From: layer, AsOf: s.AsOf, Rename: s.Rename, Rewrite: s.Rewrite, SkipMissing: s.SkipMissing,
		SkipLocalityCheck: s.SkipLocalityCheck, SchemaOnly: s.SchemaOnly, VerifyOnly: s.VerifyOnly, Replace: s.Replace,
		Prove: s.Prove, Concurrency: s.Concurrency, BytesPerSecond: s.BytesPerSecond, MaxPause: s.MaxPause, StallAfter: s.StallAfter,
	}
}
