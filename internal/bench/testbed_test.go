package bench_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// clientStateKey is the program's CLIENT_STATE_KEY, for notifications without subscriptions.
const clientStateKey = "a-secret-of-the-benchmarks-alone"

// config configures a testbed.
type config struct {
	users   int
	cluster bool              // Redis is a Cluster of three masters
	env     map[string]string // additional settings of the program
}

// testbed is the program's replicas and their dependencies.
type testbed struct {
	t        testing.TB
	graph    *graph
	mediator *mediator
	redisURL string
	redis    []*redis.Client // of each master
	env      map[string]string
	empty    float64 // bytes in Redis before the first user
	replicas []*replica
}

// replica is a process of the program.
type replica struct {
	*programtest.Process
	base string // URL
}

func newTestbed(t testing.TB, p config) *testbed {
	t.Helper()
	tb := &testbed{t: t, mediator: startMediator(t)}
	tb.graph = startGraph(t, p.users)
	var masters []*redistest.Server
	if p.cluster {
		cluster := redistest.StartCluster(t)
		tb.redisURL, masters = cluster.URL(), cluster.Masters
	} else {
		server := redistest.Start(t)
		tb.redisURL, masters = server.URL(), []*redistest.Server{server}
	}
	for _, m := range masters {
		c := redis.NewClient(&redis.Options{Addr: m.Addr()})
		tb.redis = append(tb.redis, c)
		t.Cleanup(func() { _ = c.Close() })
	}
	tb.empty = infoOf(t, tb.redis, "memory", "used_memory")
	ca := filetest.Temp(t, "ca.pem", tb.graph.CA)
	tb.env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "SSL_CERT_FILE": ca, "AZURE_TENANT_ID": tb.graph.Tenant,
		"AZURE_CLIENT_ID": graphsim.DefaultClientID, "AZURE_CLIENT_SECRET": graphsim.DefaultClientSecret,
		"AZURE_AUTHORITY_HOST": tb.graph.URL,
		"GRAPH_ENDPOINT":       tb.graph.URL, "REDIS_URL": tb.redisURL, "MEDIATOR_URL": tb.mediator.URL,
		"LOG_FORMAT": "json", "LOG_LEVEL": "warn", "CLIENT_STATE_KEY": clientStateKey,
	}
	maps.Copy(tb.env, p.env)
	return tb
}

// start starts another replica and waits until it is ready.
func (tb *testbed) start() *replica {
	tb.t.Helper()
	path := os.Getenv("BENCH_PROGRAM")
	if path == "" {
		tb.t.Fatal("BENCH_PROGRAM is not set: run scripts/bench")
	}
	address := programtest.FreeAddress(tb.t)
	r := &replica{base: "http://" + address}
	cmd := exec.Command(path, "serve")
	for name, value := range tb.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "LISTEN_ADDR="+address)
	r.Process = programtest.NewLog(tb.t, "the program").Start(cmd)
	tb.t.Cleanup(func() { r.Stop() })
	tb.eventually("the program is ready", func() bool {
		status, _ := send(http.MethodGet, r.base+"/readyz", nil)
		return status == http.StatusOK
	})
	tb.replicas = append(tb.replicas, r)
	return r
}

// stop stops all replicas.
func (tb *testbed) stop() {
	for _, r := range tb.replicas {
		r.Stop()
	}
	tb.replicas = nil
}

// idleTime is the time without requests before a measurement.
const idleTime = 3 * time.Second

// enrol starts monitoring of all users, with concurrent requests, and waits until the
// mediator has a state of all of them, and for idleTime.
func (tb *testbed) enrol() {
	tb.t.Helper()
	var workers errgroup.Group
	workers.SetLimit(32)
	for _, email := range addresses(tb.graph) {
		workers.Go(func() error { return tb.monitor(email) })
	}
	must.NoError(tb.t, workers.Wait())
	tb.eventually("the mediator has all users", func() bool { return tb.mediator.stateCount() >= len(tb.graph.users) })
	time.Sleep(idleTime)
}

// monitor starts monitoring of a user, as the mediator does.
func (tb *testbed) monitor(email string) error {
	body := encode(tb.t, map[string]string{"email": email, "status": "True"})
	if status, answer := send(http.MethodPost, tb.replicas[0].base+"/monitor", body); status/100 != 2 {
		return fmt.Errorf("POST /monitor = %d %.200s, want 2xx", status, answer)
	}
	return nil
}

func addresses(g *graph) []string {
	return each(g.users, func(u graphsim.User) string { return u.UserPrincipalName })
}

// The timeout of eventually grows with the number of users.
const (
	timeout        = 3 * time.Minute
	timeoutPerUser = 3 * time.Millisecond
)

func (tb *testbed) eventually(what string, done func() bool) {
	tb.t.Helper()
	await.Within(tb.t, timeout+time.Duration(len(tb.graph.users))*timeoutPerUser, what, done)
}

// metric returns a metric of a replica, added up over its labels. The name may include them.
func (r *replica) metric(name string) float64 {
	_, text := send(http.MethodGet, r.base+"/metrics", nil)
	return programtest.Metric(text, name)
}

// metric returns the sum of a metric over all replicas.
func (tb *testbed) metric(name string) (n float64) {
	for _, r := range tb.replicas {
		n += r.metric(name)
	}
	return n
}

// sample is the result of watch.
type sample struct {
	usage
	duration               time.Duration
	reads, throttled       float64
	gapP50, gapP99, gapMax float64 // ms
	rss, redisBytes        float64 // MiB of a replica, bytes of all users
}

// per1000 returns n per 1,000 reads.
func (s sample) per1000(n float64) float64 { return 1000 * n / max(s.reads, 1) }

// rows prints the figures of replicas that read a number of users at an interval.
func (s sample) rows(users int, interval time.Duration) {
	row("reads a second", s.reads/s.duration.Seconds(), "/s", float64(users)/interval.Seconds(), "floor: users/interval")
	row("time between two reads, p50", s.gapP50, "ms", 0, "")
	row("time between two reads, p99", s.gapP99, "ms", 0, gapGoal(interval))
	row("time between two reads, longest", s.gapMax, "ms", 0, "")
	row("CPU for 1,000 reads, program", 1000*s.per1000(s.program), "ms", 0, "")
	row("CPU for 1,000 reads, Redis", 1000*s.per1000(s.redis), "ms", 0, "")
	row("CPU for 1,000 reads, local Graph", 1000*s.per1000(s.graph), "ms", 0, "")
	row("Redis commands for 1,000 reads", s.per1000(s.commands), "", 0, "≤ 200 at full batches")
	row("memory of a replica (RSS)", s.rss, "MiB", 0, "≤ 60 at 1,000 users, 550 at 130,000")
	row("memory of Redis per user", s.redisBytes/1024/float64(users), "KiB", 0, "")
	row("answers 429 of Graph", s.throttled, "", 0, "")
}

// watch measures for some time.
func (tb *testbed) watch(duration time.Duration) (s sample) {
	tb.t.Helper()
	tb.graph.resetStats()
	began, before := time.Now(), tb.usage()
	time.Sleep(duration)
	s.usage = tb.usage().since(before)
	stats := tb.graph.stats()
	s.duration = time.Since(began)
	s.reads, s.throttled = reads(stats), float64(stats.Throttled)
	s.gapP50, s.gapP99, s.gapMax = float64(stats.ReadGaps.P50), float64(stats.ReadGaps.P99), float64(stats.ReadGaps.Max)
	s.rss = tb.metric("process_resident_memory_bytes") / (1 << 20) / float64(len(tb.replicas))
	s.redisBytes = infoOf(tb.t, tb.redis, "memory", "used_memory") - tb.empty
	if s.reads == 0 {
		tb.t.Fatalf("nothing was read in %v: %v", duration, stats.Calls)
	}
	return s
}
