package bench_test

import (
	"math"
	"testing"
	"time"

	"outlook-monitor/internal/programtest"
)

// readUsers is the number of users in part a: 5,000 reads a second.
const readUsers = 10_000

// The result is the median of several rounds.
const (
	readTime = 4 * time.Second
	rounds   = 5

	floorTime = 2500 * time.Millisecond
)

// BenchmarkRead is part a: the CPU time of one read in the program. The floor reads at the
// same rate from the same Graph, with batches of the same size.
func BenchmarkRead(b *testing.B) {
	users := programtest.EnvInt("BENCH_USERS", readUsers)
	tb := newTestbed(b, config{users: users})
	for b.Loop() {
		rate := float64(users) / 2
		var floors [len(floorVariants)][]float64
		tb.floors(rate, &floors)
		tb.start()
		tb.enrol()
		var cpu, speed []float64
		for range rounds {
			s := tb.watch(readTime)
			cpu = append(cpu, s.per1000(s.program))
			speed = append(speed, s.reads/s.duration.Seconds())
		}
		tb.saveProfile("read", 20)
		tb.stop()
		tb.floors(rate, &floors)
		floor := math.Inf(1)
		for _, cpu := range floors {
			floor = min(floor, 1e6*median(cpu))
		}

		heading("a. reading %d mailboxes every 2 s", users)
		row("reads a second", median(speed), "/s", 0, "")
		row("CPU per read, program", 1000*median(cpu), "µs", floor, readGoal(users))
	}
}

// readGoal is the goal for the CPU time of a read. With few mailboxes, batches are not full
// and the base cost of the program counts more.
func readGoal(users int) string {
	switch {
	case users < 1000:
		return "≤ 2.5 × floor"
	case users < readUsers:
		return "≤ 1.3 × floor"
	}
	return "≤ 1.1 × floor"
}

// floorVariants are the variants of the floor: batches at their own time or those of a
// tenth of a second together, over HTTP/1.1 or HTTP/2. The lowest cost counts.
var floorVariants = [...]floorParams{{}, {HTTP1: true}, {Burst: 0.1}, {Burst: 0.1, HTTP1: true}}

// floors adds a measurement of each variant, the CPU seconds per read.
func (tb *testbed) floors(rate float64, all *[len(floorVariants)][]float64) {
	tb.t.Helper()
	for i, o := range floorVariants {
		o.Graph, o.IDs = tb.graph.graphInfo, ids(tb.graph.users)[:min(len(tb.graph.users), 2000)]
		o.Rate, o.Seconds = rate, floorTime.Seconds()
		var result floorResult
		startRole(tb.t, "read floor", o, &result).Stop()
		all[i] = append(all[i], result.CPU/result.Reads)
	}
}
