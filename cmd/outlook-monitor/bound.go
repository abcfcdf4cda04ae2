package main

import (
	"net/http"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

// What may be in hand at once. A long body is in memory twice while it is copied, and
// the garbage collector lets the heap grow to twice its size: what strangers send costs
// about 50 MiB, and must not cost more than 64.
var (
	graphBound = server.BoundConfig{
		Requests: 1024, EachSource: 512, Working: 256, Most: webhook.MaxBody, Bytes: 8 << 20, Open: webhook.IsHandshake,
	}
	// The mediator gives up after 10 s, and does not say a second time whom it does
	// not want any more.
	monitorBound = server.BoundConfig{
		Requests: 512, EachSource: 256, Working: 128, Most: 64 << 10, Wait: 5 * time.Second, Within: 7500 * time.Millisecond, Late: true,
		Paths: []string{"/monitor", "/monitor/"},
	}
	bulkBound = server.BoundConfig{
		Requests: 128, EachSource: 64, Working: 16, Most: api.MaxBody, Bytes: 16 << 20,
		Paths: []string{"/api/users", "/api/users/", "/ui/api/users"},
	}
	// One user at a time; none of these needs a body. A start may wait for Graph.
	userBound = server.BoundConfig{
		Requests: 256, EachSource: 128, Working: 64, Most: 64 << 10, Wait: 5 * time.Second, Within: 7500 * time.Millisecond,
		Below: []string{"/api/users/", "/ui/api/users/"},
	}
)

// boundGraph keeps what Graph sends to paths within what this process can keep;
// what is refused is sent again.
func (s *service) boundGraph(next http.Handler, paths []string) http.Handler {
	cfg := graphBound
	cfg.Paths = paths
	return s.bound(next, cfg, func() {})
}

// boundPrivate does so for what the mediator and operators send. Where users of the
// mediator's may have been refused, it is asked for them afterwards.
func (s *service) boundPrivate(next http.Handler) http.Handler {
	next = s.bound(next, userBound, func() {})
	return s.bound(s.bound(next, bulkBound, s.syncer.Owe), monitorBound, s.syncer.Owe)
}

func (s *service) bound(next http.Handler, cfg server.BoundConfig, refused func()) http.Handler {
	cfg.Proxies, cfg.Log = s.cfg.settings.TrustedProxies, s.log
	cfg.Refused = func() {
		s.metrics.Refused(http.StatusServiceUnavailable)
		refused()
	}
	return server.Bound(next, cfg)
}
