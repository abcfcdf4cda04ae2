package main_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// binary builds the program once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "outlook-monitor")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "outlook-monitor")
	args := append([]string{"build", "-o", path}, raceFlags...)
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
}

// surroundings are what the program meets: a Graph, a mediator and a Redis.
type surroundings struct {
	t        testing.TB
	sim      *graphsim.Server
	mediator *mediatorsim.Server
	env      map[string]string
	base     string // of the program's listener
}

// world starts a Graph and a mediator. The program's Redis is redisURL.
func world(t testing.TB, redisURL string, cfg graphsim.Config) *surroundings {
	t.Helper()
	sim, err := graphsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mediator, err := mediatorsim.New(mediatorsim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{sim.Run, mediator.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	}
	t.Cleanup(func() { stop(); running.Wait() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, sim.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	w := &surroundings{t: t, sim: sim, mediator: mediator, base: "http://" + address, env: map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "SSL_CERT_FILE": ca,
		"AZURE_TENANT_ID": sim.TenantID(), "AZURE_CLIENT_ID": graphsim.DefaultClientID,
		"AZURE_CLIENT_SECRET": graphsim.DefaultClientSecret, "AZURE_AUTHORITY_HOST": sim.URL(),
		"GRAPH_ENDPOINT": sim.URL(), "REDIS_URL": redisURL, "MEDIATOR_URL": mediator.URL(),
		"LISTEN_ADDR": address, "PUBLIC_URL": "http://" + address, "LOG_FORMAT": "json",
	}}
	mediator.SetMonitorURL(w.base)
	return w
}

// freeAddress returns a loopback address on which nothing listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// program is the built binary as a child process.
type program struct {
	t      testing.TB
	cmd    *exec.Cmd
	log    *locked
	exited chan struct{}
	err    error // of Wait; read after exited
}

// locked is a buffer that is written and read at once.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start runs the program with the surroundings' environment and more.
func (w *surroundings) start(args ...string) *program {
	w.t.Helper()
	path, err := binary()
	if err != nil {
		w.t.Fatalf("build: %v", err)
	}
	p := &program{t: w.t, cmd: exec.Command(path, args...), log: &locked{}, exited: make(chan struct{})}
	for name, value := range w.env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.exited) }()
	w.t.Cleanup(func() {
		p.kill()
		if w.t.Failed() {
			w.t.Logf("log of %v:\n%s", args, tail(p.log.String(), 40))
		}
	})
	return p
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// kill ends the program at once, as a crash would.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop asks the program to end and returns its exit code.
func (p *program) stop() int {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait()
}

// wait returns the exit code of a program that ends by itself.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		p.t.Fatal("the program does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// eventually waits until done.
func (w *surroundings) eventually(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

// ask makes a request of the program.
func (w *surroundings) ask(method, path, contentType, body string) (status int, answer string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// answers waits until the program is ready.
func (w *surroundings) answers() {
	w.t.Helper()
	w.eventually("the program is ready", func() bool {
		status, _ := w.ask(http.MethodGet, "/readyz", "", "")
		return status == http.StatusOK
	})
}

// covered counts the living subscriptions by user id.
func (w *surroundings) covered() map[string]int {
	n := map[string]int{}
	for _, sub := range w.sim.Subscriptions() {
		n[sub.UserID]++
	}
	return n
}
