package varve

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/internal/seal"
	"github.com/varvekv/varve/sink"
)

// The file list is a table like any other, in bytewise order and so readable
// without the store's own. Its keys, numbers big-endian:
//
//	'd' ‖ ordinal (8)              a digest row, by start
//	'f' ‖ tier (4) ‖ ordinal (4)   a file, by tier and then by span
//	'l'                            the layer that the list belongs to
//	'o' ‖ ID (8) ‖ moment (12)     what an object became, the newest first
const (
	keyRow    = 'd'
	keyFile   = 'f'
	keyLayer  = 'l'
	keyObject = 'o'
)

// listedRow is a digest row as it is stored.
type listedRow struct {
	Start     []byte     `json:"start,omitempty"`
	State     digest.Sum `json:"state"`
	Revisions digest.Sum `json:"revisions"`
	Keys      int64      `json:"keys,string"`
	Bytes     int64      `json:"bytes,string"`
}

// listedLayer tells whose list it is, should it ever be found alone.
type listedLayer struct {
	Layer string `json:"layer"`
	Path  string `json:"path"`
}

// writeFileList stores the list of a layer. Files are in the order of their spans
// within each tier, rows in order of their starts.
func writeFileList(ctx context.Context, bucket *objectio.Bucket, l LayerInfo, key *seal.DataKey, of *contents) (FileList, error) {
	return writeList(ctx, bucket, l, fileListObject(l.Path), key, of)
}

func writeList(ctx context.Context, bucket *objectio.Bucket, l LayerInfo, object string, key *seal.DataKey, of *contents) (FileList, error) {
	w, err := sink.NewWriter(ctx, Span{}, sink.Options{
		Bucket: bucket, Layer: l.ID, Compression: frame.Zstd, TargetBytes: math.MaxInt64, NoDigest: true,
		Key: key, Name: func(int) string { return object },
	})
	if err != nil {
		return FileList{}, err
	}
	defer w.Abort()
	for i, r := range of.rows {
		row := listedRow{Start: r.Start, State: r.Digest.State, Revisions: r.Digest.Revisions, Keys: r.Digest.Keys, Bytes: r.Digest.Bytes}
		if err := addJSON(w, binary.BigEndian.AppendUint64([]byte{keyRow}, uint64(i)), row); err != nil {
			return FileList{}, err
		}
	}
	for i, f := range of.files {
		if err := addJSON(w, fileKey(f.Tier, i), f); err != nil {
			return FileList{}, err
		}
	}
	if err := addJSON(w, []byte{keyLayer}, listedLayer{Layer: l.ID, Path: l.Path}); err != nil {
		return FileList{}, err
	}
	for _, o := range of.objects {
		if err := addJSON(w, objectKey(o.Object.ID, o.Timestamp), o.record()); err != nil {
			return FileList{}, err
		}
	}
	result, err := w.Finish()
	if err != nil {
		return FileList{}, storageError("write", object, err)
	}
	f := result.Files[0]
	list := FileList{
		Size: f.Size, Hash: f.Hash, IndexSize: f.IndexSize, IndexHash: f.IndexHash, Plain: f.Plain,
		Files: int64(len(of.files)), Rows: int64(len(of.rows)), Objects: int64(len(of.objects)),
	}
	for _, named := range of.files {
		list.Stored += named.Size
	}
	return list, nil
}

func fileKey(tier, ordinal int) []byte {
	k := binary.BigEndian.AppendUint32([]byte{keyFile}, uint32(tier))
	return binary.BigEndian.AppendUint32(k, uint32(ordinal))
}

func addJSON(w *sink.Writer, key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode file list: %w", err)
	}
	return w.Add(&export.Entry{Kind: export.Set, Key: key, Value: b})
}

// contents are what a file list lists.
type contents struct {
	files   []sink.File
	rows    []digest.Row
	objects []listedObject
}

// readFileList reads and checks the list of a committed layer.
func readFileList(ctx context.Context, bucket *objectio.Bucket, m *Manifest) (*contents, error) {
	if err := m.readable(); err != nil {
		return nil, err
	}
	return readList(ctx, bucket, m, m.FileList, fileListObject(m.Path))
}

// readList reads one that is sealed under the key of m, if m has one.
func readList(ctx context.Context, bucket *objectio.Bucket, m *Manifest, l FileList, object string) (*contents, error) {
	out, err := scanList(ctx, bucket, m, l, object)
	if err != nil {
		return nil, err
	}
	if int64(len(out.files)) != l.Files || int64(len(out.rows)) != l.Rows || int64(len(out.objects)) != l.Objects {
		return nil, &CorruptError{
			Object: object,
			Want:   fmt.Sprintf("%d files, %d rows and %d objects", l.Files, l.Rows, l.Objects),
			Got:    fmt.Sprintf("%d, %d and %d", len(out.files), len(out.rows), len(out.objects)),
		}
	}
	return out, nil
}

// scanList reads what there is in a list, no more than l says.
func scanList(ctx context.Context, bucket *objectio.Bucket, m *Manifest, l FileList, object string) (_ *contents, err error) {
	key := m.key
	if object != fileListObject(m.Path) {
		key = nil
	}
	r, err := sink.Open(ctx, bucket, sink.Form{}, l.object(object).Under(key))
	if err != nil {
		return nil, storageError("read", object, err)
	}
	defer func() { err = denied("read", object, errors.Join(err, r.Close())) }()
	c, err := r.Cursor(ctx, Span{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	out := new(contents)
	for c.Next() {
		if err := out.add(c.Entry(), m, l); err != nil {
			return nil, listError(object, m, err)
		}
	}
	return out, c.Err()
}

// describeList is what a manifest says of a list whose stored bytes these are, but for how
// much it lists.
func describeList(body []byte) (FileList, error) {
	f, err := frame.Describe(body)
	return FileList{Size: f.Size, Hash: f.Hash, IndexSize: f.IndexSize, IndexHash: f.IndexHash, Plain: f.Plain}, err
}

// listError tells a list that is too new from one that cannot be.
func listError(object string, m *Manifest, err error) error {
	var format *FormatError
	if errors.As(err, &format) {
		return format
	}
	return &CorruptError{Object: object, Want: "the list of the files of " + m.Layer, Got: err.Error()}
}

// add takes the next entry of the list. Lists that grow past what their manifest
// claims are refused before they fill the memory.
func (c *contents) add(e *export.Entry, m *Manifest, list FileList) error {
	if e.Kind != export.Set || len(e.Key) == 0 {
		return fmt.Errorf("entry %q is not a set", e.Key)
	}
	switch e.Key[0] {
	case keyRow:
		if int64(len(c.rows)) >= list.Rows {
			return fmt.Errorf("more than %d rows", list.Rows)
		}
		return c.addRow(e.Value)
	case keyFile:
		if int64(len(c.files)) >= list.Files {
			return fmt.Errorf("more than %d files", list.Files)
		}
		return c.addFile(e.Value, m)
	case keyObject:
		if int64(len(c.objects)) >= list.Objects {
			return fmt.Errorf("more than %d objects", list.Objects)
		}
		return c.addObject(e)
	case keyLayer:
		var l listedLayer
		if err := json.Unmarshal(e.Value, &l); err != nil || l.Layer != m.Layer || l.Path != m.Path {
			return fmt.Errorf("it is the list of layer %q at %q", l.Layer, l.Path)
		}
	}
	return nil // a key space that this version need not know
}

func (c *contents) addRow(value []byte) error {
	var r listedRow
	if err := json.Unmarshal(value, &r); err != nil {
		return fmt.Errorf("row %d: %w", len(c.rows), err)
	}
	c.rows = append(c.rows, digest.Row{Start: r.Start, Digest: digest.Digest{
		State: r.State, Revisions: r.Revisions, Keys: r.Keys, Bytes: r.Bytes,
	}})
	return nil
}

func (c *contents) addFile(value []byte, m *Manifest) error {
	var f sink.File
	if err := json.Unmarshal(value, &f); err != nil {
		return fmt.Errorf("file %d: %w", len(c.files), err)
	}
	if f.Format != "" && !sink.Knows(f.Format) {
		return &FormatError{Object: fileListObject(m.Path), Feature: fmt.Sprintf("the table format %q of %s", f.Format, f.Path)}
	}
	if err := f.Validate(); err != nil {
		return fmt.Errorf("file %d: %w", len(c.files), err)
	}
	folder, layer, _, _, err := parseData(f.Path)
	if err != nil {
		return err
	}
	switch {
	case f.Layer != layer:
		return fmt.Errorf("file %s: entry says it belongs to layer %s", f.Path, f.Layer)
	case layer == m.Layer && folder != m.Path, layer != m.Layer && !slices.Contains(m.Refers, layer):
		return fmt.Errorf("file %s: is of a layer that the manifest does not refer to", f.Path)
	}
	c.files = append(c.files, f.Under(m.keyOf(f.Layer)))
	return nil
}
