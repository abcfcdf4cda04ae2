package bench_test

import (
	"cmp"
	"fmt"
	"os"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

const (
	toggleRate = 20 // a second
	toggleSpan = 25 * time.Second
)

// BenchmarkSweep is part p: how soon the mediator knows of a toggle that no
// notification announces, with PRESENCE_SWEEP and a slow poll, on one replica and on
// three. The local Graph's presence follows a mailbox at once, as the real one doesn't.
func BenchmarkSweep(b *testing.B) {
	users, interval := setting("BENCH_USERS", 60000), cmp.Or(os.Getenv("BENCH_INTERVAL"), "10s")
	for b.Loop() {
		w := newWorld(b, plan{users: users, env: map[string]string{"POLL_INTERVAL": interval, "PRESENCE_SWEEP": "true"}})
		w.start()
		w.enrol()
		news := w.newNews()
		for replicas := 1; replicas <= 3; replicas++ {
			if replicas > 1 {
				w.start()
			}
			w.even()
			if replicas != 2 {
				news.toggles(b, replicas, fmt.Sprintf("p. %s, %d users every %s, presence swept", plural(replicas, "replica"), users, interval))
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

// toggles measures with the replicas that there are.
func (n *news) toggles(b *testing.B, replicas int, title string) {
	w, users := n.w, len(n.users)
	w.graph.resetStats()
	w.eventually("presence was asked for three times for each user", func() bool {
		return w.graph.stats().Calls["presence"]["200"] > int64(3*(users/ooo.MaxPresences+replicas))
	})
	w.graph.resetStats()
	used, byPresence, began := w.spent()[0], w.metric(`outlook_monitor_changes_total{source="presence"}`), time.Now()
	took := loaded(toggleRate, toggleSpan, n.unannounced)
	span := time.Since(began).Seconds()
	byPresence = w.metric(`outlook_monitor_changes_total{source="presence"}`) - byPresence
	stats := w.graph.stats()
	made := toggleRate * toggleSpan.Seconds()
	heading(b, "%s", title)
	row(b, figure{name: "from a toggle until the mediator knows, p50", value: quantile(took, 0.5) / 1000, unit: "s", goal: "≤ 3"})
	row(b, figure{name: "from a toggle until the mediator knows, p99", value: quantile(took, 0.99) / 1000, unit: "s", goal: "≤ 4"})
	row(b, figure{name: "from a toggle until the mediator knows, longest", value: quantile(took, 1) / 1000, unit: "s"})
	row(b, figure{name: "told", value: float64(len(took)), floor: made, goal: "the floor is the changes made"})
	row(b, figure{name: "of these seen by presence", value: 100 * byPresence / made, unit: "%"})
	row(b, figure{name: "requests for presence", value: float64(stats.Calls["presence"]["200"]) / span, unit: "/s", floor: 50, goal: "the floor is what Graph takes"})
	row(b, figure{name: "answers 429 of Graph", value: float64(stats.Throttled)})
	row(b, figure{name: "reads a second", value: reads(stats) / span, unit: "/s"})
	row(b, figure{name: "cores busy with the program", value: (w.spent()[0] - used) / span})
}
