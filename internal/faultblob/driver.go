package faultblob

import (
	"context"
	"errors"
	"slices"

	"gocloud.dev/blob"
	gocloud "gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// driver is the bucket as gocloud sees it.
type driver struct{ *Bucket }

// Close leaves the objects to the other handles.
func (d driver) Close() error { return nil }

// As shows nothing of the bucket below.
func (d driver) As(any) bool { return false }

// ErrorAs shows nothing of the bucket below.
func (d driver) ErrorAs(error, any) bool { return false }

func (d driver) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, errDenied):
		return gcerrors.PermissionDenied
	case errors.Is(err, errRepeated):
		return gcerrors.FailedPrecondition
	case errors.Is(err, gcerrors.ErrUnimplemented):
		return gcerrors.Unimplemented
	}
	return gcerrors.Code(err)
}

func (d driver) Attributes(ctx context.Context, key string) (attrs *gocloud.Attributes, err error) {
	err = d.do(ctx, Op{Kind: Head, Key: key}, func(Op) error {
		a, err := d.under.Attributes(ctx, key)
		if err == nil {
			attrs = attributes(a)
			attrs.ModTime = d.dated(key, a.ModTime)
		}
		return err
	})
	return attrs, err
}

func attributes(a *blob.Attributes) *gocloud.Attributes {
	return &gocloud.Attributes{
		CacheControl:       a.CacheControl,
		ContentDisposition: a.ContentDisposition,
		ContentEncoding:    a.ContentEncoding,
		ContentLanguage:    a.ContentLanguage,
		ContentType:        a.ContentType,
		Metadata:           a.Metadata,
		CreateTime:         a.CreateTime,
		ModTime:            a.ModTime,
		Size:               a.Size,
		MD5:                a.MD5,
		ETag:               a.ETag,
	}
}

// defaultPage is the size of a page nobody gave a size.
const defaultPage = 1000

func (d driver) ListPaged(ctx context.Context, opts *gocloud.ListOptions) (page *gocloud.ListPage, err error) {
	token, size := opts.PageToken, opts.PageSize
	if len(token) == 0 {
		token = blob.FirstPageToken
	}
	if size == 0 {
		size = defaultPage
	}
	err = d.do(ctx, Op{Kind: List, Key: opts.Prefix}, func(op Op) error {
		objects, next, err := d.under.ListPage(ctx, token, size, &blob.ListOptions{
			Prefix:     opts.Prefix,
			Delimiter:  opts.Delimiter,
			BeforeList: opts.BeforeList,
		})
		page = &gocloud.ListPage{NextPageToken: next}
		hidden := d.unlisted(op.Fault)
		for _, o := range objects {
			if slices.Contains(hidden, o.Key) {
				continue
			}
			page.Objects = append(page.Objects, &gocloud.ListObject{
				Key: o.Key, ModTime: d.dated(o.Key, o.ModTime), Size: o.Size, MD5: o.MD5, IsDir: o.IsDir,
			})
		}
		return err
	})
	return page, err
}

func (d driver) Copy(ctx context.Context, dstKey, srcKey string, opts *gocloud.CopyOptions) error {
	return d.do(ctx, Op{Kind: Copy, Key: dstKey}, func(op Op) error {
		return d.write(op, func() error {
			return d.under.Copy(ctx, dstKey, srcKey, &blob.CopyOptions{BeforeCopy: opts.BeforeCopy})
		})
	})
}

func (d driver) Delete(ctx context.Context, key string, opts *gocloud.DeleteOptions) error {
	return d.do(ctx, Op{Kind: Delete, Key: key}, func(op Op) error {
		return d.remove(op, func() error {
			return d.under.DeleteWithOptions(ctx, key, &blob.DeleteOptions{BeforeDelete: opts.BeforeDelete})
		})
	})
}

// SignedURL is not supported: it would be a way around the faults and the judge.
func (d driver) SignedURL(context.Context, string, *gocloud.SignedURLOptions) (string, error) {
	return "", gcerrors.ErrUnimplemented
}
