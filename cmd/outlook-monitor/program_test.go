package main_test

import (
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/programtest"
)

// binary builds the program once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "outlook-monitor")
	if err != nil {
		return "", err
	}
	return programtest.Build(dir)
})

func TestMain(m *testing.M) {
	// What is parallel mostly waits, whatever the number of cores.
	_ = flag.Set("test.parallel", "4") // the command line may say otherwise
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
	await.Run(t, sim.Run)
	await.Run(t, mediator.Run)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, sim.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	address := programtest.FreeAddress(t)
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

// program is the built binary as a child process.
type program struct {
	*programtest.Process
	t   testing.TB
	log *programtest.Output
}

// command returns a command line of the program, with the surroundings' environment.
func (w *surroundings) command(args ...string) *exec.Cmd {
	w.t.Helper()
	path, err := binary()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	for name, value := range w.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// start runs the program.
func (w *surroundings) start(args ...string) *program {
	w.t.Helper()
	return started(w.t, w.command(args...))
}

func started(t testing.TB, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, log: &programtest.Output{}}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	p.Process = programtest.Start(t, cmd)
	t.Cleanup(func() {
		if t.Failed() {
			lines := strings.Split(p.log.String(), "\n")
			t.Logf("log of %v:\n%s", cmd.Args[1:], strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
	return p
}

// stop ends the program as an operator would, which is no error.
func (p *program) stop() {
	p.t.Helper()
	if code := p.Stop(); code != 0 {
		p.t.Errorf("exit code = %d, want 0", code)
	}
}

// run runs the program to its end, with input on its standard input. It must end with
// code.
func (w *surroundings) run(code int, input string, args ...string) (stdout, stderr string) {
	w.t.Helper()
	var out, errs programtest.Output
	cmd := w.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	if got := programtest.Start(w.t, cmd).Wait(); got != code {
		w.t.Fatalf("%v = exit %d, want %d: %s%s", args, got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

// users runs a command of users.
func (w *surroundings) users(code int, input string, args ...string) (stdout, stderr string) {
	w.t.Helper()
	return w.run(code, input, append([]string{"users"}, args...)...)
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
	return send(request)
}

// send returns status 0 and the error if there is no answer.
func send(request *http.Request) (status int, answer string) {
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

func (w *surroundings) get(path string) (status int, answer string) {
	w.t.Helper()
	return w.ask(http.MethodGet, path, "", "")
}

// post makes a request with a body in JSON.
func (w *surroundings) post(path, body string) (status int, answer string) {
	w.t.Helper()
	return w.ask(http.MethodPost, path, "application/json", body)
}

// answers waits until the program is ready.
func (w *surroundings) answers() {
	w.t.Helper()
	w.eventually("the program is ready", func() bool {
		status, _ := w.get("/readyz")
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

// monitor has the mediator start or stop the monitoring of an address.
func (w *surroundings) monitor(address string, on bool) {
	w.t.Helper()
	if status, err := w.mediator.Monitor(w.t.Context(), address, on); status != http.StatusOK || err != nil {
		w.t.Fatalf("POST /monitor for %s, %t = %d, %v, want 200", address, on, status, err)
	}
}
