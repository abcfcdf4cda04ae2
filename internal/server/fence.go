package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Only passes requests for the given paths to next and answers 404 to all others.
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

// Fence applies [Only] to every request that may have come through a tunnel to this
// listener, so that other paths are served only inside the network. Callers inside use
// an IP address or an internal name, and no proxy, because ngrok's agent adds the headers
// of one. Fence does not compare with the URL of the tunnel: it is known late, and other
// names may lead to the same tunnel.
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

// isInternal reports whether a hostname is an IP address or a name without public DNS.
func isInternal(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name != "" && !strings.Contains(name, ".") ||
		strings.HasSuffix(name, ".local") || strings.HasSuffix(name, ".internal") || strings.HasSuffix(name, ".localhost")
}
