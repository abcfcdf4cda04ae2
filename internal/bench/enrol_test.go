package bench_test

import (
	"net/http"
	"testing"
	"time"

	"outlook-monitor/internal/must"
)

// enrolUsers is the number of users that are enrolled one by one, and again in one request.
const enrolUsers = 10_000

// BenchmarkEnrol is part f: the mediator posts all its users one by one, and an operator
// posts the same number in one request.
func BenchmarkEnrol(b *testing.B) {
	for b.Loop() {
		tb := newTestbed(b, config{users: 2 * enrolUsers})
		r := tb.start()
		all := addresses(tb.graph)

		heading("f. %d users, one POST /monitor after the other", enrolUsers)
		var took []float64
		began := time.Now()
		for _, email := range all[:enrolUsers] {
			asked := time.Now()
			must.NoError(b, tb.monitor(email))
			took = append(took, ms(time.Since(asked)))
		}
		row("total", time.Since(began).Seconds(), "s", 0, "")
		row("answer, p50", quantile(took, 0.5), "ms", 0, "")
		row("answer, p99", quantile(took, 0.99), "ms", 0, "")
		row("answer, slowest", quantile(took, 1), "ms", 0, "≤ 8000")
		tb.eventually("the mediator has the first half", func() bool { return tb.mediator.stateCount() >= enrolUsers })
		row("until the mediator has all", time.Since(began).Seconds(), "s", 0, "")

		heading("f. %d users in one POST /api/users", enrolUsers)
		began = time.Now()
		body := encode(b, map[string]any{"emails": all[enrolUsers:]})
		must.NoError(b, post(r.base+"/api/users", body, http.StatusAccepted))
		row("answer", time.Since(began).Seconds(), "s", 0, "≤ 8")
		tb.graph.resetStats()
		tb.eventually("the mediator has all", func() bool { return tb.mediator.stateCount() >= 2*enrolUsers })
		row("until the mediator has all", time.Since(began).Seconds(), "s", 0, "")
		stats := tb.graph.stats()
		row("time between two reads during that, p99", float64(stats.ReadGaps.P99), "ms", 0, "≤ 2200")
	}
}
