package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Only passes requests for one of the paths on to next and answers 404 to all others,
// as if there were nothing.
func Only(next http.Handler, paths ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(paths, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"no such path"}`)) // the caller may have left
	})
}

// Fence is [Only] for a listener to which a tunnel leads, and for every request that
// may have come through it: other paths are for callers within the network alone. These
// use an address or a name that means nothing outside, and no proxy, because ngrok's
// agent adds the headers of one. The tunnel's own URL is not asked for: it comes late,
// and other names may lead to the same tunnel.
func Fence(next http.Handler, paths ...string) http.Handler {
	fenced := Only(next, paths...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if forwarded(r) || !isInternal(hostname(r.Host)) {
			fenced.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func forwarded(r *http.Request) bool {
	return slices.ContainsFunc([]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}, func(name string) bool {
		return len(r.Header.Values(name)) > 0
	})
}

// isInternal reports whether a hostname is an address, or a name that no public DNS has.
func isInternal(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name != "" && !strings.Contains(name, ".") ||
		strings.HasSuffix(name, ".local") || strings.HasSuffix(name, ".internal") || strings.HasSuffix(name, ".localhost")
}
