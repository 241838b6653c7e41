package varve

import (
	"context"
	"errors"
	"math"
	"slices"

	"gocloud.dev/blob"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// Forge puts other entries into a table in the middle of the layer at layerPath,
// and makes all agree with it that hashes or counts it, up to the manifest. Only the
// digest is still that of the store.
func Forge(ctx context.Context, blobs *blob.Bucket, layerPath string, edit func([]export.Entry) []export.Entry) error {
	bucket := objectio.New(blobs, "")
	m, err := readManifest(ctx, bucket, layerPath)
	if err != nil {
		return err
	}
	listed, err := readFileList(ctx, bucket, m)
	if err != nil {
		return err
	}
	f := &listed.files[len(listed.files)/2]
	entries, err := tableEntries(ctx, bucket, m, *f)
	if err != nil {
		return err
	}
	if err := errors.Join(blobs.Delete(ctx, f.Path), blobs.Delete(ctx, fileListObject(layerPath)), blobs.Delete(ctx, manifestObject(layerPath))); err != nil {
		return err
	}
	if *f, err = writeTable(ctx, bucket, m, *f, edit(entries)); err != nil {
		return err
	}
	if m.FileList, err = writeFileList(ctx, bucket, m.info(), nil, listed); err != nil {
		return err
	}
	m.Counts = sink.Counts{}
	for _, f := range listed.files {
		m.Counts = m.Counts.Plus(f.Counts)
	}
	body, err := encodeRecord(kindLayer, m)
	if err != nil {
		return err
	}
	return bucket.Create(ctx, manifestObject(layerPath), body)
}

// Entries are those of all files of the layer at layerPath, of none below it.
func Entries(ctx context.Context, blobs *blob.Bucket, layerPath string) ([]export.Entry, error) {
	bucket := objectio.New(blobs, "")
	m, err := readManifest(ctx, bucket, layerPath)
	if err != nil {
		return nil, err
	}
	listed, err := readFileList(ctx, bucket, m)
	if err != nil {
		return nil, err
	}
	var all []export.Entry
	for _, f := range listed.files {
		entries, err := tableEntries(ctx, bucket, m, f)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

func tableEntries(ctx context.Context, bucket *objectio.Bucket, m *Manifest, f sink.File) (_ []export.Entry, err error) {
	r, err := sink.Open(ctx, bucket, m.form(nil), f)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := r.Cursor(ctx, Span{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	var out []export.Entry
	for c.Next() {
		e := *c.Entry()
		e.Key, e.End, e.Suffix, e.Value = slices.Clone(e.Key), slices.Clone(e.End), slices.Clone(e.Suffix), slices.Clone(e.Value)
		out = append(out, e)
	}
	return out, c.Err()
}

func writeTable(ctx context.Context, bucket *objectio.Bucket, m *Manifest, f sink.File, entries []export.Entry) (sink.File, error) {
	w, err := sink.NewWriter(ctx, f.Span, sink.Options{
		Bucket: bucket, Form: m.form(nil), Layer: f.Layer, Compression: frame.Zstd,
		TargetBytes: math.MaxInt64, NoDigest: true, Name: func(int) string { return f.Path },
	})
	if err != nil {
		return f, err
	}
	defer w.Abort()
	for i := range entries {
		if err := w.Add(&entries[i]); err != nil {
			return f, err
		}
	}
	result, err := w.Finish()
	if err != nil {
		return f, err
	}
	return result.Files[0], nil
}
