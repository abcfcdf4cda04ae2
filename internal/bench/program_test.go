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

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/programtest"
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
	if only := programtest.EnvInt("BENCH_USERS", 0); only > 0 {
		sizes = []int{only}
	}
	for b.Loop() {
		for _, size := range sizes {
			measureSize(b, size)
		}
	}
}

func measureSize(b *testing.B, users int) {
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
		heading("d. %d users every %v, Graph answers after %v", users, interval, latency)
		s.rows(users, interval)
	}
	tb.graph.delay(0)
	row("Redis commands a second without a user", idle, "", 0, "≤ 5")
	row("from the first POST /monitor until the mediator has all", enrolled.Seconds(), "s", 0, "")
	measureRestart(tb, r)
	tb.stop()
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
	row("from the start until it is ready", ready.Seconds(), "s", 0, "")
	row("from the start until all are loaded", loaded.Seconds(), "s", 0, "≤ 10")
	row("from the start until all have been read", time.Since(began).Seconds(), "s", 0, "")
	row("answers 429 of Graph", float64(tb.graph.stats().Throttled), "", 0, "")
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
	filetest.Write(tb.t, filepath.Join(dir, "program-"+name+".pprof"), text)
}
