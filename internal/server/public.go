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
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// PublicConfig configures a [Public].
type PublicConfig struct {
	Allow       Networks // sources that may call; empty: everyone
	Proxies     Networks // their X-Forwarded-For is trusted
	Rate        int      // requests per second and source, with bursts of twice as many; 0: no limit
	Concurrency int64    // requests passed on at once

	Refused func(status int) // called for each rejected request
	Log     *slog.Logger
}

// Graph expects an answer within 3 s.
const (
	maxBody    = 4 << 20     // bytes of a body
	shortBody  = 16 << 10    // bytes that are read without waiting for memory
	longBodies = 2 * maxBody // bytes of all longer bodies together; one source may take half

	shortTimeout = 5 * time.Second // for the first 16 KiB
	chunkTimeout = time.Second     // for each 64 KiB more
	chunkSize    = 64 << 10
	bodyTimeout  = 8 * time.Second // for the whole body

	memoryTimeout = 1500 * time.Millisecond // longer than chunkTimeout, after which a stalled sender frees its memory
	queueTimeout  = 400 * time.Millisecond  // for a request that is over Concurrency

	maxDiscard     = 4 * maxBody // bytes of a body that is too long, after the answer
	discardTimeout = 2 * time.Second
)

// Public guards Graph's paths, which take no token. It answers rejected requests with only
// a status: 403 for a source that is not allowed, 429 for one that is over its rate, 413
// and 408 for a body that is too long or too slow, 400 for a truncated body, and 503 if
// more requests are in flight than fit in memory or can be stored in time.
type Public struct {
	cfg      PublicConfig
	rates    *perSource[*rate.Limiter] // nil: no limit
	inFlight *semaphore.Weighted
	memory   *semaphore.Weighted             // bytes of long bodies
	shares   *perSource[*semaphore.Weighted] // of memory
	logged   map[error]*rate.Sometimes
}

// NewPublic returns a Public.
func NewPublic(cfg PublicConfig) *Public {
	p := &Public{
		cfg: cfg, inFlight: semaphore.NewWeighted(cfg.Concurrency), memory: semaphore.NewWeighted(longBodies),
		shares: newPerSource(func() *semaphore.Weighted { return semaphore.NewWeighted(longBodies / 2) }), logged: map[error]*rate.Sometimes{},
	}
	if cfg.Rate > 0 {
		p.rates = newSourceRates(rate.Limit(cfg.Rate), 2*cfg.Rate)
	}
	for reason := range statuses {
		p.logged[reason] = &rate.Sometimes{Interval: time.Minute}
	}
	return p
}

// Reasons to reject a request.
var (
	errNotAllowed = errors.New("the source is not in PUBLIC_ALLOW")
	errOverRate   = errors.New("the source is over PUBLIC_RATE_LIMIT")
	errOverload   = errors.New("too many requests are in flight")
	errTooLong    = errors.New("the body is too long")
	errTooSlow    = errors.New("the body arrived too slowly")
	errTruncated  = errors.New("the body is truncated or malformed")
)

var statuses = map[error]int{
	errNotAllowed: http.StatusForbidden, errOverRate: http.StatusTooManyRequests, errOverload: http.StatusServiceUnavailable,
	errTooLong: http.StatusRequestEntityTooLarge, errTooSlow: http.StatusRequestTimeout, errTruncated: http.StatusBadRequest,
}

// Admits reports whether the source of a request may call now. If not, Admits has answered.
func (p *Public) Admits(w http.ResponseWriter, r *http.Request) bool {
	caller := callerOf(r, p.cfg.Proxies)
	switch {
	case len(p.cfg.Allow) > 0 && !p.cfg.Allow.Contains(caller):
		p.refuse(w, r, errNotAllowed)
	case p.rates != nil && !p.rates.of(caller).Allow():
		p.refuse(w, r, errOverRate)
	default:
		return true
	}
	return false
}

// Receive reads the body of a request to its end and calls next, which answers, once the
// concurrency limit allows it. next must not use the body after it returns. The request's context
// ends when the caller closes its half of the connection, so nothing depends on that.
func (p *Public) Receive(w http.ResponseWriter, r *http.Request, next func(body []byte)) {
	body, release, err := p.read(w, r, callerOf(r, p.cfg.Proxies))
	if err != nil {
		release()
		p.refuse(w, r, err)
		return
	}
	defer release()
	queueCtx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), queueTimeout)
	defer cancel()
	if p.inFlight.Acquire(queueCtx, 1) != nil {
		p.refuse(w, r, errOverload)
		return
	}
	defer p.inFlight.Release(1)
	r.Body = http.NoBody
	next(body.Bytes())
}

// read reads a body to its end. release frees the memory of a long body; it is never nil.
func (p *Public) read(w http.ResponseWriter, r *http.Request, caller netip.Addr) (body *bytes.Buffer, release func(), err error) {
	size, release := r.ContentLength, func() {}
	if size < 0 {
		size = maxBody
	}
	if size > maxBody {
		return nil, release, errTooLong
	}
	began, control := time.Now(), http.NewResponseController(w)
	defer func() {
		if err == nil { // otherwise the connection is closed, and the rest of the body is not waited for
			_ = control.SetReadDeadline(time.Time{})
		}
	}()
	_ = control.SetReadDeadline(began.Add(shortTimeout))
	limited := http.MaxBytesReader(w, r.Body, maxBody)
	body = bytes.NewBuffer(make([]byte, 0, min(size, shortBody)+bytes.MinRead))
	if _, err := body.ReadFrom(io.LimitReader(limited, shortBody)); err != nil {
		return nil, release, reasonOf(err)
	}
	if body.Len() < shortBody || size == shortBody {
		return body, release, nil
	}
	memoryCtx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), memoryTimeout)
	defer cancel()
	reserved, err := p.reserve(memoryCtx, caller, size)
	if err != nil {
		return nil, release, errOverload
	}
	release = reserved
	body.Grow(int(size) - shortBody + bytes.MinRead)
	for received := int64(chunkSize); received == chunkSize; {
		_ = control.SetReadDeadline(time.Now().Add(min(chunkTimeout, time.Until(began.Add(bodyTimeout)))))
		if received, err = body.ReadFrom(io.LimitReader(limited, chunkSize)); err != nil {
			return nil, release, reasonOf(err)
		}
	}
	return body, release, nil
}

// reasonOf translates an error of reading a body.
func reasonOf(err error) error {
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return errTooLong
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errTooSlow
	}
	return errTruncated
}

// refuse rejects a request: it answers, counts and logs it.
func (p *Public) refuse(w http.ResponseWriter, r *http.Request, reason error) {
	status := statuses[reason]
	Refuse(w, r, status)
	if errors.Is(reason, errTooLong) {
		discard(w, r)
	}
	p.cfg.Refused(status)
	p.logged[reason].Do(func() {
		p.cfg.Log.WarnContext(r.Context(), "requests to Graph's paths refused (logged once a minute)", "status", status, "reason", reason)
	})
}

// discard reads the rest of a body that is too long. Many clients read the answer only after
// they have sent all, and closing the connection before would lose it.
func discard(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.Flush()
	_ = control.SetReadDeadline(time.Now().Add(discardTimeout))
	_, _ = io.CopyN(io.Discard, r.Body, maxDiscard)
}

// Refuse answers with only a status. It closes the connection of a request whose body may
// be unread, because the server would otherwise read the rest of it.
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

// reserve waits until ctx ends for n bytes of the memory that long bodies share. One caller's
// source gets at most half of it.
func (p *Public) reserve(ctx context.Context, caller netip.Addr, n int64) (release func(), err error) {
	share := p.shares.of(caller)
	if err := share.Acquire(ctx, n); err != nil {
		return nil, err
	}
	if err := p.memory.Acquire(ctx, n); err != nil {
		share.Release(n)
		return nil, err
	}
	return func() { p.memory.Release(n); share.Release(n) }, nil
}
