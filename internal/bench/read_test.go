package bench_test

import (
	"math"
	"os"
	"strconv"
	"testing"
	"time"
)

// readUsers are those whose reads part a measures: 5,000 reads a second.
const readUsers = 10_000

// readSpan is how long one measurement lasts; the median of several counts.
const (
	readSpan = 4 * time.Second
	rounds   = 5

	floorSpan = 2500 * time.Millisecond
)

// BenchmarkRead is part a: what one read costs the program and Redis, beside the
// floor at the same rate, from the same Graph, with batches of the same size.
func BenchmarkRead(b *testing.B) {
	users := setting("BENCH_USERS", readUsers)
	w := newWorld(b, plan{users: users})
	for b.Loop() {
		rate := float64(users) / 2
		var floors [len(floorWays)][]float64
		w.floors(rate, &floors)
		w.start()
		w.enrol()
		var cpu, redisCPU, graphCPU, commands, speed, p99 []float64
		for range rounds {
			s := w.watch(readSpan)
			cpu = append(cpu, s.per1000(s.cpu))
			redisCPU = append(redisCPU, s.per1000(s.redisCPU))
			graphCPU = append(graphCPU, s.per1000(s.graphCPU))
			commands = append(commands, s.per1000(s.commands))
			speed = append(speed, s.reads/s.span.Seconds())
			p99 = append(p99, s.gapP99)
		}
		w.saveProfile("read", 20)
		for _, r := range w.replicas {
			r.end()
		}
		w.replicas = nil
		w.floors(rate, &floors)
		floor := math.Inf(1)
		for _, cpu := range floors {
			floor = min(floor, 1e6*median(cpu))
		}

		heading(b, "a. reading %d mailboxes every 2 s", users)
		row(b, figure{name: "reads a second", value: median(speed), unit: "/s"})
		row(b, figure{name: "CPU per read, program", value: 1000 * median(cpu), unit: "µs", floor: floor, goal: readGoal(users)})
		row(b, figure{name: "CPU per read, Redis", value: 1000 * median(redisCPU), unit: "µs"})
		row(b, figure{name: "CPU per read, local Graph", value: 1000 * median(graphCPU), unit: "µs"})
		row(b, figure{name: "Redis commands per read", value: median(commands) / 1000, unit: "", goal: "≤ 0.05"})
		row(b, figure{name: "time between two reads, p99", value: median(p99), unit: "ms", goal: "≤ 2200"})
		b.ReportMetric(0, "ns/op")
	}
}

// readGoal is what the CPU of a read may be: few mailboxes don't fill batches, and share
// what the program costs at rest.
func readGoal(users int) string {
	switch {
	case users < 1000:
		return "≤ 2.5 × floor"
	case users < readUsers:
		return "≤ 1.3 × floor"
	}
	return "≤ 1.1 × floor"
}

// floorWays are the ways to read that the floor tries: what is due at its own
// time or a tenth of a second's together, over either HTTP. The least counts.
var floorWays = [...]floorOrder{{}, {HTTP1: true}, {Burst: 0.1}, {Burst: 0.1, HTTP1: true}}

// floors adds a measurement of each way.
func (w *world) floors(rate float64, all *[len(floorWays)][]float64) {
	w.t.Helper()
	for i, o := range floorWays {
		o.Rate, o.Lanes = rate, 64
		all[i] = append(all[i], w.floor(o, 1)...)
	}
}

// BenchmarkReadFloor shows what HTTP/1.1 and HTTP/2 cost the floor, at a rate of
// 5,000 reads a second and as fast as it goes.
func BenchmarkReadFloor(b *testing.B) {
	w := newWorld(b, plan{users: 2000, quota: 1 << 30})
	for b.Loop() {
		heading(b, "the floor of reading: HTTP versions")
		for _, way := range []struct {
			name  string
			order floorOrder
		}{
			{"each batch at its own time", floorOrder{Rate: 5000}},
			{"a sixteenth of a second's together", floorOrder{Rate: 5000, Burst: 1. / 16}},
			{"as fast as it goes", floorOrder{}},
		} {
			for _, http1 := range []bool{false, true} {
				o := way.order
				o.Lanes, o.HTTP1 = 16, http1
				name := "HTTP/2"
				if http1 {
					name = "HTTP/1.1"
				}
				name += ", " + way.name
				graphBefore := cpuOf(b, w.graph.PID())
				w.graph.resetStats()
				cpu := w.floor(o, 3)
				done := reads(w.graph.stats())
				row(b, figure{name: name + ": CPU per read", value: 1e6 * median(cpu), unit: "µs"})
				row(b, figure{name: name + ": CPU per read, local Graph", value: 1e6 * (cpuOf(b, w.graph.PID()) - graphBefore) / done, unit: "µs"})
				row(b, figure{name: name + ": reads a second", value: done / (3 * floorSpan.Seconds()), unit: "/s"})
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

// floor returns the CPU seconds per read of some runs of the floor.
func (w *world) floor(o floorOrder, times int) (cpu []float64) {
	w.t.Helper()
	o.Graph, o.IDs, o.Seconds = w.graph.graphPlace, ids(w.graph.users)[:min(len(w.graph.users), 2000)], floorSpan.Seconds()
	for range times {
		var result floorResult
		c := cast(w.t, "read floor", o, &result)
		c.end()
		cpu = append(cpu, result.CPU/result.Reads)
	}
	return cpu
}

// setting returns a number of the environment.
func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}
