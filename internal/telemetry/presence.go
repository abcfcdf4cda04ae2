package telemetry

import "github.com/prometheus/client_golang/prometheus"

// presence counts what sweeps of presence do. How often one was first is told by
// the changes whose source is presence.
type presence struct{ calls, marked prometheus.Counter }

func newPresence(r *prometheus.Registry) presence {
	return presence{
		calls: counter(r, "presence_calls_total",
			"Requests for the presence of up to 650 users each.").WithLabelValues(),
		marked: counter(r, "presence_marked_total",
			"Users who were marked to be read because their presence turned.").WithLabelValues(),
	}
}

// PresenceSwept counts a sweep: its calls, and the users that it marked.
func (m *Metrics) PresenceSwept(calls, marked int) {
	m.presence.calls.Add(float64(calls))
	m.presence.marked.Add(float64(marked))
}
