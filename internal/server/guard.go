package server

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// GuardConfig says who may come to which paths.
type GuardConfig struct {
	Paths   []string         // guarded; all others are open
	Allow   Allow            // may come; empty: everyone
	Proxies Allow            // are believed where a request comes from (X-Forwarded-For)
	Rate    int              // requests a second of each source, twice as many at once; 0: no limit
	Refused func(status int) // hears of each refusal; may be nil
	Log     *slog.Logger
}

// Guard returns a handler that answers on the guarded paths 403 to who is not
// allowed and 429 to who comes too often, without a look at the request, and
// passes everything else on to next.
func Guard(next http.Handler, cfg GuardConfig) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Refused == nil {
		cfg.Refused = func(int) {}
	}
	var limit *Limit
	if cfg.Rate > 0 {
		limit = NewLimit(cfg.Rate)
	}
	told := map[int]*rate.Sometimes{
		http.StatusForbidden:       {Interval: time.Minute},
		http.StatusTooManyRequests: {Interval: time.Minute},
	}
	refuse := func(w http.ResponseWriter, r *http.Request, status int, reason string) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Length", "0")
		w.WriteHeader(status)
		cfg.Refused(status)
		told[status].Do(func() {
			cfg.Log.WarnContext(r.Context(), "requests are refused on the paths of Graph (told once a minute)", "status", status, "reason", reason)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(cfg.Paths, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		from := source(r, cfg.Proxies)
		switch {
		case len(cfg.Allow) > 0 && !cfg.Allow.Has(from):
			refuse(w, r, http.StatusForbidden, "the source is not in PUBLIC_ALLOW")
		case limit != nil && !limit.Take(from, time.Now()):
			w.Header().Set("Retry-After", "1") // a token comes within a second
			refuse(w, r, http.StatusTooManyRequests, "the source is over PUBLIC_RATE_LIMIT")
		default:
			next.ServeHTTP(w, r)
		}
	})
}
