package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// LoopbackHost says whether a Host header names this machine. A page of another site
// whose name was made to lead here has another one.
func LoopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"), ".")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// crossSite says whether a request that changes something comes from a page of
// another site. GET / does: it starts a sync.
func (a *API) crossSite(r *http.Request) bool {
	if r.Method == http.MethodGet && r.URL.Path == "/" {
		posted := *r
		posted.Method = http.MethodPost
		r = &posted
	}
	return a.cross.Check(r) != nil
}
