package main

import (
	"net/http"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/front"
	"outlook-monitor/internal/webhook"
)

// What may be in hand at once. Decoding takes a few times the bytes of a body, so
// these bound what a flood costs to about 200 MiB.
const (
	graphRequests, graphBytes     = 256, 32 << 20
	privateRequests, privateBytes = 128, 16 << 20
)

// boundGraph keeps what Graph sends to paths within what this process can keep;
// what is refused is sent again.
func (s *service) boundGraph(next http.Handler, paths []string) http.Handler {
	return front.Bound(next, front.BoundConfig{
		Paths: paths, Requests: graphRequests, Bytes: graphBytes, Most: webhook.MaxBody, Log: s.log,
		Refused: func() { s.metrics.Refused(http.StatusServiceUnavailable) },
	})
}

// boundPrivate does so for what the mediator and operators send. As with all that
// is answered 503 there, the mediator is asked for its users afterwards.
func (s *service) boundPrivate(next http.Handler) http.Handler {
	return front.Bound(next, front.BoundConfig{
		Paths:    []string{"/monitor", "/monitor/", "/api/users", "/api/users/"},
		Requests: privateRequests, Bytes: privateBytes, Most: api.MaxBody, Log: s.log,
		Refused: func() {
			s.metrics.Refused(http.StatusServiceUnavailable)
			s.syncer.Owe()
		},
	})
}
