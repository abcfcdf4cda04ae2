package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// AccessConfig configures an [Access].
type AccessConfig struct {
	Token   string   // callers must show it; empty: no token is needed
	AnyHost bool     // without a Token, answer under any host name
	Proxies Networks // their X-Forwarded-For and -Proto are trusted; empty: no -For, every -Proto
	Wrong   func()   // called for each wrong token
	Log     *slog.Logger
}

// Access decides who may use the paths of the mediator and of operators. It reads only
// headers.
type Access struct {
	cfg    AccessConfig
	token  [sha256.Size]byte
	cross  *http.CrossOriginProtection
	rates  *perSource[*rate.Limiter] // of wrong tokens
	wrong  atomic.Int64              // wrong tokens since the last log line
	logged rate.Sometimes
}

const (
	// Answers to wrong tokens over this rate of a source are delayed, by at most maxDelay.
	wrongBurst     = 4
	wrongPerSecond = 1
	maxDelay       = 5 * time.Second
)

// NewAccess returns an Access.
func NewAccess(cfg AccessConfig) *Access {
	return &Access{
		cfg: cfg, token: sha256.Sum256([]byte(cfg.Token)), cross: http.NewCrossOriginProtection(),
		rates: newSourceRates(wrongPerSecond, wrongBurst), logged: rate.Sometimes{Interval: time.Minute},
	}
}

// Forbidden returns why a request is forbidden, with or without the token, or "" if it is
// not. Without a configured token only loopback names are answered, because another site
// may point its own name at this service (DNS rebinding). Pages of another site may not
// change anything, and GET / does: it starts a sync.
func (a *Access) Forbidden(r *http.Request) (reason string) {
	if a.cfg.Token == "" && !a.cfg.AnyHost && !isLoopback((&url.URL{Host: r.Host}).Hostname()) {
		return "set MONITOR_TOKEN to use this name; without a token only localhost and loopback addresses are answered"
	}
	if r.Method == http.MethodGet && r.URL.Path == "/" {
		changing := *r
		changing.Method = http.MethodPost
		r = &changing
	}
	if a.cross.Check(r) != nil {
		return "this request comes from a page of another site"
	}
	return ""
}

// Admits reports whether a request shows the token, as a bearer token or as the password
// of basic auth.
func (a *Access) Admits(r *http.Request) bool {
	if a.cfg.Token == "" {
		return true
	}
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		_, shown, _ = r.BasicAuth()
	case !strings.EqualFold(scheme, "Bearer"):
		return false
	}
	return a.Accepts(r, shown)
}

// Accepts reports whether the caller showed the right token. It returns at once for the
// right token. It counts wrong tokens, and delays the answer to a source of many.
func (a *Access) Accepts(r *http.Request, shown string) bool {
	sum := sha256.Sum256([]byte(strings.TrimSpace(shown)))
	if a.cfg.Token == "" || subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1 {
		return true
	}
	a.cfg.Wrong()
	a.wrong.Add(1)
	caller := callerOf(r, a.cfg.Proxies)
	a.logged.Do(func() {
		a.cfg.Log.WarnContext(r.Context(), "requests with a wrong token (logged once a minute)", "count", a.wrong.Swap(0), "last_source", caller)
	})
	ctx, cancel := context.WithTimeout(r.Context(), maxDelay)
	defer cancel()
	if a.rates.of(caller).Wait(ctx) != nil { // at once, if the wait would be longer than maxDelay
		<-ctx.Done()
	}
	return false
}

// Secure reports whether the caller's connection is encrypted, by this service or a proxy.
func (a *Access) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	scheme, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	peer, _ := parseAddr(r.RemoteAddr)
	return strings.EqualFold(strings.TrimSpace(scheme), "https") && (len(a.cfg.Proxies) == 0 || a.cfg.Proxies.Contains(peer))
}

// isLoopback reports whether a host is localhost or a loopback address.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || err == nil && ip.Unmap().IsLoopback()
}
