package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// PublicConfig says who may call Graph's paths, and how much at once.
type PublicConfig struct {
	Allow       Networks // may call; empty: everyone
	Proxies     Networks // whose X-Forwarded-For is believed
	Rate        int      // requests a second of each source, twice as many at once; 0: no limit
	Concurrency int64    // requests passed on at once

	Refused func(status int) // called for each request that is refused
	Log     *slog.Logger
}

// Graph wants an answer within 3 s.
const (
	maxBody    = 4 << 20  // bytes of one body
	shortBody  = 16 << 10 // bytes for which there is always memory
	longBodies = 8 << 20  // bytes of the longer bodies together

	shortTime = 5 * time.Second // for the first 16 KiB
	pieceTime = time.Second     // for each 64 KiB more
	pieceSize = 64 << 10
	bodyTime  = 8 * time.Second // for all of it

	memoryTime = 1500 * time.Millisecond // to wait for memory: longer than a sender that stopped keeps it
	turnTime   = 400 * time.Millisecond  // to wait for a turn
)

// Public guards Graph's paths, which take no token. What it refuses is answered with a
// status alone: 403 and 429 to a source that may not call, or not so often, 413 and 408
// to a body that is too long or too slow, 400 to one that breaks off, and 503 if more is
// in flight than fits in memory or can be stored in time.
type Public struct {
	cfg    PublicConfig
	rates  *sourceRates // nil: no limit
	turns  *semaphore.Weighted
	memory *bodyMemory
	logged map[error]*rate.Sometimes
}

// NewPublic returns a Public.
func NewPublic(cfg PublicConfig) *Public {
	p := &Public{cfg: cfg, turns: semaphore.NewWeighted(cfg.Concurrency), memory: newBodyMemory(longBodies), logged: map[error]*rate.Sometimes{}}
	if cfg.Rate > 0 {
		p.rates = newSourceRates(cfg.Rate, 2*cfg.Rate)
	}
	for refusal := range statuses {
		p.logged[refusal] = &rate.Sometimes{Interval: time.Minute}
	}
	return p
}

// Why a request is refused.
var (
	errNotAllowed = errors.New("the source is not in PUBLIC_ALLOW")
	errTooOften   = errors.New("the source is over PUBLIC_RATE_LIMIT")
	errFull       = errors.New("more came at once than can be kept")
	errTooLong    = errors.New("the body is too long")
	errTooSlow    = errors.New("the body came too slowly")
	errBrokenOff  = errors.New("the body broke off")
)

var statuses = map[error]int{
	errNotAllowed: http.StatusForbidden, errTooOften: http.StatusTooManyRequests, errFull: http.StatusServiceUnavailable,
	errTooLong: http.StatusRequestEntityTooLarge, errTooSlow: http.StatusRequestTimeout, errBrokenOff: http.StatusBadRequest,
}

// Admits reports whether the source of a request may call now. If not, it has answered.
func (p *Public) Admits(w http.ResponseWriter, r *http.Request) bool {
	caller := callerOf(r, p.cfg.Proxies)
	switch {
	case len(p.cfg.Allow) > 0 && !p.cfg.Allow.Contains(caller):
		p.refuse(w, r, errNotAllowed)
	case p.rates != nil && !p.rates.of(caller).Allow():
		p.refuse(w, r, errTooOften)
	default:
		return true
	}
	return false
}

// Receive reads the body of a request to its end, and has next answer when it is the
// request's turn. The body is next's until it returns.
func (p *Public) Receive(w http.ResponseWriter, r *http.Request, next func(body []byte)) {
	body, release, err := p.read(w, r, sourceOf(callerOf(r, p.cfg.Proxies)))
	defer release()
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	waiting, cancel := context.WithTimeout(r.Context(), turnTime)
	defer cancel()
	if p.turns.Acquire(waiting, 1) != nil {
		p.refuse(w, r, errFull)
		return
	}
	defer p.turns.Release(1)
	r.Body = http.NoBody
	next(body.Bytes())
}

// read reads a body to its end; release gives the memory of a long one back.
func (p *Public) read(w http.ResponseWriter, r *http.Request, source netip.Addr) (body *bytes.Buffer, release func(), err error) {
	size, release := r.ContentLength, func() {}
	if size < 0 {
		size = maxBody
	}
	if size > maxBody {
		return nil, release, errTooLong
	}
	began, control := time.Now(), http.NewResponseController(w)
	defer func() { _ = control.SetReadDeadline(time.Time{}) }() // only tests have writers without deadlines
	_ = control.SetReadDeadline(began.Add(shortTime))
	limited := http.MaxBytesReader(w, r.Body, maxBody)
	body = bytes.NewBuffer(make([]byte, 0, min(size, shortBody)+bytes.MinRead))
	if _, err := body.ReadFrom(io.LimitReader(limited, shortBody)); err != nil {
		return nil, release, refusalOf(err)
	}
	if body.Len() < shortBody || size == shortBody {
		return body, release, nil
	}
	waiting, cancel := context.WithTimeout(r.Context(), memoryTime)
	defer cancel()
	if release, err = p.memory.acquire(waiting, source, size); err != nil {
		return nil, release, errFull
	}
	body.Grow(int(size) - shortBody + bytes.MinRead)
	for received := int64(pieceSize); received == pieceSize; {
		_ = control.SetReadDeadline(time.Now().Add(min(pieceTime, time.Until(began.Add(bodyTime)))))
		if received, err = body.ReadFrom(io.LimitReader(limited, pieceSize)); err != nil {
			return nil, release, refusalOf(err)
		}
	}
	return body, release, nil
}

// refusalOf translates an error of reading a body.
func refusalOf(err error) error {
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return errTooLong
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errTooSlow
	}
	return errBrokenOff
}

// refuse answers and counts a request that is not passed on.
func (p *Public) refuse(w http.ResponseWriter, r *http.Request, refusal error) {
	status := statuses[refusal]
	Refuse(w, r, status)
	p.cfg.Refused(status)
	p.logged[refusal].Do(func() {
		p.cfg.Log.WarnContext(r.Context(), "requests to Graph's paths refused (logged once a minute)", "status", status, "reason", refusal)
	})
}

// Refuse answers with a status alone. It closes the connection of a request whose body
// was not read, or the server would read the rest of it.
func Refuse(w http.ResponseWriter, r *http.Request, status int) {
	h := w.Header()
	h.Set("Content-Length", "0")
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
	if r.Body != http.NoBody {
		h.Set("Connection", "close")
	}
	w.WriteHeader(status)
}

// bodyMemory is the memory that long bodies share. One source gets half of it at most.
type bodyMemory struct {
	size int64
	all  *semaphore.Weighted

	mu      sync.Mutex
	sources map[netip.Addr]*share // guarded by mu; of the requests in flight
}

// share is what one source may have.
type share struct {
	*semaphore.Weighted
	users int // guarded by bodyMemory.mu
}

func newBodyMemory(size int64) *bodyMemory {
	return &bodyMemory{size: size, all: semaphore.NewWeighted(size), sources: map[netip.Addr]*share{}}
}

// acquire waits for n bytes until ctx ends. release is never nil.
func (m *bodyMemory) acquire(ctx context.Context, source netip.Addr, n int64) (release func(), err error) {
	n = min(n, m.size/2)
	m.mu.Lock()
	s := m.sources[source]
	if s == nil {
		s = &share{Weighted: semaphore.NewWeighted(m.size / 2)}
		m.sources[source] = s
	}
	s.users++
	m.mu.Unlock()
	leave := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(m.sources, source)
		}
	}
	if err := s.Acquire(ctx, n); err != nil {
		return leave, err
	}
	if err := m.all.Acquire(ctx, n); err != nil {
		s.Release(n)
		return leave, err
	}
	return func() {
		m.all.Release(n)
		s.Release(n)
		leave()
	}, nil
}
