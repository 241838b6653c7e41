package dirblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"gocloud.dev/blob/driver"
)

// reader reads a part of an object's file.
type reader struct {
	*io.SectionReader
	ctx   context.Context // ends the reading
	file  *os.File
	attrs driver.ReaderAttributes
}

// NewRangeReader opens the object as it is now; a later overwrite or delete does
// not change what is read. Beyond the end there is nothing to read.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	r, err := b.newReader(ctx, key, offset, length)
	if err != nil {
		return nil, fmt.Errorf("read in %s: %w", b.dir, err)
	}
	if opts.BeforeRead != nil {
		if err := opts.BeforeRead(none); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

func (b *bucket) newReader(ctx context.Context, key string, offset, length int64) (*reader, error) {
	// Looked at before it is opened: a named pipe would wait for its writer.
	root, _, err := b.find(ctx, key)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(key)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if rest := max(info.Size()-offset, 0); length < 0 || length > rest {
		length = rest
	}
	attrs := driver.ReaderAttributes{ContentType: contentType, ModTime: info.ModTime(), Size: info.Size()}
	return &reader{io.NewSectionReader(f, offset, length), ctx, f, attrs}, nil
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.SectionReader.Read(p)
}

func (r *reader) Close() error { return r.file.Close() }

func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attrs }

func (r *reader) As(any) bool { return false }
