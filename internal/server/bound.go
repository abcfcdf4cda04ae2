package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// BoundConfig says how much may be in hand at once.
type BoundConfig struct {
	Paths   []string                // bounded, for POST
	Below   []string                // what is below them is bounded, for each method but GET and HEAD
	Open    func(query string) bool // requests to them that cost nothing, and are never refused; nil: none
	Proxies Allow                   // are believed where a request comes from

	Requests   int           // in hand at once, from their first byte to their answer
	EachSource int           // of them, from one source
	Working    int           // of them, passed on at once
	Most       int64         // bytes of one body; beyond it 413
	Bytes      int64         // of the bodies longer than 64 KiB together
	Wait       time.Duration // for a turn, from the first byte on; 400 ms at least
	Within     time.Duration // the time of the whole request; 0: no bound
	// Late says that a request whose body came, but not its turn, is passed on all
	// the same, with a context that has ended, so that next may remember it. So is
	// one that found no place, if its body is short and here at once.
	Late bool

	Refused func() // hears of each refusal for want of room; may be nil
	Log     *slog.Logger
}

// boundTime is how long a request waits for room: Graph wants an answer within 3 s.
const boundTime = 400 * time.Millisecond

// Bound returns a handler that keeps the requests to the paths within what can be
// kept in memory and stored in time; all others are open. It reads the body first, and passes a
// request on when all of it is there. What is beyond the bounds is answered 503, so
// that the caller comes again; a body that is too long 413, one that is too slow
// 408.
func Bound(next http.Handler, cfg BoundConfig) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Refused == nil {
		cfg.Refused = func() {}
	}
	if cfg.Open == nil {
		cfg.Open = func(string) bool { return false }
	}
	cfg.Wait = max(cfg.Wait, boundTime)
	b := &bound{cfg, next, newHall(cfg), &rate.Sometimes{Interval: time.Minute}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !cfg.covers(r) || cfg.Open(r.URL.RawQuery) {
			next.ServeHTTP(w, r)
			return
		}
		b.serve(w, r)
	})
}

// covers says whether a request is one of those that are bounded.
func (cfg BoundConfig) covers(r *http.Request) bool {
	if r.Method == http.MethodPost && slices.Contains(cfg.Paths, r.URL.Path) {
		return true
	}
	return r.Method != http.MethodGet && r.Method != http.MethodHead && slices.ContainsFunc(cfg.Below, func(path string) bool {
		return len(r.URL.Path) > len(path) && strings.HasPrefix(r.URL.Path, path)
	})
}

type bound struct {
	cfg  BoundConfig
	next http.Handler
	hall *hall
	told *rate.Sometimes
}

func (b *bound) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	if r.ContentLength > b.cfg.Most {
		hangUp(w, r, http.StatusRequestEntityTooLarge)
		return
	}
	g, ok := b.hall.enter(source(r, b.cfg.Proxies), http.NewResponseController(w))
	if !ok {
		b.full(r)
		if !b.cfg.Late || !b.overhear(w, r) {
			hangUp(w, r, http.StatusServiceUnavailable)
		}
		return
	}
	defer b.hall.leave(g)
	body, err := b.hall.receive(r, g)
	if err != nil {
		status := statusOf(err)
		if status == http.StatusServiceUnavailable {
			b.full(r)
		}
		hangUp(w, r, status)
		return
	}
	ctx := r.Context()
	if b.cfg.Within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, began.Add(b.cfg.Within))
		defer cancel()
	}
	waiting, ended := context.WithDeadline(ctx, later(began.Add(b.cfg.Wait), time.Now().Add(boundTime)))
	defer ended()
	switch err := b.hall.turns.Acquire(waiting, 1); {
	case err == nil:
		defer b.hall.turns.Release(1)
	case b.cfg.Late:
		b.full(r)
		ctx = waiting
	default:
		b.full(r)
		refuse(w, http.StatusServiceUnavailable)
		return
	}
	r = r.WithContext(ctx)
	r.Body, r.ContentLength = body, body.size
	b.next.ServeHTTP(w, r)
}

// longestNote is the longest body that is read of a request that finds no place: so
// short that each connection may send one.
const longestNote = 1 << 10

// overhear passes on a request that finds no place, with a context that has ended.
// ok is false, and nothing is answered, if its body is long or not here at once.
func (b *bound) overhear(w http.ResponseWriter, r *http.Request) (ok bool) {
	reads := http.NewResponseController(w)
	_ = reads.SetReadDeadline(time.Now().Add(byeTime)) // writers that can't have one are those of tests
	body, err := io.ReadAll(io.LimitReader(r.Body, longestNote+1))
	if err != nil || len(body) > longestNote {
		return false
	}
	_ = reads.SetReadDeadline(time.Time{})
	ctx, end := context.WithCancel(r.Context())
	end()
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	b.next.ServeHTTP(w, r)
	return true
}

// full tells that there was no room for a request.
func (b *bound) full(r *http.Request) {
	b.cfg.Refused()
	b.told.Do(func() {
		b.cfg.Log.WarnContext(r.Context(), "requests are refused, because more came at once than can be kept (told once a minute)",
			"paths", b.cfg.Paths, "below", b.cfg.Below, "requests", b.cfg.Requests, "working", b.cfg.Working, "bytes", b.cfg.Bytes)
	})
}

// refuse answers with nothing but a status.
func refuse(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(status)
}

// byeTime is how long the rest of a body that is refused may take. It is thrown
// away, so that whoever sends it gets to read the answer.
const byeTime = 500 * time.Millisecond

// hangUp refuses a request whose body is not read to its end.
func hangUp(w http.ResponseWriter, r *http.Request, status int) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	refuse(w, status)
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(byeTime)) // writers that can't have one are those of tests
}

// Why a body was not received.
var (
	errFull    = errors.New("there is no room for the body")
	errTooLong = errors.New("the body is too long")
)

func statusOf(err error) int {
	switch {
	case errors.Is(err, errFull):
		return http.StatusServiceUnavailable
	case errors.Is(err, errTooLong):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest // it broke off
}
