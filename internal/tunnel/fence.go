package tunnel

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Only passes requests for one of the paths on to next and answers 404 to all
// others, as if there were nothing.
func Only(next http.Handler, paths ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(paths, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		nothing(w)
	})
}

// Fence is [Only] for the requests that came through a tunnel which ends at our
// listener, where others come too. They are known by the host that they were
// sent to: that of public, which ngrok goes by itself and tells in
// X-Forwarded-Host if its agent writes another one.
func Fence(next http.Handler, public func() string, paths ...string) http.Handler {
	fenced := Only(next, paths...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, err := url.Parse(public()); err == nil && u.Host != "" && through(r, u.Host) {
			fenced.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// through says whether a request was sent to the host.
func through(r *http.Request, host string) bool {
	if strings.EqualFold(r.Host, host) {
		return true
	}
	for name := range strings.SplitSeq(strings.Join(r.Header.Values("X-Forwarded-Host"), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(name), host) {
			return true
		}
	}
	return false
}

func nothing(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte(`{"error":"no such path"}`)) // the caller may have left
}
