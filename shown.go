package varve

import (
	"context"
	"slices"

	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// storedObjects are the files of a sealed layer as anybody may know them, and its file list.
func storedObjects(ctx context.Context, bucket *objectio.Bucket, m *Manifest) (*contents, error) {
	list, err := readList(ctx, bucket, m, m.Sealing.Objects, objectListObject(m.Path))
	if err != nil {
		return nil, err
	}
	list.files = append(list.files, m.FileList.file(m.Path))
	return list, nil
}

// shownList is the list of a layer, or as much of it as can be read. Where both can, they
// must say the same.
func shownList(ctx context.Context, bucket *objectio.Bucket, m *Manifest) (*contents, error) {
	if m.Sealing == nil {
		return readFileList(ctx, bucket, m)
	}
	shown, err := storedObjects(ctx, bucket, m)
	if err != nil || m.locked != nil {
		return shown, err
	}
	list, err := readFileList(ctx, bucket, m)
	if err != nil {
		return nil, err
	}
	same := func(a, b sink.File) bool { return a.Path == b.Path && a.Size == b.Size && a.Hash == b.Hash }
	if files := shown.files[:len(shown.files)-1]; !slices.EqualFunc(files, list.files, same) {
		return nil, &CorruptError{Object: objectListObject(m.Path), Want: "the objects of the file list", Got: "others"}
	}
	return list, nil
}

// openList is shownList of a layer that must be readable.
func openList(ctx context.Context, bucket *objectio.Bucket, m *Manifest) (*contents, error) {
	if err := m.readable(); err != nil {
		return nil, err
	}
	return shownList(ctx, bucket, m)
}

// writeObjects stores that list.
func writeObjects(ctx context.Context, bucket *objectio.Bucket, l LayerInfo, files []sink.File) (FileList, error) {
	shown := make([]sink.File, len(files))
	for i, f := range files {
		shown[i] = sink.File{
			Path: f.Path, Layer: f.Layer, Format: sink.TableFormat,
			Size: f.Size, Hash: f.Hash, IndexSize: f.IndexSize, IndexHash: f.IndexHash, Plain: f.Plain,
		}
	}
	return writeList(ctx, bucket, l, objectListObject(l.Path), nil, &contents{files: shown})
}
