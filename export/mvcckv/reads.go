package mvcckv

import "github.com/varvekv/varve/export"

// reads remembers what was read, and up to when, as long as somebody could still
// write below that: a transaction that has written, whose other writes must come
// above. It is exact up to a number of entries, and then says more than was read,
// which costs a transaction that writes there a move, and never an error.
type reads struct {
	low   export.Timestamp // everything was read up to here
	keys  map[string]export.Timestamp
	spans []readSpan
}

type readSpan struct {
	span export.Span
	at   export.Timestamp
}

const (
	maxReadKeys  = 4096
	maxReadSpans = 128
)

func (r *reads) key(key []byte, at export.Timestamp) {
	if r.keys == nil {
		r.keys = map[string]export.Timestamp{}
	}
	r.keys[string(key)] = later(r.keys[string(key)], at)
	if len(r.keys) > maxReadKeys {
		for _, t := range r.keys {
			r.low = later(r.low, t)
		}
		r.keys = nil
	}
}

func (r *reads) span(span export.Span, at export.Timestamp) {
	r.spans = append(r.spans, readSpan{span.Clone(), at})
	if len(r.spans) > maxReadSpans {
		for _, s := range r.spans {
			r.low = later(r.low, s.at)
		}
		r.spans = nil
	}
}

// newest is up to when key was read.
func (r *reads) newest(key []byte) export.Timestamp {
	at := later(r.low, r.keys[string(key)])
	for _, s := range r.spans {
		if s.span.Contains(nil, key) {
			at = later(at, s.at)
		}
	}
	return at
}

// newestIn is up to when anything in span was read.
func (r *reads) newestIn(span export.Span) export.Timestamp {
	at := r.low
	for key, t := range r.keys {
		if span.Contains(nil, []byte(key)) {
			at = later(at, t)
		}
	}
	for _, s := range r.spans {
		if s.span.Overlaps(nil, span) {
			at = later(at, s.at)
		}
	}
	return at
}

// forget is for when nobody is left who could write below what was read.
func (r *reads) forget() { *r = reads{} }
