package bench_test

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// programSpan is how long the whole program is watched in each cell, at least.
const programSpan = 12 * time.Second

// pace is how often users are read: POLL_INTERVAL, unless BENCH_INTERVAL says otherwise.
func pace(t testing.TB) time.Duration {
	t.Helper()
	interval, err := time.ParseDuration(cmp.Or(os.Getenv("BENCH_INTERVAL"), "2s"))
	if err != nil {
		t.Fatalf("BENCH_INTERVAL: %v, write it as 10s", err)
	}
	return interval
}

// punctual is the longest that 99 of 100 users may go unread.
func punctual(interval time.Duration) string {
	return fmt.Sprintf("≤ %d", (interval + min(interval/10, 500*time.Millisecond)).Milliseconds())
}

// BenchmarkProgram is parts d and e: the built program at several sizes and
// latencies of Graph, and how long a restart takes until all have been read. It
// polls only: subscriptions come at Graph's pace, 26,000 of them in 18 minutes.
// BENCH_USERS measures one size alone, BENCH_INTERVAL another pace.
func BenchmarkProgram(b *testing.B) {
	sizes := []int{100, 1000, 5000, 26000}
	if only := setting("BENCH_USERS", 0); only > 0 {
		sizes = []int{only}
	}
	for b.Loop() {
		var users, used, memory []float64
		for _, size := range sizes {
			still := atSize(b, size)
			users, memory = append(users, float64(size)), append(memory, still.rss)
			used = append(used, (still.cpu+still.redisCPU)/still.span.Seconds())
		}
		if n := len(sizes); n > 1 {
			heading(b, "d. growth with the number of users")
			row(b, figure{name: "CPU of program and Redis, exponent from 1,000 users on", value: exponent(users[1:], used[1:]), goal: "≤ 1"})
			perUser := (memory[n-1] - memory[0]) * 1024 / (users[n-1] - users[0])
			row(b, figure{name: "memory of the program per user", value: perUser, unit: "KiB", goal: "≤ 1.5"})
		}
		b.ReportMetric(0, "ns/op")
	}
}

// atSize measures one size, and returns what was seen while Graph was fast.
func atSize(b *testing.B, users int) (still sample) {
	interval := pace(b)
	w := newWorld(b, plan{users: users, env: map[string]string{"POLL_INTERVAL": interval.String()}})
	r := w.start()
	idle := w.commandsAtRest()
	began := time.Now()
	w.enrol()
	enrolled := time.Since(began) - restTime
	for _, latency := range []time.Duration{0, 50 * time.Millisecond} {
		w.graph.delay(latency)
		time.Sleep(restTime)
		s := w.watch(max(programSpan, 3*interval))
		if latency == 0 {
			still = s
		}
		heading(b, "d. %d users every %v, Graph answers after %v", users, interval, latency)
		row(b, figure{name: "reads a second", value: s.reads / s.span.Seconds(), unit: "/s", floor: float64(users) / interval.Seconds(), goal: "the floor is users/interval"})
		row(b, figure{name: "time between two reads, p50", value: s.gapP50, unit: "ms"})
		row(b, figure{name: "time between two reads, p99", value: s.gapP99, unit: "ms", goal: punctual(interval)})
		row(b, figure{name: "time between two reads, longest", value: s.gapMax, unit: "ms"})
		row(b, figure{name: "CPU for 1,000 reads, program", value: 1000 * s.per1000(s.cpu), unit: "ms"})
		row(b, figure{name: "CPU for 1,000 reads, Redis", value: 1000 * s.per1000(s.redisCPU), unit: "ms"})
		row(b, figure{name: "CPU for 1,000 reads, local Graph", value: 1000 * s.per1000(s.graphCPU), unit: "ms"})
		row(b, figure{name: "Redis commands for 1,000 reads", value: s.per1000(s.commands), goal: "≤ 200 at full batches"})
		row(b, figure{name: "memory of the program (RSS)", value: s.rss, unit: "MiB", goal: "≤ 60 at 1,000 users, 550 at 130,000"})
		row(b, figure{name: "memory of Redis per user", value: s.redisBytes / 1024 / float64(users), unit: "KiB"})
		row(b, figure{name: "answers 429 of Graph", value: s.throttled})
	}
	w.graph.delay(0)
	row(b, figure{name: "Redis commands a second without a user", value: idle, goal: "≤ 5"})
	row(b, figure{name: "from the first POST /monitor until the mediator knows all", value: enrolled.Seconds(), unit: "s"})
	restart(w, r)
	return still
}

// commandsAtRest returns how many commands a second Redis carries out for a program that
// has no user.
func (w *world) commandsAtRest() float64 {
	w.t.Helper()
	commands := func() float64 { return infoOf(w.t, w.redis, "stats", "total_commands_processed") }
	time.Sleep(restTime)
	before, began := commands(), time.Now()
	time.Sleep(programSpan)
	return (commands() - before) / time.Since(began).Seconds()
}

// restart is part e: the program is killed, and started again with its users in
// Redis.
func restart(w *world, r *replica) {
	w.t.Helper()
	r.Kill()
	w.replicas = nil
	time.Sleep(5 * time.Second) // its leases are over
	w.graph.resetStats()
	began := time.Now()
	w.start()
	ready := time.Since(began)
	w.eventually("all users are loaded", func() bool { return w.metric("outlook_monitor_mailboxes") >= float64(len(w.graph.users)) })
	loaded := time.Since(began)
	w.eventually("all users are read again", func() bool { return reads(w.graph.stats()) >= float64(len(w.graph.users)) })
	heading(w.t, "e. restart with %d users in Redis, killed 5 s before", len(w.graph.users))
	row(w.t, figure{name: "from the start until it is ready", value: ready.Seconds(), unit: "s"})
	row(w.t, figure{name: "from the start until all are loaded", value: loaded.Seconds(), unit: "s", goal: "≤ 10"})
	row(w.t, figure{name: "from the start until all have been read", value: time.Since(began).Seconds(), unit: "s"})
	row(w.t, figure{name: "answers 429 of Graph", value: float64(w.graph.stats().Throttled)})
	w.saveProfile(strconv.Itoa(len(w.graph.users)), 8)
}

// saveProfile keeps a CPU profile of the program over some seconds, if
// BENCH_PROFILE asks for it.
func (w *world) saveProfile(name string, seconds int) {
	w.t.Helper()
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return
	}
	status, text := w.call(w.replicas[0], http.MethodGet, "/debug/pprof/profile?seconds="+strconv.Itoa(seconds), nil)
	if status != http.StatusOK {
		w.t.Fatalf("the profile = %d %.200s, want 200", status, text)
	}
	if err := os.WriteFile(filepath.Join(dir, "program-"+name+".pprof"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}
