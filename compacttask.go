package varve

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/internal/merge"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// read reads the lists of the window.
func (m *compaction) read(ctx context.Context) (err error) {
	if m.order, err = m.last().checkOrder(m.bucket.orders...); err != nil {
		return err
	}
	var mu sync.Mutex
	listed := map[*Manifest][]listedObject{}
	content, errs := m.bucket.readable(ctx, m.window, func(ctx context.Context, bucket *objectio.Bucket, l *Manifest) (*contents, error) {
		list, err := readFileList(ctx, bucket, l)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			listed[l] = list.objects
		}
		return list, err
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := content.fit(m.order); err != nil {
		return err
	}
	m.content, m.proof = content, &proof{content: content}
	if m.output() == merge.State {
		m.proof = newProof(content)
	}
	m.listObjects(listed)
	return nil
}

// merge writes the files of the tasks, several at a time.
func (m *compaction) merge(ctx context.Context, tasks []mergeTask) (_ *contents, err error) {
	var parts []piece
	var total int64
	for _, t := range tasks {
		parts, total = append(parts, t.parts...), total+t.bytes
	}
	m.report.begin(PhaseCompact, total)
	shelf := newShelf(m.bucket.Bucket, parts)
	defer func() { err = errors.Join(err, shelf.close()) }()
	results := make([]sink.Result, len(tasks))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(m.opts.Concurrency)
	for i, t := range tasks {
		g.Go(func() (err error) {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			if results[i], err = m.mergeTask(gctx, shelf, t); err != nil {
				return fmt.Errorf("merge %s: %w", t.span, denied("write", dataFolder+" of "+m.layer.Path, err))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	m.report.end()
	out := new(contents)
	for _, r := range results {
		out.files = append(out.files, r.Files...)
	}
	return out, nil
}

// mergeTask merges the parts of a task one after the other. No more of them is in memory
// than some frames of each file that lies over another, and the file that is written.
func (m *compaction) mergeTask(ctx context.Context, shelf *shelf, t mergeTask) (_ sink.Result, err error) {
	overlay := sink.Bottom
	if m.parent != nil {
		overlay = sink.Above
	}
	w, err := sink.NewWriter(ctx, t.span, sink.Options{
		Bucket: m.bucket.Bucket, Form: m.last().form(m.order), Layer: m.layer.ID, Overlay: overlay,
		Compression: codecs[m.opts.Compression], TargetBytes: m.opts.TargetFileBytes, NoDigest: true,
		Key: m.key, Wrote: m.wrote,
		Name: func(file int) string { return formatData(m.layer.Path, m.layer.ID, t.number, file) },
	})
	if err != nil {
		return sink.Result{}, err
	}
	defer w.Abort()
	count := m.tally.part()
	for _, p := range t.parts {
		if err := m.mergePart(ctx, shelf, p, &tallyWriter{Writer: w, tally: count}); err != nil {
			return sink.Result{}, err
		}
	}
	result, err := w.Finish()
	if err == nil {
		m.join(count)
	}
	return result, err
}

func (m *compaction) mergePart(ctx context.Context, shelf *shelf, p piece, w *tallyWriter) (err error) {
	src, err := openSource(ctx, shelf, p, merge.Options{Order: m.order, Output: m.output()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	part := m.proof.part()
	for src.Next() {
		if err := part.add(src.Entry()); err != nil {
			return err
		}
		if err := w.Add(src.Entry()); err != nil {
			return err
		}
	}
	if err := src.Err(); err != nil {
		return err
	}
	part.done(p.span)
	m.report.add(p.bytes)
	return nil
}
