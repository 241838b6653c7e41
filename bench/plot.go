package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// bars are one panel of a bar chart.
type bars struct {
	title string
	bars  []barOf
}

type barOf struct {
	label string
	value float64 // 0: there is none, and text says why
	text  string
	ours  bool
}

const (
	inkColor, gridColor   = "#334155", "#e2e8f0"
	oursColor, otherColor = "#0f766e", "#94a3b8"
	labelWidth, barWidth  = 250, 380
	rowHeight, valueWidth = 20, 190
)

// svg collects the elements of a picture.
type svg struct {
	strings.Builder
}

func (s *svg) element(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

func (s *svg) text(x, y float64, anchor, style, text string) {
	s.element(`<text x="%.0f" y="%.0f" text-anchor="%s" style="%s">%s</text>`, x, y, anchor, style, escaped(text))
}

func escaped(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text)) //nolint:errcheck // a Builder takes everything
	return b.String()
}

func (s *svg) writeTo(w io.Writer, width, height float64) error {
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" font-family="sans-serif" font-size="12" fill="%s">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, width, height, width, inkColor, s.String())
	return err
}

// writeBars draws panels of bars, one below the other, each with a scale of its own. A
// bar that is much longer than all of ours is cut, with a gap to show it.
func writeBars(w io.Writer, title string, panels []bars) error {
	const top = 30.0
	var s svg
	s.text(10, 22, "start", "font-size:15px;font-weight:bold", title)
	y := top
	for _, p := range panels {
		y += 26
		s.text(10, y, "start", "font-weight:bold", p.title)
		y += 8
		scale := barWidth / p.longest()
		for _, b := range p.bars {
			s.bar(y, b, scale)
			y += rowHeight
		}
	}
	return s.writeTo(w, labelWidth+barWidth+valueWidth, y+16)
}

// longest is the value that fills the width.
func (p bars) longest() float64 {
	var all, ours float64
	for _, b := range p.bars {
		all = max(all, b.value)
		if b.ours {
			ours = max(ours, b.value)
		}
	}
	if ours > 0 {
		all = min(all, 4*ours)
	}
	return max(all, math.SmallestNonzeroFloat32)
}

func (s *svg) bar(y float64, b barOf, scale float64) {
	middle := y + rowHeight*0.7
	s.text(labelWidth-8, middle, "end", "", b.label)
	length, color := b.value*scale, otherColor
	if b.ours {
		color = oursColor
	}
	cut := length > barWidth+1
	length = min(length, barWidth)
	s.element(`<rect x="%d" y="%.0f" width="%.1f" height="%d" fill="%s"/>`, labelWidth, y+2, length, rowHeight-5, color)
	if cut {
		s.element(`<path d="M%.0f %.0f l6 -%d l6 0 l-6 %d z" fill="white"/>`, length+labelWidth-30, y+rowHeight-1, rowHeight, rowHeight)
	}
	s.text(labelWidth+length+6, middle, "start", "", b.text)
}

// writePlots draws the wall times of full, incremental and restore on a data set.
func (p *plan) writePlot(w io.Writer, r *results, d dataset) error {
	var panels []bars
	for _, op := range p.operations {
		if op.name != opFull && op.name != opRandom && op.name != opRestore {
			continue
		}
		panel := bars{title: op.title + ", wall time"}
		for _, t := range p.tools {
			b := barOf{label: t.name(), ours: strings.HasPrefix(t.name(), varveDefault)}
			if s, ok := r.cell(d, op.name, t.name()).summary(); ok {
				b.value, b.text = s.Wall.Seconds(), duration(s.Wall)
			} else {
				b.text = r.cell(d, op.name, t.name()).note
			}
			panel.bars = append(panel.bars, b)
		}
		panels = append(panels, panel)
	}
	return writeBars(w, fmt.Sprintf("%s, %s", d.name(), megabytes(d.Bytes)), panels)
}

// line is what grows with size in a line chart.
type line struct {
	label  string
	points []point // by size
}

type point struct {
	size  int64
	value float64
}

// writeLines draws lines over sizes, which double from one point to the next.
func writeLines(w io.Writer, title string, lines []line, format func(float64) string) error {
	const left, top, width, height, right = 80.0, 50.0, 520.0, 280.0, 210.0
	var s svg
	s.text(10, 22, "start", "font-size:15px;font-weight:bold", title)
	most := math.SmallestNonzeroFloat32
	for _, l := range lines {
		for _, p := range l.points {
			most = max(most, p.value)
		}
	}
	for i := range 5 {
		y := top + height*(1-float64(i)/4)
		s.element(`<path d="M%.0f %.1f h%.0f" stroke="%s"/>`, left, y, width, gridColor)
		s.text(left-6, y+4, "end", "", format(most*float64(i)/4))
	}
	x := func(l line, i int) float64 { return left + width*float64(i)/float64(max(len(l.points)-1, 1)) }
	for i, p := range lines[0].points {
		s.text(x(lines[0], i), top+height+18, "middle", "", megabytes(p.size))
	}
	for n, l := range lines {
		color := []string{oursColor, "#b45309", "#4f46e5"}[n%3]
		var path []string
		for i, p := range l.points {
			at := fmt.Sprintf("%.1f %.1f", x(l, i), top+height*(1-p.value/most))
			path = append(path, at)
			s.element(`<circle cx="%s" r="3" fill="%s"/>`, strings.Replace(at, " ", `" cy="`, 1), color)
		}
		s.element(`<path d="M%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(path, " L"), color)
		s.text(left+width+14, top+14+float64(n)*18, "start", "fill:"+color, l.label)
	}
	return s.writeTo(w, left+width+right, top+height+34)
}

func seconds(v float64) string { return duration(time.Duration(v * float64(time.Second))) }
