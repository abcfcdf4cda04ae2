package bench_test

import (
	"net/http"
	"testing"
	"time"
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
			if err := tb.monitor(email); err != nil {
				b.Fatal(err)
			}
			took = append(took, ms(time.Since(asked)))
		}
		row(figure{name: "total", value: time.Since(began).Seconds(), unit: "s"})
		row(figure{name: "answer, p50", value: quantile(took, 0.5), unit: "ms"})
		row(figure{name: "answer, p99", value: quantile(took, 0.99), unit: "ms"})
		row(figure{name: "answer, slowest", value: quantile(took, 1), unit: "ms", goal: "≤ 8000"})
		tb.eventually("the mediator has the first half", func() bool { return tb.mediator.stateCount() >= enrolUsers })
		row(figure{name: "until the mediator has all", value: time.Since(began).Seconds(), unit: "s"})

		heading("f. %d users in one POST /api/users", enrolUsers)
		began = time.Now()
		status, answer := send(http.MethodPost, r.base+"/api/users", encode(b, map[string]any{"emails": all[enrolUsers:]}))
		if status != http.StatusAccepted {
			b.Fatalf("POST /api/users = %d %.200s, want 202", status, answer)
		}
		row(figure{name: "answer", value: time.Since(began).Seconds(), unit: "s", goal: "≤ 8"})
		tb.graph.resetStats()
		tb.eventually("the mediator has all", func() bool { return tb.mediator.stateCount() >= 2*enrolUsers })
		row(figure{name: "until the mediator has all", value: time.Since(began).Seconds(), unit: "s"})
		stats := tb.graph.stats()
		row(figure{name: "time between two reads during that, p99", value: float64(stats.ReadGaps.P99), unit: "ms", goal: "≤ 2200"})
	}
}
