package bench_test

import (
	"net/http"
	"testing"
	"time"
)

// enrolUsers come in one after the other, and as many in one request.
const enrolUsers = 10_000

// BenchmarkEnrol is part f: the mediator posts its whole table, and an operator
// the same number at once.
func BenchmarkEnrol(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, plan{users: 2 * enrolUsers})
		r := w.start()
		all := addresses(w.graph)

		heading(b, "f. %d users, one POST /monitor after the other", enrolUsers)
		var took []float64
		began := time.Now()
		for _, email := range all[:enrolUsers] {
			asked := time.Now()
			status, answer := w.call(r, http.MethodPost, "/monitor", map[string]string{"email": email, "status": "True"})
			if status/100 != 2 {
				b.Fatalf("POST /monitor = %d %.200s, want 200", status, answer)
			}
			took = append(took, ms(time.Since(asked)))
		}
		row(b, figure{name: "in all", value: time.Since(began).Seconds(), unit: "s"})
		row(b, figure{name: "answer, p50", value: quantile(took, 0.5), unit: "ms"})
		row(b, figure{name: "answer, p99", value: quantile(took, 0.99), unit: "ms"})
		row(b, figure{name: "answer, slowest", value: quantile(took, 1), unit: "ms", goal: "≤ 8000"})
		w.eventually("the mediator knows the first half", func() bool { return w.mediator.states() >= enrolUsers })
		row(b, figure{name: "until the mediator knows all", value: time.Since(began).Seconds(), unit: "s"})

		heading(b, "f. %d users in one POST /api/users", enrolUsers)
		began = time.Now()
		status, answer := w.call(r, http.MethodPost, "/api/users", map[string]any{"emails": all[enrolUsers:]})
		if status != http.StatusAccepted {
			b.Fatalf("POST /api/users = %d %.200s, want 202", status, answer)
		}
		row(b, figure{name: "answer", value: time.Since(began).Seconds(), unit: "s", goal: "≤ 8"})
		w.graph.resetStats()
		w.eventually("the mediator knows all", func() bool { return w.mediator.states() >= 2*enrolUsers })
		row(b, figure{name: "until the mediator knows all", value: time.Since(began).Seconds(), unit: "s"})
		stats := w.graph.stats()
		row(b, figure{name: "time between two reads meanwhile, p99", value: float64(stats.ReadGaps.P99), unit: "ms", goal: "≤ 2200"})
		b.ReportMetric(0, "ns/op")
	}
}
