package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Networks is a list of networks. IPv4-mapped IPv6 addresses count as IPv4.
type Networks []netip.Prefix

// Contains reports whether the address is in one of the networks.
func (n Networks) Contains(addr netip.Addr) bool {
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// callerOf returns the address that a request comes from: that of the peer or, while that
// is a trusted proxy, the address that called the proxy. Proxies append to
// X-Forwarded-For, so entries that a client wrote itself are never reached. It returns
// the zero address if the caller is unknown.
func callerOf(r *http.Request, proxies Networks) netip.Addr {
	addr, _ := parseAddr(r.RemoteAddr)
	hops := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	for hops != "" && proxies.Contains(addr) {
		comma := strings.LastIndexByte(hops, ',')
		hop, ok := parseAddr(hops[comma+1:])
		if !ok {
			break // the proxy did not say
		}
		addr, hops = hop, hops[:max(comma, 0)]
	}
	return addr
}

// parseAddr parses an IP address, with or without a port or brackets.
func parseAddr(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}

// maxSources limits the memory of a perSource to about half a MiB.
const maxSources = 4096

// perSource has a limit, a *rate.Limiter or a *semaphore.Weighted, for each of the last 4,096
// sources: an IPv4 address, or an IPv6 /64 network, which usually belongs to one subscriber. A
// source that was evicted starts again with a new one.
type perSource[T any] struct {
	create func() T
	known  *lru.Cache[netip.Addr, T]
}

func newPerSource[T any](create func() T) *perSource[T] {
	known, _ := lru.New[netip.Addr, T](maxSources) // fails only for a size below 1
	return &perSource[T]{create, known}
}

func newSourceRates(perSecond rate.Limit, burst int) *perSource[*rate.Limiter] {
	return newPerSource(func() *rate.Limiter { return rate.NewLimiter(perSecond, burst) })
}

// of returns the limit of the source that an address belongs to.
func (s *perSource[T]) of(addr netip.Addr) T {
	if addr.Is6() {
		addr = netip.PrefixFrom(addr, 64).Masked().Addr()
	}
	limit, ok := s.known.Get(addr)
	if !ok {
		limit = s.create()
		if first, found, _ := s.known.PeekOrAdd(addr, limit); found { // by a concurrent request
			limit = first
		}
	}
	return limit
}
