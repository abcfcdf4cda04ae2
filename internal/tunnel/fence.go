package tunnel

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Fence passes every request that may have come through a tunnel to this listener to
// outside, and all others to inside, so that paths which outside lacks are served only
// inside the network. Callers inside use an IP address or an internal name, and no proxy,
// because ngrok's agent adds the headers of one. Fence does not compare with the URL of the
// tunnel: it is known late, and other names may lead to the same tunnel.
func Fence(inside, outside http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if forwarded(r) || !isInternal((&url.URL{Host: r.Host}).Hostname()) {
			outside.ServeHTTP(w, r)
			return
		}
		inside.ServeHTTP(w, r)
	})
}

func forwarded(r *http.Request) bool {
	return slices.ContainsFunc([]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}, func(name string) bool {
		return len(r.Header.Values(name)) > 0
	})
}

// isInternal reports whether a host is an IP address or a name without public DNS.
func isInternal(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name != "" && !strings.Contains(name, ".") ||
		strings.HasSuffix(name, ".local") || strings.HasSuffix(name, ".internal") || strings.HasSuffix(name, ".localhost")
}
