package main

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/zeebo/xxh3"
)

// dataset is rows of one kind, and how a database holds them.
type dataset struct {
	Kind   string // text or random
	Layout string // settled or compacted
	Bytes  int64  // of keys and values
}

const (
	text   = "text"
	random = "random"

	settled   = "settled"
	compacted = "compacted"
)

func (d dataset) name() string { return d.Kind + "-" + d.Layout }

func (d dataset) valueBytes() int64 {
	if d.Kind == random {
		return 1024
	}
	return 100
}

func (d dataset) rows() uint64 { return uint64(d.Bytes / (keyBytes + d.valueBytes())) }

const keyBytes = 16

// change is a way to give one row in a hundred a new value. Rows of different
// generations have different values.
type change struct {
	Clustered  bool
	Generation uint64
}

// picks says whether the row at a place of the key space changes.
func (c change) picks(place uint64) bool {
	if c.Clustered {
		const first, span = 5 << 60, 1<<64/100 + 1 // neighbours by key, a third into all of them
		return place-first < span
	}
	return scramble(place+c.Generation)%100 == 0
}

// scramble is a bijection that looks random: the finalizer of splitmix64.
func scramble(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// place is where row i lies among all keys.
func place(i uint64) uint64 { return scramble(i + 1) }

// row makes rows. What it returns is valid until the next one is made.
type row struct {
	d          dataset
	pcg        rand.PCG
	key, value []byte
}

func (r *row) make(place, generation uint64) (key, value []byte) {
	const digits = "0123456789abcdef"
	r.key = r.key[:0]
	for shift := 60; shift >= 0; shift -= 4 {
		r.key = append(r.key, digits[place>>shift&15])
	}
	r.pcg.Seed(place, generation)
	r.value = r.value[:0]
	if r.d.Kind == random {
		r.appendNoise()
	} else {
		r.appendText()
	}
	return r.key, r.value
}

func (r *row) appendNoise() {
	for int64(len(r.value)) < r.d.valueBytes() {
		r.value = binary.LittleEndian.AppendUint64(r.value, r.pcg.Uint64())
	}
}

// appendText adds 20 digits of noise, and words.
func (r *row) appendText() {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for range 2 {
		noise := r.pcg.Uint64()
		for range 10 {
			r.value = append(r.value, digits[noise&63])
			noise >>= 6
		}
	}
	for int64(len(r.value)) < r.d.valueBytes() {
		r.value = append(r.value, words[r.pcg.Uint64()%uint64(len(words))]...)
	}
	r.value = r.value[:r.d.valueBytes()]
}

var words = [...]string{" account", " balance", " customer", " delivery", " employee", " forward", " general", " history", " invoice",
	" journal", " kingdom", " library", " machine", " nothing", " october", " payment", " quarter", " receipt", " storage", " traffic"}

// shuffled are all rows, in a random order of keys.
func (d dataset) shuffled() iter.Seq2[[]byte, []byte] {
	return d.after(nil)
}

// after are all rows with the values they have after changes.
func (d dataset) after(changes []change) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		r := row{d: d}
		for i := range d.rows() {
			at, generation := place(i), uint64(0)
			for _, c := range changes {
				if c.picks(at) {
					generation = c.Generation
				}
			}
			if !yield(r.make(at, generation)) {
				return
			}
		}
	}
}

// changed are the rows that c changes, with their new values.
func (d dataset) changed(c change) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		r := row{d: d}
		for i := range d.rows() {
			if at := place(i); c.picks(at) && !yield(r.make(at, c.Generation)) {
				return
			}
		}
	}
}

// sorted are all rows in the order of keys.
func (d dataset) sorted() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		places := make([]uint64, d.rows())
		for i := range places {
			places[i] = place(uint64(i))
		}
		slices.Sort(places)
		r := row{d: d}
		for _, at := range places {
			if !yield(r.make(at, 0)) {
				return
			}
		}
	}
}

// fingerprint tells sets of rows apart, whatever their order.
type fingerprint struct {
	rows, sum uint64
}

func (f *fingerprint) add(key, value []byte) {
	f.rows++
	f.sum += scramble(xxh3.Hash(key) ^ scramble(xxh3.Hash(value)))
}

func (f fingerprint) String() string { return fmt.Sprintf("%d rows, %016x", f.rows, f.sum) }

// fingerprintOf is that of rows.
func fingerprintOf(rows iter.Seq2[[]byte, []byte]) (f fingerprint) {
	for key, value := range rows {
		f.add(key, value)
	}
	return f
}
