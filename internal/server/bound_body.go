package server

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

const (
	short     = 64 << 10 // of a body: for that much there is always room
	firstStep = 4 << 10
)

// pieces are for long bodies: of *[short]byte.
var pieces = sync.Pool{New: func() any { return new([short]byte) }}

// piece is memory for what comes after the first size bytes of a body, n at most.
func piece(size, n int64) []byte {
	if size < short {
		return make([]byte, min(max(size, firstStep), n))
	}
	return pieces.Get().(*[short]byte)[:min(short, n)]
}

// receive reads a body to its end. Memory is taken as bytes come, and beyond 64 KiB
// only when there is room for all of it.
func (h *hall) receive(r *http.Request, g *guest) (*received, error) {
	body := &received{}
	whole := r.ContentLength // what it may be at most
	if whole < 0 {
		whole = h.cfg.Most
	}
	for ended := whole == 0; !ended; ended = ended || body.size == r.ContentLength {
		if body.size >= short && whole > short && g.room == 0 && !h.widen(r.Context(), g, whole-short) {
			return nil, errFull
		}
		// Of an untold length, one byte more shows that it is too long.
		chunk := piece(body.size, whole-body.size+1)
		n, err := fill(r.Body, chunk)
		body.add(chunk[:n])
		ended = errors.Is(err, io.EOF)
		switch {
		case err != nil && !ended && h.lost(g):
			return nil, errFull
		case err != nil && !ended:
			return nil, err
		case body.size > whole:
			return nil, errTooLong
		case g.room > 0 && !h.proceed(g, int64(n)):
			return nil, errFull
		}
	}
	if !h.arrived(g) {
		return nil, errFull
	}
	return body, nil
}

// lost says whether a guest was put out.
func (h *hall) lost(g *guest) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return g.out
}

// fill reads until p is full or an error comes. Other than with [io.ReadFull], a
// body that breaks off can be told from one that ends.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var some int
		some, err = r.Read(p[n:])
		n += some
	}
	return n, err
}

// received is a body that is there. What was read of it is given up at once.
type received struct {
	chunks [][]byte
	size   int64
	read   int // of the first chunk
}

func (b *received) add(chunk []byte) {
	if len(chunk) > 0 {
		b.chunks = append(b.chunks, chunk)
		b.size += int64(len(chunk))
	}
}

func (b *received) Read(p []byte) (int, error) {
	if len(b.chunks) == 0 {
		return 0, io.EOF
	}
	first := b.chunks[0]
	n := copy(p, first[b.read:])
	if b.read += n; b.read == len(first) {
		if cap(first) == short {
			pieces.Put((*[short]byte)(first[:short]))
		}
		b.chunks[0] = nil
		b.chunks, b.read = b.chunks[1:], 0
	}
	return n, nil
}

func (b *received) Close() error { return nil }
