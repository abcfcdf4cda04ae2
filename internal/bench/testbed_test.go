package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// clientStateKey is the program's CLIENT_STATE_KEY, for notifications without subscriptions.
const clientStateKey = "a-secret-of-the-benchmarks-alone"

// config configures a testbed.
type config struct {
	users   int
	quota   int               // requests of the app in 10 s; 0: Graph's
	masters int               // of a Redis Cluster; 0: a single Redis
	env     map[string]string // additional settings of the program
}

// testbed is the program's replicas and their dependencies.
type testbed struct {
	t        testing.TB
	graph    *graph
	mediator *mediator
	redisURL string
	redis    []*redis.Client
	env      map[string]string
	empty    float64 // bytes in Redis before the first user
	replicas []*replica
}

// replica is a process of the program.
type replica struct {
	*child
	base string // URL
	log  string // file
}

func newTestbed(t testing.TB, p config) *testbed {
	t.Helper()
	tb := &testbed{t: t, mediator: startMediator(t)}
	tb.graph = startGraph(t, graphParams{p.users, p.quota})
	if p.masters > 1 {
		cluster := redistest.StartCluster(t)
		tb.redisURL = cluster.URL()
		for _, m := range cluster.Masters {
			tb.redis = append(tb.redis, redis.NewClient(&redis.Options{Addr: m.Addr()}))
		}
	} else {
		server := redistest.Start(t)
		tb.redisURL = server.URL()
		tb.redis = append(tb.redis, redis.NewClient(&redis.Options{Addr: server.Addr()}))
	}
	t.Cleanup(func() {
		for _, c := range tb.redis {
			c.Close()
		}
	})
	tb.empty = infoOf(t, tb.redis, "memory", "used_memory")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(tb.graph.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	tb.env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "SSL_CERT_FILE": ca, "AZURE_TENANT_ID": tb.graph.Tenant,
		"AZURE_CLIENT_ID": clientID, "AZURE_CLIENT_SECRET": clientSecret, "AZURE_AUTHORITY_HOST": tb.graph.URL,
		"GRAPH_ENDPOINT": tb.graph.URL, "REDIS_URL": tb.redisURL, "MEDIATOR_URL": tb.mediator.URL,
		"LOG_FORMAT": "json", "LOG_LEVEL": "warn", "CLIENT_STATE_KEY": clientStateKey,
	}
	for name, value := range p.env {
		tb.env[name] = value
	}
	return tb
}

// start starts another replica and waits until it is ready.
func (tb *testbed) start() *replica {
	tb.t.Helper()
	path, err := program()
	if err != nil {
		tb.t.Fatal(err)
	}
	address := programtest.FreeAddress(tb.t)
	r := &replica{base: "http://" + address, log: filepath.Join(tb.t.TempDir(), "log")}
	log, err := os.Create(r.log)
	if err != nil {
		tb.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, "serve")
	for name, value := range tb.env {
		cmd.Env = append(cmd.Env, name+"="+strings.ReplaceAll(value, "{base}", r.base))
	}
	cmd.Env = append(cmd.Env, "LISTEN_ADDR="+address)
	cmd.Stdout, cmd.Stderr = log, log
	r.child = launch(tb.t, cmd, nil)
	tb.t.Cleanup(func() {
		if tb.t.Failed() {
			text, _ := os.ReadFile(r.log)
			tb.t.Logf("end of the program's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	tb.eventually("the program is ready", func() bool {
		status, _ := tb.call(r, http.MethodGet, "/readyz", nil)
		return status == http.StatusOK
	})
	tb.replicas = append(tb.replicas, r)
	return r
}

// idleTime is the time without requests before a measurement.
const idleTime = 3 * time.Second

// awaitIdle waits until the mediator has a state of all users, and for idleTime.
func (tb *testbed) awaitIdle() {
	tb.t.Helper()
	tb.eventually("the mediator has all users", func() bool { return tb.mediator.stateCount() >= len(tb.graph.users) })
	time.Sleep(idleTime)
}

// enrol starts monitoring of all users, with concurrent requests, and waits until the
// mediator has a state of all of them.
func (tb *testbed) enrol() {
	tb.t.Helper()
	var workers errgroup.Group
	workers.SetLimit(32)
	for _, email := range addresses(tb.graph) {
		workers.Go(func() error {
			body := map[string]string{"email": email, "status": "True"}
			if status, answer := tb.call(tb.replicas[0], http.MethodPost, "/monitor", body); status/100 != 2 {
				return fmt.Errorf("POST /monitor = %d %.200s, want 200", status, answer)
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		tb.t.Fatal(err)
	}
	tb.awaitIdle()
}

func addresses(g *graph) []string {
	all := make([]string, len(g.users))
	for i, u := range g.users {
		all[i] = u.UserPrincipalName
	}
	return all
}

// call sends a request to a replica. It returns status 0 without an answer.
func (tb *testbed) call(r *replica, method, path string, body any) (status int, answer string) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, err.Error()
	}
	request, err := http.NewRequest(method, r.base+path, bytes.NewReader(text))
	if err != nil {
		return 0, err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// The timeout of eventually grows with the number of users.
const (
	timeout        = 3 * time.Minute
	timeoutPerUser = 3 * time.Millisecond
)

func (tb *testbed) eventually(what string, done func() bool) {
	tb.t.Helper()
	for deadline := time.Now().Add(timeout + time.Duration(len(tb.graph.users))*timeoutPerUser); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.t.Fatalf("timeout: %s", what)
		}
	}
}

// metric returns the sum of a metric over all replicas.
func (tb *testbed) metric(name string) (n float64) {
	tb.t.Helper()
	for _, r := range tb.replicas {
		_, text := tb.call(r, http.MethodGet, "/metrics", nil)
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, name) && strings.ContainsAny(line[len(name):len(name)+1], " {") {
				value, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
				n += value
			}
		}
	}
	return n
}

// sample is the result of watch.
type sample struct {
	duration                   time.Duration
	reads, throttled, commands float64
	gapP50, gapP99, gapMax     float64 // ms
	cpu, redisCPU, graphCPU    float64 // seconds
	rss, redisBytes            float64 // MiB of all replicas, bytes of all users
}

// per1000 returns n per 1,000 reads.
func (s sample) per1000(n float64) float64 { return 1000 * n / max(s.reads, 1) }

// watch measures for some time.
func (tb *testbed) watch(duration time.Duration) sample {
	tb.t.Helper()
	var pids []int
	for _, r := range tb.replicas {
		pids = append(pids, r.PID())
	}
	redisCPU := func() float64 { return infoOf(tb.t, tb.redis, "cpu", "used_cpu_user", "used_cpu_sys") }
	// This counter includes the commands inside scripts.
	commands := func() float64 { return infoOf(tb.t, tb.redis, "stats", "total_commands_processed") }
	tb.graph.resetStats()
	began := time.Now()
	s := sample{cpu: -cpuOf(tb.t, pids...), redisCPU: -redisCPU(), graphCPU: -cpuOf(tb.t, tb.graph.PID()), commands: -commands()}
	time.Sleep(duration)
	s.cpu, s.redisCPU, s.graphCPU = s.cpu+cpuOf(tb.t, pids...), s.redisCPU+redisCPU(), s.graphCPU+cpuOf(tb.t, tb.graph.PID())
	stats := tb.graph.stats()
	s.duration = time.Since(began)
	s.commands += commands()
	s.reads, s.throttled = reads(stats), float64(stats.Throttled)
	s.gapP50, s.gapP99, s.gapMax = float64(stats.ReadGaps.P50), float64(stats.ReadGaps.P99), float64(stats.ReadGaps.Max)
	for _, pid := range pids {
		s.rss += memoryOf(tb.t, pid, "VmRSS")
	}
	s.redisBytes = infoOf(tb.t, tb.redis, "memory", "used_memory") - tb.empty
	if s.reads == 0 {
		tb.t.Fatalf("nothing was read in %v: %s", duration, fmt.Sprint(stats.Calls))
	}
	return s
}
