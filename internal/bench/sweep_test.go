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
	toggleTime = 25 * time.Second
)

// BenchmarkSweep is part p: the time from a toggle without notification until the mediator
// receives it, with PRESENCE_SWEEP and a slow poll, on one replica and on three. Unlike the
// real Graph, the local Graph updates presence immediately.
func BenchmarkSweep(b *testing.B) {
	users, interval := envInt("BENCH_USERS", 60000), cmp.Or(os.Getenv("BENCH_INTERVAL"), "10s")
	for b.Loop() {
		tb := newTestbed(b, config{users: users, env: map[string]string{"POLL_INTERVAL": interval, "PRESENCE_SWEEP": "true"}})
		tb.start()
		tb.enrol()
		probe := tb.newProbe()
		for replicas := 1; replicas <= 3; replicas++ {
			if replicas > 1 {
				tb.start()
			}
			tb.awaitEvenShares()
			if replicas != 2 {
				probe.measureToggles(b, replicas, fmt.Sprintf("p. %s, %d users every %s, presence swept", plural(replicas, "replica"), users, interval))
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

// measureToggles measures with the current replicas.
func (n *probe) measureToggles(b *testing.B, replicas int, title string) {
	tb, users := n.tb, len(n.users)
	tb.graph.resetStats()
	tb.eventually("presence of each user was requested three times", func() bool {
		return tb.graph.stats().Calls["presence"]["200"] > int64(3*(users/ooo.MaxPresences+replicas))
	})
	tb.graph.resetStats()
	used, byPresence, began := tb.cpuByProcess()[0], tb.metric(`outlook_monitor_changes_total{source="presence"}`), time.Now()
	took := atRate(toggleRate, toggleTime, n.onceWithoutNotification)
	duration := time.Since(began).Seconds()
	byPresence = tb.metric(`outlook_monitor_changes_total{source="presence"}`) - byPresence
	stats := tb.graph.stats()
	made := toggleRate * toggleTime.Seconds()
	heading(b, "%s", title)
	row(b, figure{name: "from a toggle until the mediator has it, p50", value: quantile(took, 0.5) / 1000, unit: "s", goal: "≤ 3"})
	row(b, figure{name: "from a toggle until the mediator has it, p99", value: quantile(took, 0.99) / 1000, unit: "s", goal: "≤ 4"})
	row(b, figure{name: "from a toggle until the mediator has it, longest", value: quantile(took, 1) / 1000, unit: "s"})
	row(b, figure{name: "delivered", value: float64(len(took)), floor: made, goal: "floor: all changes"})
	row(b, figure{name: "of these found by presence", value: 100 * byPresence / made, unit: "%"})
	row(b, figure{name: "requests for presence", value: float64(stats.Calls["presence"]["200"]) / duration, unit: "/s", floor: 50, goal: "floor: Graph's quota"})
	row(b, figure{name: "answers 429 of Graph", value: float64(stats.Throttled)})
	row(b, figure{name: "reads a second", value: reads(stats) / duration, unit: "/s"})
	row(b, figure{name: "cores busy with the program", value: (tb.cpuByProcess()[0] - used) / duration})
}
