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

// clientStateKey is a setting of the program here, so that notifications can be
// made without a subscription.
const clientStateKey = "a-secret-of-the-benchmarks-alone"

// plan says what a world is made of.
type plan struct {
	users   int
	quota   int               // requests of the app in 10 s; 0: Graph's own
	masters int               // of Redis; 0: one without Cluster
	env     map[string]string // further settings of the program
}

// world is what the program meets.
type world struct {
	t        testing.TB
	graph    *graph
	mediator *mediator
	redisURL string
	redis    []*redis.Client
	env      map[string]string
	empty    float64 // bytes in Redis before the first user
	replicas []*replica
}

// replica is the program as a process.
type replica struct {
	*child
	base string // URL
	log  string // file
}

func newWorld(t testing.TB, p plan) *world {
	t.Helper()
	w := &world{t: t, mediator: startMediator(t)}
	w.graph = startGraph(t, graphOrder{p.users, p.quota})
	if p.masters > 1 {
		cluster := redistest.StartCluster(t)
		w.redisURL = cluster.URL()
		for _, m := range cluster.Masters {
			w.redis = append(w.redis, redis.NewClient(&redis.Options{Addr: m.Addr()}))
		}
	} else {
		server := redistest.Start(t)
		w.redisURL = server.URL()
		w.redis = append(w.redis, redis.NewClient(&redis.Options{Addr: server.Addr()}))
	}
	t.Cleanup(func() {
		for _, c := range w.redis {
			c.Close()
		}
	})
	w.empty = infoOf(t, w.redis, "memory", "used_memory")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(w.graph.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "SSL_CERT_FILE": ca, "AZURE_TENANT_ID": w.graph.Tenant,
		"AZURE_CLIENT_ID": clientID, "AZURE_CLIENT_SECRET": clientSecret, "AZURE_AUTHORITY_HOST": w.graph.URL,
		"GRAPH_ENDPOINT": w.graph.URL, "REDIS_URL": w.redisURL, "MEDIATOR_URL": w.mediator.URL,
		"LOG_FORMAT": "json", "LOG_LEVEL": "warn", "CLIENT_STATE_KEY": clientStateKey,
	}
	for name, value := range p.env {
		w.env[name] = value
	}
	return w
}

// start runs one more replica and waits until it is ready.
func (w *world) start() *replica {
	w.t.Helper()
	path, err := program()
	if err != nil {
		w.t.Fatal(err)
	}
	address := programtest.FreeAddress(w.t)
	r := &replica{base: "http://" + address, log: filepath.Join(w.t.TempDir(), "log")}
	log, err := os.Create(r.log)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, "serve")
	for name, value := range w.env {
		cmd.Env = append(cmd.Env, name+"="+strings.ReplaceAll(value, "{base}", r.base))
	}
	cmd.Env = append(cmd.Env, "LISTEN_ADDR="+address)
	cmd.Stdout, cmd.Stderr = log, log
	r.child = launch(w.t, cmd, nil)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			text, _ := os.ReadFile(r.log)
			w.t.Logf("end of the program's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	w.eventually("the program is ready", func() bool {
		status, _ := w.call(r, http.MethodGet, "/readyz", nil)
		return status == http.StatusOK
	})
	w.replicas = append(w.replicas, r)
	return r
}

// restTime is how long the program is left alone before it is watched.
const restTime = 3 * time.Second

// rest waits until the program is done with what it does at the start.
func (w *world) rest() {
	w.t.Helper()
	w.eventually("the mediator knows all users", func() bool { return w.mediator.states() >= len(w.graph.users) })
	time.Sleep(restTime)
}

// enrol has all users monitored, several requests at once, and waits until the
// mediator knows all of them.
func (w *world) enrol() {
	w.t.Helper()
	var lanes errgroup.Group
	lanes.SetLimit(32)
	for _, email := range addresses(w.graph) {
		lanes.Go(func() error {
			body := map[string]string{"email": email, "status": "True"}
			if status, answer := w.call(w.replicas[0], http.MethodPost, "/monitor", body); status/100 != 2 {
				return fmt.Errorf("POST /monitor = %d %.200s, want 200", status, answer)
			}
			return nil
		})
	}
	if err := lanes.Wait(); err != nil {
		w.t.Fatal(err)
	}
	w.rest()
}

func addresses(g *graph) []string {
	all := make([]string, len(g.users))
	for i, u := range g.users {
		all[i] = u.UserPrincipalName
	}
	return all
}

// call makes a request of a replica; status 0 is no answer.
func (w *world) call(r *replica, method, path string, body any) (status int, answer string) {
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

// patience is how long the program may take for anything, and patienceEach how much
// longer for each user.
const (
	patience     = 3 * time.Minute
	patienceEach = 3 * time.Millisecond
)

func (w *world) eventually(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience + time.Duration(len(w.graph.users))*patienceEach); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

// metric returns the sum of a metric of all replicas.
func (w *world) metric(name string) (n float64) {
	w.t.Helper()
	for _, r := range w.replicas {
		_, text := w.call(r, http.MethodGet, "/metrics", nil)
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, name) && strings.ContainsAny(line[len(name):len(name)+1], " {") {
				value, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
				n += value
			}
		}
	}
	return n
}

// sample is what was seen during a span.
type sample struct {
	span                       time.Duration
	reads, throttled, commands float64
	gapP50, gapP99, gapMax     float64 // ms
	cpu, redisCPU, graphCPU    float64 // seconds
	rss, redisBytes            float64 // MiB of all replicas, bytes of all users
}

// per1000 returns what 1,000 reads take of a number.
func (s sample) per1000(n float64) float64 { return 1000 * n / max(s.reads, 1) }

// watch measures for a while.
func (w *world) watch(span time.Duration) sample {
	w.t.Helper()
	var pids []int
	for _, r := range w.replicas {
		pids = append(pids, r.PID())
	}
	redisCPU := func() float64 { return infoOf(w.t, w.redis, "cpu", "used_cpu_user", "used_cpu_sys") }
	// Redis' own count has the commands inside scripts.
	commands := func() float64 { return infoOf(w.t, w.redis, "stats", "total_commands_processed") }
	w.graph.resetStats()
	began := time.Now()
	s := sample{cpu: -cpuOf(w.t, pids...), redisCPU: -redisCPU(), graphCPU: -cpuOf(w.t, w.graph.PID()), commands: -commands()}
	time.Sleep(span)
	s.cpu, s.redisCPU, s.graphCPU = s.cpu+cpuOf(w.t, pids...), s.redisCPU+redisCPU(), s.graphCPU+cpuOf(w.t, w.graph.PID())
	stats := w.graph.stats()
	s.span = time.Since(began)
	s.commands += commands()
	s.reads, s.throttled = reads(stats), float64(stats.Throttled)
	s.gapP50, s.gapP99, s.gapMax = float64(stats.ReadGaps.P50), float64(stats.ReadGaps.P99), float64(stats.ReadGaps.Max)
	for _, pid := range pids {
		s.rss += memoryOf(w.t, pid, "VmRSS")
	}
	s.redisBytes = infoOf(w.t, w.redis, "memory", "used_memory") - w.empty
	if s.reads == 0 {
		w.t.Fatalf("nothing was read in %v: %s", span, fmt.Sprint(stats.Calls))
	}
	return s
}
