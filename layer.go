package varve

import (
	"errors"
	"fmt"
	"time"
)

// LayerInfo is what a listing knows of a layer: exactly what the name of its index
// object carries.
type LayerInfo struct {
	// ParentID is "" and ChainID is ID for a full backup, which begins a chain.
	ID, ParentID, ChainID string
	// Path is where the layer's objects lie in the collection.
	Path string
	// The layer holds what changed in (Start, End]; a full has a zero Start.
	Start, End Timestamp
}

// Full reports whether the layer is a full backup.
func (l LayerInfo) Full() bool { return l.ParentID == "" }

func (l LayerInfo) validate() error {
	errs := []error{checkID(l.ID), checkID(l.ChainID), checkPath(l.Path)}
	switch {
	case !l.Full():
		errs = append(errs, checkID(l.ParentID))
		if l.ParentID == l.ID || l.ChainID == l.ID {
			errs = append(errs, fmt.Errorf("layer %s: belongs to chain %s and extends %s", l.ID, l.ChainID, l.ParentID))
		}
	case l.ChainID != l.ID || !l.Start.IsZero():
		errs = append(errs, fmt.Errorf("full layer %s: belongs to chain %s and starts at %s", l.ID, l.ChainID, l.Start))
	}
	if l.Start.Compare(l.End) >= 0 {
		errs = append(errs, fmt.Errorf("layer %s: starts at %s and ends at %s", l.ID, l.Start, l.End))
	}
	return errors.Join(errs...)
}

// Layer is one backup of a collection.
type Layer struct {
	LayerInfo
	Manifest *Manifest
	Stats    Stats // of the run that wrote it
}

// Stats say what a run did. Those of a backup are kept in its manifest.
type Stats struct {
	JobID           string        `json:"job_id"`
	Keys            int64         `json:"keys,string"`                    // sets
	Deletions       int64         `json:"deletions,string"`               // of keys and of ranges
	RangeKeys       int64         `json:"range_keys,string"`              // those cut at the edge of a file count in both
	Rows            int64         `json:"rows,string,omitempty"`          // of these, in rows of objects
	IndexEntries    int64         `json:"index_entries,string,omitempty"` // and in their indexes
	LogicalBytes    int64         `json:"logical_bytes,string"`           // of keys and values
	StoredBytes     int64         `json:"stored_bytes,string"`            // of table files
	CopiedBytes     int64         `json:"copied_bytes,string,omitempty"`  // of these, in tables that were copied as they are
	SharedBytes     int64         `json:"shared_bytes,string,omitempty"`  // beside these, in files of other layers
	Files           int64         `json:"files,string"`
	Requests        int64         `json:"requests,string"` // to storage, up to the manifest
	Retries         int64         `json:"retries,string"`
	Duration        time.Duration `json:"duration_nanos,string"`
	Changes         ChangeSource  `json:"changes,omitzero"`
	BasePinnedBytes int64         `json:"base_pinned_bytes,string"` // kept in the store for the next incremental
}

// plus adds up what is counted.
func (s Stats) plus(t Stats) Stats {
	s.Keys, s.Deletions, s.RangeKeys = s.Keys+t.Keys, s.Deletions+t.Deletions, s.RangeKeys+t.RangeKeys
	s.Rows, s.IndexEntries = s.Rows+t.Rows, s.IndexEntries+t.IndexEntries
	s.LogicalBytes, s.StoredBytes = s.LogicalBytes+t.LogicalBytes, s.StoredBytes+t.StoredBytes
	s.CopiedBytes, s.SharedBytes = s.CopiedBytes+t.CopiedBytes, s.SharedBytes+t.SharedBytes
	s.Files, s.Requests, s.Retries = s.Files+t.Files, s.Requests+t.Requests, s.Retries+t.Retries
	return s
}

// ChangeSource says how what a layer holds was found.
type ChangeSource int

const (
	// Everything: the layer was exported from the beginning.
	Everything ChangeSource = iota + 1
	// Revisions: the store kept what was written, and when.
	Revisions
	// Checkpoints: the store was compared with a snapshot kept of the parent's end.
	Checkpoints
	// FromChain: the store was compared with the layers of the chain, or these were merged.
	FromChain
)

var changeNames = map[ChangeSource]string{
	Everything: "everything", Revisions: "revisions", Checkpoints: "checkpoints", FromChain: "chain",
}

// String is the name that manifests carry.
func (c ChangeSource) String() string {
	if name, ok := changeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("ChangeSource(%d)", int(c))
}

// MarshalText writes the form of String.
func (c ChangeSource) MarshalText() ([]byte, error) {
	if _, ok := changeNames[c]; !ok {
		return nil, fmt.Errorf("change source %d is not known", int(c))
	}
	return []byte(c.String()), nil
}

// UnmarshalText reads the form of String.
func (c *ChangeSource) UnmarshalText(b []byte) error {
	for source, name := range changeNames {
		if name == string(b) {
			*c = source
			return nil
		}
	}
	return fmt.Errorf("change source %q is not known", b)
}
