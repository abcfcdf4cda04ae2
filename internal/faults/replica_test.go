package faults_test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary builds the program once, with the race detector if the tests have it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "outlook-monitor-faults")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "outlook-monitor")
	args := []string{"build", "-o", path}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" {
				args = append(args, "-race")
			}
		}
	}
	out, err := exec.Command("go", append(args, "../../cmd/outlook-monitor")...).CombinedOutput()
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

// replica is one of the program's processes; it can be started again and again.
type replica struct {
	t    testing.TB
	env  []string
	addr string
	file string // its log, of all its lives

	cmd    *exec.Cmd
	exited chan struct{}
}

func (r *replica) start() {
	r.t.Helper()
	path, err := binary()
	if err != nil {
		r.t.Fatalf("build: %v", err)
	}
	log, err := os.OpenFile(r.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	cmd, exited := exec.Command(path, "serve"), make(chan struct{})
	cmd.Env, cmd.Stdout, cmd.Stderr = r.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(exited) }()
	r.cmd, r.exited = cmd, exited
}

// kill ends the process at once, as a crash would.
func (r *replica) kill() {
	_ = r.cmd.Process.Kill()
	<-r.exited
}

// stop asks the process to end and returns its exit code, -1 if it had to be
// killed.
func (r *replica) stop() int {
	r.signal(syscall.SIGTERM)
	select {
	case <-r.exited:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		r.kill()
		return -1
	}
}

func (r *replica) signal(s syscall.Signal) { _ = r.cmd.Process.Signal(s) }

// log returns the last lines that the replica wrote.
func (r *replica) log(lines int) string {
	text, err := os.ReadFile(r.file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

var client = &http.Client{Timeout: 5 * time.Second}
