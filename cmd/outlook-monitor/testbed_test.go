package main_test

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/graphtest"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// binary builds the program once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "outlook-monitor")
	if err != nil {
		return "", err
	}
	return programtest.Build(dir, "outlook-monitor")
})

func TestMain(m *testing.M) {
	// Parallel tests mostly wait, so run 4 at once even on fewer cores. Flags of the command
	// line override this.
	_ = flag.Set("test.parallel", "4")
	m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
}

// testbed is what the program runs against: a local Graph, a stand-in mediator and a Redis.
type testbed struct {
	t        testing.TB
	sim      graphtest.Graph
	mediator *mediatorsim.Server
	env      map[string]string
	base     string // URL of the program
}

// newTestbed starts a local Graph and a mediator. The program uses the Redis at redisURL.
func newTestbed(t testing.TB, redisURL string, cfg graphsim.Config) *testbed {
	t.Helper()
	sim := graphtest.Start(t, cfg)
	mediator, err := mediatorsim.New(mediatorsim.Config{})
	must.NoError(t, err)
	await.Run(t, mediator.Run)
	ca := filetest.Temp(t, "ca.pem", string(sim.CAPEM()))
	address := programtest.FreeAddress(t)
	tb := &testbed{t: t, sim: sim, mediator: mediator, base: "http://" + address, env: map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "SSL_CERT_FILE": ca,
		"AZURE_TENANT_ID": sim.TenantID(), "AZURE_CLIENT_ID": graphsim.DefaultClientID,
		"AZURE_CLIENT_SECRET": graphsim.DefaultClientSecret, "AZURE_AUTHORITY_HOST": sim.URL(),
		"GRAPH_ENDPOINT": sim.URL(), "REDIS_URL": redisURL, "MEDIATOR_URL": mediator.URL(),
		"LISTEN_ADDR": address, "PUBLIC_URL": "http://" + address, "LOG_FORMAT": "json", "OUTLOOK_MONITOR_URL": "http://" + address,
	}}
	mediator.SetMonitorURL(tb.base)
	return tb
}

// in returns the testbed for a subtest, with an environment of its own.
func (tb *testbed) in(t *testing.T) *testbed {
	sub := *tb
	sub.t, sub.sim.T, sub.env = t, t, maps.Clone(tb.env)
	return &sub
}

// program is the built binary as a child process.
type program struct {
	*programtest.Process
	t   testing.TB
	log programtest.Log
}

// command returns a command that runs the program with the environment of the testbed.
func (tb *testbed) command(args ...string) *exec.Cmd {
	tb.t.Helper()
	path, err := binary()
	must.NoError(tb.t, err)
	cmd := exec.Command(path, args...)
	for name, value := range tb.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func (tb *testbed) start(args ...string) *program {
	tb.t.Helper()
	return startProgram(tb.t, tb.command(args...))
}

// startReady starts the service and waits until /readyz answers 200.
func (tb *testbed) startReady() *program {
	tb.t.Helper()
	p := tb.start("serve")
	tb.waitReady()
	return p
}

func startProgram(t testing.TB, cmd *exec.Cmd) *program {
	t.Helper()
	log := programtest.NewLog(t, fmt.Sprint(cmd.Args[1:]))
	return &program{log.Start(cmd), t, log}
}

// stop stops the program with SIGTERM. It must exit with 0.
func (p *program) stop() {
	p.t.Helper()
	if code := p.Stop(); code != 0 {
		p.t.Errorf("exit code = %d, want 0", code)
	}
}

// run runs the program with input on its standard input until it exits, which must be with
// code.
func (tb *testbed) run(code int, input string, args ...string) (stdout, stderr string) {
	tb.t.Helper()
	var out, errs programtest.Output
	cmd := tb.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	if got := programtest.Start(tb.t, cmd).Wait(); got != code {
		tb.t.Fatalf("%v = exit %d, want %d: %s%s", args, got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

func (tb *testbed) users(code int, input string, args ...string) (stdout, stderr string) {
	tb.t.Helper()
	return tb.run(code, input, append([]string{"users"}, args...)...)
}

func (tb *testbed) eventually(what string, done func() bool) {
	tb.t.Helper()
	await.Within(tb.t, 3*time.Minute, what, done)
}

func (tb *testbed) ask(method, path, contentType, body string) (status int, answer string) {
	tb.t.Helper()
	request, err := http.NewRequestWithContext(tb.t.Context(), method, tb.base+path, strings.NewReader(body))
	must.NoError(tb.t, err)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	return programtest.Send(http.DefaultClient, request)
}

func (tb *testbed) get(path string) (status int, answer string) {
	tb.t.Helper()
	return tb.ask(http.MethodGet, path, "", "")
}

// wantStatus makes a request with a JSON body, whose answer must have a status.
func (tb *testbed) wantStatus(want int, method, path, body string) {
	tb.t.Helper()
	if status, answer := tb.ask(method, path, "application/json", body); status != want {
		tb.t.Errorf("%s %s = %d %.200q, want %d", method, path, status, answer, want)
	}
}

// hasStatus returns a condition: GET of path answers with status.
func (tb *testbed) hasStatus(path string, status int) func() bool {
	return func() bool {
		got, _ := tb.get(path)
		return got == status
	}
}

// waitReady waits until /readyz answers 200.
func (tb *testbed) waitReady() {
	tb.t.Helper()
	tb.eventually("the program is ready", tb.hasStatus("/readyz", http.StatusOK))
}

// waitForMetrics waits until /metrics has lines that begin with these texts.
func (tb *testbed) waitForMetrics(want ...string) {
	tb.t.Helper()
	for _, want := range want {
		tb.eventually("metrics have "+want, func() bool {
			_, metrics := tb.get("/metrics")
			return strings.Contains(metrics, "\noutlook_monitor_"+want)
		})
	}
}

// requireToken makes the program require a token, and the mediator use it.
func (tb *testbed) requireToken(token string) {
	tb.env["MONITOR_TOKEN"] = token
	tb.mediator.SetMonitorURL(strings.Replace(tb.base, "http://", "http://mediator:"+token+"@", 1))
}

// stopMonitoring makes the mediator remove an address and stop its monitoring.
func (tb *testbed) stopMonitoring(address string) {
	tb.t.Helper()
	if status, err := tb.mediator.Monitor(tb.t.Context(), address, false); status != http.StatusOK || err != nil {
		tb.t.Fatalf("POST /monitor to stop %s = %d, %v, want 200", address, status, err)
	}
}
