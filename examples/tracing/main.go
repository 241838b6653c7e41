// Tracing shows backups to OpenTelemetry: a span for each backup and restore, one below it
// for each phase, and an event for each file. The requests to storage are there, too, for
// gocloud.dev traces them as children of the span that the context has. It needs no arguments
// and no network: its spans end in a tree on the screen.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

var tracer = otel.Tracer("example.com/orders")

// traced runs what has events in a span of its own.
func traced(ctx context.Context, name string, do func(context.Context, *varve.Events) error) (err error) {
	ctx, span := tracer.Start(ctx, name)
	defer span.End()
	p := &phases{ctx: ctx, span: span}
	defer p.end()
	if err = do(ctx, p.events()); err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, name+" failed")
	}
	return err
}

// phases make spans of the phases of one run. What they are told comes one at a time.
type phases struct {
	ctx   context.Context
	span  trace.Span // of the run
	now   trace.Span // of the phase that goes on; nil: none has begun
	phase varve.Phase
	last  time.Time // when it was heard of
}

func (p *phases) events() *varve.Events {
	return &varve.Events{
		Progress: p.progress,
		File: func(f varve.FileInfo) {
			p.span.AddEvent("file", trace.WithAttributes(attribute.String("varve.path", f.Path), attribute.Int64("varve.stored_bytes", f.StoredBytes)))
		},
		Layer: func(l varve.LayerInfo) {
			p.span.SetAttributes(attribute.String("varve.layer", l.ID), attribute.Bool("varve.full", l.Full()))
		},
	}
}

func (p *phases) progress(i varve.ProgressInfo) {
	now := time.Now()
	if i.Phase != p.phase {
		p.end()
		_, p.now = tracer.Start(p.ctx, string(i.Phase), trace.WithTimestamp(now.Add(-i.Elapsed)))
	}
	p.phase, p.last = i.Phase, now
	p.now.SetAttributes(attribute.Int64("varve.bytes", i.Done))
}

// end ends the phase where it was last heard of: the end of each is told.
func (p *phases) end() {
	if p.now != nil {
		p.now.End(trace.WithTimestamp(p.last))
		p.now = nil
	}
}

func main() {
	log.SetFlags(0)
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	otel.SetTracerProvider(provider)
	if err := errors.Join(run(context.Background()), provider.ForceFlush(context.Background())); err != nil {
		log.Fatal(err)
	}
	show(spans.GetSpans(), trace.SpanID{}, "")
}

// run takes a full and an incremental, and restores.
func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "varve-tracing-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := pebble.Open(filepath.Join(dir, "data"), &pebble.Options{Logger: quiet{}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	store, err := pebblekv.New(db, filepath.Join(dir, "data"), nil)
	if err != nil {
		return err
	}
	backups, err := varve.OpenCollection(ctx, "file://"+filepath.Join(dir, "backups"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backups.Close()) }()

	for i, into := range []string{"", varve.Latest} {
		for n := range 1000 {
			if err := db.Set(fmt.Appendf(nil, "order-%d%04d", i, n), make([]byte, 100), pebble.NoSync); err != nil {
				return err
			}
		}
		err := traced(ctx, "backup", func(ctx context.Context, events *varve.Events) error {
			_, err := backups.Backup(ctx, varve.Cluster(store), &varve.BackupOptions{Into: into, Events: events})
			return err
		})
		if err != nil {
			return err
		}
	}
	return traced(ctx, "restore", func(ctx context.Context, events *varve.Events) error {
		_, err := backups.Restore(ctx, varve.Cluster(pebblekv.Dir(filepath.Join(dir, "restored"), nil)), &varve.RestoreOptions{Events: events})
		return err
	})
}

// show prints the spans below one, and counts those of a kind that have none below them.
func show(spans tracetest.SpanStubs, below trace.SpanID, indent string) {
	children := slices.DeleteFunc(slices.Clone(spans), func(s tracetest.SpanStub) bool { return s.Parent.SpanID() != below })
	slices.SortStableFunc(children, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	requests := map[string]int{}
	for _, s := range children {
		if strings.HasPrefix(s.Name, "gocloud.dev/") {
			requests[s.Name]++
			continue
		}
		fmt.Printf("%s%s", indent, s.Name)
		for _, a := range s.Attributes {
			if a.Key != "varve.layer" {
				fmt.Printf("  %s=%s", a.Key, a.Value.String())
			}
		}
		if n := len(s.Events); n > 0 {
			fmt.Printf("  events=%d", n)
		}
		fmt.Println()
		show(spans, s.SpanContext.SpanID(), indent+"    ")
	}
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		fmt.Printf("%s%s ×%d\n", indent, name, requests[name])
	}
}

// quiet keeps Pebble's own log out of the output.
type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
