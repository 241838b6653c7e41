package sink

import "io"

// pageBytes is small enough for a page to be cleared while the garbage collector waits.
const pageBytes = 256 << 10

// pages is a buffer that grows without moving what is in it, and keeps its memory for
// what is written after a reset.
type pages struct {
	pages [][]byte // the first of which are full
	size  int64
}

func (p *pages) Write(data []byte) (int, error) {
	n := len(data)
	for len(data) > 0 {
		at, used := int(p.size/pageBytes), int(p.size%pageBytes)
		if at == len(p.pages) {
			p.pages = append(p.pages, make([]byte, pageBytes))
		}
		k := copy(p.pages[at][used:], data)
		data, p.size = data[k:], p.size+int64(k)
	}
	return n, nil
}

// WriteTo writes all of it to w, and may be called again.
func (p *pages) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for _, page := range p.pages {
		page = page[:min(pageBytes, p.size-written)]
		if len(page) == 0 {
			break
		}
		n, err := w.Write(page)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (p *pages) reset() { p.size = 0 }
