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

// programTime is the shortest measurement of the whole program.
const programTime = 12 * time.Second

// pollInterval returns BENCH_INTERVAL, by default 2s.
func pollInterval(t testing.TB) time.Duration {
	t.Helper()
	interval, err := time.ParseDuration(cmp.Or(os.Getenv("BENCH_INTERVAL"), "2s"))
	if err != nil {
		t.Fatalf("BENCH_INTERVAL: %v, write it as 10s", err)
	}
	return interval
}

// gapGoal is the goal for the 99th percentile of the time between two reads.
func gapGoal(interval time.Duration) string {
	return fmt.Sprintf("≤ %d", (interval + min(interval/10, 500*time.Millisecond)).Milliseconds())
}

// BenchmarkProgram is parts d and e: the built program with several numbers of users and
// latencies of Graph, and the time from a restart until all users have been read. It only
// polls, because Graph's quota allows 26,000 subscriptions in 18 minutes. BENCH_USERS
// selects one number of users, BENCH_INTERVAL the poll interval.
func BenchmarkProgram(b *testing.B) {
	sizes := []int{100, 1000, 5000, 26000}
	if only := envInt("BENCH_USERS", 0); only > 0 {
		sizes = []int{only}
	}
	for b.Loop() {
		var users, used, memory []float64
		for _, size := range sizes {
			fast := measureSize(b, size)
			users, memory = append(users, float64(size)), append(memory, fast.rss)
			used = append(used, (fast.program+fast.redis)/fast.duration.Seconds())
		}
		if n := len(sizes); n > 1 {
			heading("d. growth with the number of users")
			row(figure{name: "CPU of program and Redis, exponent from 1,000 users on", value: exponent(users[1:], used[1:]), goal: "≤ 1"})
			perUser := (memory[n-1] - memory[0]) * 1024 / (users[n-1] - users[0])
			row(figure{name: "memory of the program per user", value: perUser, unit: "KiB", goal: "≤ 1.5"})
		}
	}
}

// measureSize measures one number of users, and returns the sample without latency.
func measureSize(b *testing.B, users int) (fast sample) {
	interval := pollInterval(b)
	tb := newTestbed(b, config{users: users, env: map[string]string{"POLL_INTERVAL": interval.String()}})
	r := tb.start()
	idle := tb.idleCommands()
	began := time.Now()
	tb.enrol()
	enrolled := time.Since(began) - idleTime
	for _, latency := range []time.Duration{0, 50 * time.Millisecond} {
		tb.graph.delay(latency)
		time.Sleep(idleTime)
		s := tb.watch(max(programTime, 3*interval))
		if latency == 0 {
			fast = s
		}
		heading("d. %d users every %v, Graph answers after %v", users, interval, latency)
		row(figure{name: "reads a second", value: s.reads / s.duration.Seconds(), unit: "/s", floor: float64(users) / interval.Seconds(), goal: "floor: users/interval"})
		row(figure{name: "time between two reads, p50", value: s.gapP50, unit: "ms"})
		row(figure{name: "time between two reads, p99", value: s.gapP99, unit: "ms", goal: gapGoal(interval)})
		row(figure{name: "time between two reads, longest", value: s.gapMax, unit: "ms"})
		row(figure{name: "CPU for 1,000 reads, program", value: 1000 * s.per1000(s.program), unit: "ms"})
		row(figure{name: "CPU for 1,000 reads, Redis", value: 1000 * s.per1000(s.redis), unit: "ms"})
		row(figure{name: "CPU for 1,000 reads, local Graph", value: 1000 * s.per1000(s.graph), unit: "ms"})
		row(figure{name: "Redis commands for 1,000 reads", value: s.per1000(s.commands), goal: "≤ 200 at full batches"})
		row(figure{name: "memory of the program (RSS)", value: s.rss, unit: "MiB", goal: "≤ 60 at 1,000 users, 550 at 130,000"})
		row(figure{name: "memory of Redis per user", value: s.redisBytes / 1024 / float64(users), unit: "KiB"})
		row(figure{name: "answers 429 of Graph", value: s.throttled})
	}
	tb.graph.delay(0)
	row(figure{name: "Redis commands a second without a user", value: idle, goal: "≤ 5"})
	row(figure{name: "from the first POST /monitor until the mediator has all", value: enrolled.Seconds(), unit: "s"})
	measureRestart(tb, r)
	return fast
}

// idleCommands returns the number of Redis commands per second without users.
func (tb *testbed) idleCommands() float64 {
	tb.t.Helper()
	time.Sleep(idleTime)
	began, before := time.Now(), tb.usage()
	time.Sleep(programTime)
	return tb.usage().since(before).commands / time.Since(began).Seconds()
}

// measureRestart is part e: the program is killed and restarted with its users in Redis.
func measureRestart(tb *testbed, r *replica) {
	tb.t.Helper()
	r.Kill()
	tb.replicas = nil
	time.Sleep(5 * time.Second) // until it counts as dead
	tb.graph.resetStats()
	began := time.Now()
	tb.start()
	ready := time.Since(began)
	tb.eventually("all users are loaded", func() bool { return tb.metric("outlook_monitor_mailboxes") >= float64(len(tb.graph.users)) })
	loaded := time.Since(began)
	tb.eventually("all users have been read", func() bool { return reads(tb.graph.stats()) >= float64(len(tb.graph.users)) })
	heading("e. restart with %d users in Redis, killed 5 s before", len(tb.graph.users))
	row(figure{name: "from the start until it is ready", value: ready.Seconds(), unit: "s"})
	row(figure{name: "from the start until all are loaded", value: loaded.Seconds(), unit: "s", goal: "≤ 10"})
	row(figure{name: "from the start until all have been read", value: time.Since(began).Seconds(), unit: "s"})
	row(figure{name: "answers 429 of Graph", value: float64(tb.graph.stats().Throttled)})
	tb.saveProfile(strconv.Itoa(len(tb.graph.users)), 8)
}

// saveProfile saves a CPU profile of the program over some seconds in the directory
// BENCH_PROFILE, if it is set.
func (tb *testbed) saveProfile(name string, seconds int) {
	tb.t.Helper()
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return
	}
	status, text := send(http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", tb.replicas[0].base, seconds), nil)
	if status != http.StatusOK {
		tb.t.Fatalf("the profile = %d %.200s, want 200", status, text)
	}
	if err := os.WriteFile(filepath.Join(dir, "program-"+name+".pprof"), text, 0o600); err != nil {
		tb.t.Fatal(err)
	}
}
