package front

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// BoundConfig says how much may be in hand at once.
type BoundConfig struct {
	Paths    []string // bounded, for POST; all others are open
	Requests int      // in hand at once
	Bytes    int64    // of their bodies together
	Most     int64    // of one body; counted for one that does not tell its length
	Refused  func()   // hears of each refusal; may be nil
	Log      *slog.Logger
}

// boundTime is how long a request waits for its turn: Graph wants an answer within
// 3 s, the mediator within 10.
const boundTime = 400 * time.Millisecond

// Bound returns a handler that keeps the POST requests to the paths within what
// can be kept in memory and stored in time. Those beyond it wait for a moment, and
// are then answered 503 without a look at them, so that the caller comes again.
// The handshake of a new subscription is never refused: it costs nothing.
func Bound(next http.Handler, cfg BoundConfig) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Refused == nil {
		cfg.Refused = func() {}
	}
	requests, bytes := semaphore.NewWeighted(int64(cfg.Requests)), semaphore.NewWeighted(cfg.Bytes)
	told := &rate.Sometimes{Interval: time.Minute}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !slices.Contains(cfg.Paths, r.URL.Path) || strings.Contains(r.URL.RawQuery, "validationToken=") {
			next.ServeHTTP(w, r)
			return
		}
		size := r.ContentLength
		if size < 0 || size > cfg.Most { // what is too long is refused by who reads it
			size = cfg.Most
		}
		size = min(size, cfg.Bytes)
		if !enter(r.Context(), requests, bytes, size) {
			h := w.Header()
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cache-Control", "no-store")
			h.Set("Content-Length", "0")
			h.Set("Retry-After", "1")
			h.Set("Connection", "close") // its body is not read
			w.WriteHeader(http.StatusServiceUnavailable)
			cfg.Refused()
			told.Do(func() {
				cfg.Log.WarnContext(r.Context(), "requests are refused, because more came at once than can be kept (told once a minute)",
					"paths", cfg.Paths, "requests", cfg.Requests, "bytes", cfg.Bytes)
			})
			return
		}
		defer requests.Release(1)
		defer bytes.Release(size)
		next.ServeHTTP(w, r)
	})
}

// enter waits for its turn, for a moment.
func enter(ctx context.Context, requests, bytes *semaphore.Weighted, size int64) bool {
	if requests.TryAcquire(1) {
		if bytes.TryAcquire(size) {
			return true
		}
		requests.Release(1)
	}
	ctx, cancel := context.WithTimeout(ctx, boundTime)
	defer cancel()
	if requests.Acquire(ctx, 1) != nil {
		return false
	}
	if bytes.Acquire(ctx, size) != nil {
		requests.Release(1)
		return false
	}
	return true
}
