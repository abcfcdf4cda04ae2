package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Allow is a list of networks. Addresses within an IPv6 packet that are IPv4's
// count as such.
type Allow []netip.Prefix

// Has says whether the list has the address.
func (a Allow) Has(addr netip.Addr) bool {
	return slices.ContainsFunc(a, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// source returns the address that a request comes from: the peer's, or, while
// that is a proxy's, the one that the proxy says it was called from. Proxies add
// to the right of X-Forwarded-For, so what a stranger wrote there himself is
// never reached. The zero address is unknown.
func source(r *http.Request, proxies Allow) netip.Addr {
	addr, _ := parse(r.RemoteAddr)
	hops := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	for hops != "" && proxies.Has(addr) {
		comma := strings.LastIndexByte(hops, ',')
		hop, ok := parse(hops[comma+1:])
		if !ok {
			break // the proxy doesn't say
		}
		addr, hops = hop, hops[:max(comma, 0)]
	}
	return addr
}

// parse reads an address, with or without a port or brackets.
func parse(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}
