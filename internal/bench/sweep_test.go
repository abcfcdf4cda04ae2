package bench_test

import (
	"cmp"
	"os"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
)

const (
	toggleRate = 20 // a second
	toggleTime = 25 * time.Second
)

// BenchmarkSweep is part p: the time from a toggle without notification until the mediator
// receives it, with PRESENCE_SWEEP and a slow poll, on one replica and on three. Unlike the
// real Graph, the local Graph updates presence immediately.
func BenchmarkSweep(b *testing.B) {
	users, interval := programtest.EnvInt("BENCH_USERS", 60000), cmp.Or(os.Getenv("BENCH_INTERVAL"), "10s")
	for b.Loop() {
		tb := newTestbed(b, config{users: users, env: map[string]string{"POLL_INTERVAL": interval, "PRESENCE_SWEEP": "true"}})
		tb.start()
		tb.enrol()
		probe := tb.newProbe()
		probe.replicaURL = "" // no notifications
		for _, added := range []int{0, 2} {
			for range added {
				tb.start()
			}
			tb.awaitEvenShares()
			heading("p. replicas: %d, %d users every %s, presence swept", len(tb.replicas), users, interval)
			probe.measureToggles()
		}
	}
}

// measureToggles measures with the current replicas.
func (n *probe) measureToggles() {
	tb := n.tb
	sweeps := int64(3 * (len(n.users)/ooo.MaxPresences + len(tb.replicas))) // the last call of a replica is smaller
	tb.graph.resetStats()
	tb.eventually("presence of each user was requested three times", func() bool {
		return tb.graph.stats().Calls["presence"]["200"] > sweeps
	})
	tb.graph.resetStats()
	used, byPresence, began := tb.usage(), tb.metric(`outlook_monitor_changes_total{source="presence"}`), time.Now()
	took := atRate(toggleRate, toggleTime, n.once)
	duration := time.Since(began).Seconds()
	byPresence = tb.metric(`outlook_monitor_changes_total{source="presence"}`) - byPresence
	stats := tb.graph.stats()
	made := toggleRate * toggleTime.Seconds()
	row("from a toggle until the mediator has it, p50", quantile(took, 0.5)/1000, "s", 0, "≤ 3")
	row("from a toggle until the mediator has it, p99", quantile(took, 0.99)/1000, "s", 0, "≤ 4")
	row("from a toggle until the mediator has it, longest", quantile(took, 1)/1000, "s", 0, "")
	row("delivered", float64(len(took)), "", made, "floor: all changes")
	row("of these found by presence", 100*byPresence/made, "%", 0, "")
	row("requests for presence", float64(stats.Calls["presence"]["200"])/duration, "/s", 50, "floor: Graph's quota")
	row("answers 429 of Graph", float64(stats.Throttled), "", 0, "")
	row("reads a second", reads(stats)/duration, "/s", 0, "")
	row("cores busy with the program", tb.usage().since(used).program/duration, "", 0, "")
}
