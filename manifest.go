package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// Manifest is the record whose presence commits a layer. It is written last, once,
// and everything the layer consists of hangs from it: it hashes the file list,
// which hashes the files. The zero Manifest is invalid.
type Manifest struct {
	Collection string `json:"collection"` // ID of the collection it belongs to
	Layer      string `json:"layer"`
	Parent     string `json:"parent,omitempty"` // layer it extends; none: a full
	Chain      string `json:"chain"`            // the full at the beginning
	Path       string `json:"path"`
	Job        string `json:"job"`
	Epoch      int    `json:"epoch,omitempty"` // how often another process has gone on with the job

	Engine  string    `json:"engine"`
	Lineage string    `json:"lineage"`
	Adopts  string    `json:"adopts,omitempty"` // lineage of the parent, where that is another
	Start   Timestamp `json:"start"`            // exclusive; zero for a full
	End     Timestamp `json:"end"`              // the moment that the layer captures
	Oldest  Timestamp `json:"oldest"`

	Complete   bool   `json:"complete"` // the whole store was the target
	Spans      []Span `json:"spans"`
	Introduced []Span `json:"introduced,omitempty"` // spans in which nothing older counts
	Excluded   []Span `json:"excluded,omitempty"`   // deliberate holes beside them

	Targets ManifestTargets `json:"targets,omitzero"`  // as they were named
	Missing []Missing       `json:"missing,omitempty"` // what they need and the layer does not have

	Order     string `json:"order"`     // name of the order of keys
	Revisions bool   `json:"revisions"` // keys in tables carry revisions
	Merger    string `json:"merger,omitempty"`
	KeySchema string `json:"key_schema,omitempty"`

	StandsFor string   `json:"stands_for,omitempty"` // layer whose state at End this one's is
	Covers    []string `json:"covers,omitempty"`     // layers it replaces
	Refers    []string `json:"refers,omitempty"`     // other layers whose files it lists

	FileList FileList          `json:"file_list"`
	Counts   sink.Counts       `json:"counts"`
	Digest   *Digest           `json:"digest,omitempty"` // nil: none was taken
	Stats    Stats             `json:"stats"`
	Labels   map[string]string `json:"labels,omitempty"`
	Sealing  *Sealing          `json:"sealing,omitempty"` // nil: the layer is not sealed

	CreatedAt time.Time `json:"created_at"` // wall clock of the writer: for people
	Writer    string    `json:"writer"`     // build that wrote it

	sealer
}

// FileList describes the object files.sst, and how much it must hold.
type FileList struct {
	Size      int64  `json:"size,string"`
	Hash      string `json:"hash"`
	IndexSize int64  `json:"index_size,string"`
	IndexHash string `json:"index_hash"`
	Plain     int64  `json:"plain,string"`
	Files     int64  `json:"files,string"`
	Rows      int64  `json:"rows,string"`              // of digests
	Objects   int64  `json:"objects,string,omitempty"` // versions of them
	Stored    int64  `json:"stored,string,omitempty"`  // bytes of all files that it names
}

// Digest is the order-independent digest of the state at a layer's end.
type Digest struct {
	State     digest.Sum   `json:"state"`     // of keys and values
	Revisions digest.Sum   `json:"revisions"` // with timestamps; zero without revisions
	Keys      int64        `json:"keys,string"`
	Bytes     int64        `json:"bytes,string"`
	Source    DigestSource `json:"source"`
}

// sum is the digest without what it proves.
func (d *Digest) sum() digest.Digest {
	return digest.Digest{State: d.State, Revisions: d.Revisions, Keys: d.Keys, Bytes: d.Bytes}
}

// DigestSource says what a digest proves.
type DigestSource string

const (
	// DigestScan was taken of the entries as they were exported.
	DigestScan DigestSource = "scan"
	// DigestAudit was compared with a second, separate scan of the snapshot.
	DigestAudit DigestSource = "audit"
	// DigestUpdate is the parent's, or that of tables which were copied as they are,
	// updated by what changed.
	DigestUpdate DigestSource = "update"
)

// maxManifest bounds what is read of a manifest, which holds no list of files.
const maxManifest = 64 << 20

// maxFiles bounds the file list of one layer: 16 million files, some 2 PB.
const maxFiles = 1 << 24

// maxRows bounds its digest rows: 64 million, some 1 PB.
const maxRows = 1 << 26

// maxObjects bounds how many versions of objects a layer lists.
const maxObjects = 1 << 24

// leastFile and leastRow are fewer bytes than an entry of a file list takes, however well
// the list is compressed: the two hashes of a file are 64 bytes of chance, the sum in a row
// is 16. So a reader needs memory as there are stored bytes, not as somebody says.
const (
	leastFile = 32
	leastRow  = 8
)

func (m *Manifest) info() LayerInfo {
	return LayerInfo{ID: m.Layer, ParentID: m.Parent, ChainID: m.Chain, Path: m.Path, Start: m.Start, End: m.End}
}

// validate says why m cannot be the manifest of any layer. It is called before a
// manifest is written and after one is read.
func (m *Manifest) validate() error {
	errs := []error{checkID(m.Collection), checkID(m.Job), m.info().validate(), m.FileList.validate()}
	if m.Order == "" {
		errs = append(errs, errors.New("no order of keys"))
	}
	if len(m.Spans) == 0 && m.FileList.Objects == 0 && m.locked == nil {
		errs = append(errs, errors.New("no spans"))
	}
	errs = append(errs, checkNotEmpty("span", m.Spans), checkNotEmpty("introduced span", m.Introduced), checkNotEmpty("excluded span", m.Excluded))
	errs = append(errs, m.checkRelations(), m.Targets.validate())
	if m.Sealing != nil {
		errs = append(errs, m.Sealing.Objects.validate())
	}
	if c := m.Counts; c.Sets < 0 || c.Deletes < 0 || c.RangeDeletes < 0 || c.RangeKeys < 0 || c.LogicalBytes < 0 {
		errs = append(errs, errors.New("counts are negative"))
	}
	if m.Oldest.Compare(m.End) > 0 || m.Oldest.Compare(m.Start) < 0 || !m.Revisions && m.Oldest != m.End {
		errs = append(errs, fmt.Errorf("its oldest moment is %s", m.Oldest))
	}
	if d := m.Digest; d != nil && d.Source != DigestScan && d.Source != DigestAudit && d.Source != DigestUpdate {
		errs = append(errs, fmt.Errorf("digest source %q is not known", d.Source))
	}
	return errors.Join(errs...)
}

// requires are the features without which the manifest must not be read. Objects are none:
// spans can be restored without knowing them.
func (m *Manifest) requires() []string {
	if len(m.Spans) == 0 {
		return []string{featureNoSpans}
	}
	return nil
}

// checkNotEmpty says which spans hold nothing. The store's order may be unknown
// here, but no order puts anything into a span that ends where it starts.
func checkNotEmpty(what string, spans []Span) error {
	var errs []error
	for _, s := range spans {
		if len(s.End) > 0 && string(s.Start) == string(s.End) {
			errs = append(errs, fmt.Errorf("%s %s is empty", what, s))
		}
	}
	return errors.Join(errs...)
}

// checkRelations says why the layer cannot stand to others as it claims to.
func (m *Manifest) checkRelations() error {
	var errs []error
	if m.info().Full() {
		if len(m.Introduced) > 0 {
			errs = append(errs, errors.New("a full introduces spans"))
		}
		if m.Adopts != "" {
			errs = append(errs, errors.New("a full adopts a lineage"))
		}
	}
	if m.StandsFor != "" {
		errs = append(errs, checkID(m.StandsFor))
		if m.StandsFor == m.Layer || m.StandsFor == m.Parent {
			errs = append(errs, fmt.Errorf("layer %s stands for %s", m.Layer, m.StandsFor))
		}
	}
	for _, id := range slices.Concat(m.Covers, m.Refers) {
		errs = append(errs, checkID(id))
	}
	return errors.Join(errs...)
}

func (l FileList) validate() error {
	switch {
	case l.Files < 0 || l.Files > maxFiles || l.Rows < 0 || l.Rows > maxRows:
		return fmt.Errorf("file list of %d files and %d rows", l.Files, l.Rows)
	case l.Objects < 0 || l.Objects > maxObjects:
		return fmt.Errorf("file list of %d objects", l.Objects)
	case l.Stored < 0:
		return fmt.Errorf("file list of files of %d bytes", l.Stored)
	}
	f := l.file("")
	if err := f.Validate(); err != nil {
		return err
	}
	if l.Files*leastFile+l.Rows*leastRow > l.Size {
		return fmt.Errorf("file list of %d files and %d rows in %d bytes", l.Files, l.Rows, l.Size)
	}
	return nil
}

// file is the file list as the table object that it is.
func (l FileList) file(layerPath string) sink.File { return l.object(fileListObject(layerPath)) }

func (l FileList) object(name string) sink.File {
	return sink.File{
		Path: name, Format: sink.TableFormat,
		Size: l.Size, Hash: l.Hash, IndexSize: l.IndexSize, IndexHash: l.IndexHash, Plain: l.Plain,
	}
}

// checkOrder finds the order of the layer's keys: the store's own, if there is a
// store, else one of those that were handed in.
func (m *Manifest) checkOrder(orders ...*export.Order) (*export.Order, error) {
	if m.Order == export.BytewiseName {
		return nil, nil
	}
	var got []string
	for _, o := range orders {
		if o != nil && o.Name == m.Order {
			return o, nil
		}
		got = append(got, o.WithDefaults().Name)
	}
	return nil, &OrderError{Want: m.Order, Got: fmt.Sprint(got)}
}

// form is how the layer's entries stand in tables.
func (m *Manifest) form(order *export.Order) sink.Form {
	return sink.Form{Order: order, Revisions: m.Revisions}
}

func readManifest(ctx context.Context, bucket *objectio.Bucket, layerPath string) (*Manifest, error) {
	object := manifestObject(layerPath)
	b, err := bucket.Get(ctx, object, maxManifest)
	if errors.Is(err, objectio.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", layerPath, ErrNoLayer)
	}
	if err != nil {
		return nil, storageError("read", object, err)
	}
	return decodeManifest(object, layerPath, b)
}

func decodeManifest(object, layerPath string, b []byte) (*Manifest, error) {
	if isVoid(b) {
		return nil, fmt.Errorf("%s: the run was declared dead: %w", layerPath, ErrNoLayer)
	}
	r, err := parseRecord(object, b, kindLayer)
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if len(r.Sealed) > 0 {
		var clear clearManifest
		err = r.decode(object, &clear)
		m = clear.manifest()
		m.sealer = sealer{locked: ErrNoKey, stored: r}
	} else {
		err = r.decode(object, m)
	}
	if err != nil {
		return nil, err
	}
	if (m.Sealing != nil) != (m.locked != nil) {
		return nil, &CorruptError{Object: object, Want: "a manifest that is sealed, or one that is not", Got: "part of either"}
	}
	if err := m.validate(); err != nil {
		return nil, &CorruptError{Object: object, Want: "a possible manifest", Got: err.Error()}
	}
	if m.Path != layerPath {
		return nil, &CorruptError{Object: object, Want: "the manifest of " + layerPath, Got: "that of " + m.Path}
	}
	return m, nil
}
