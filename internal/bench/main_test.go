package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/programtest"
)

// Environment variables with which the test binary runs itself in a role.
const (
	roleVariable   = "BENCH_ROLE"
	paramsVariable = "BENCH_PARAMS" // JSON
)

// role is what a process does: it reports its result or how to reach it, and ends once
// stopped is closed.
type role func(params []byte, report func(any), stopped <-chan struct{}) error

var roles = map[string]role{
	"graph":       runGraph,
	"read floor":  runReadFloor,
	"inbox":       runInbox,
	"inbox floor": runInboxFloor,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		if err := runRole(name); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
		return
	}
	redis.SetLogger(silence{})
	m.Run()
	if path, err := program(); err == nil && path != os.Getenv("BENCH_PROGRAM") {
		_ = os.RemoveAll(filepath.Dir(path))
	}
}

// silence keeps go-redis from logging failed connections while a server starts.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// runRole runs a role until the standard input ends. With BENCH_PROFILE it writes a CPU
// profile into that directory.
func runRole(name string) error {
	act, ok := roles[name]
	if !ok {
		return errors.New("no such role")
	}
	if dir := os.Getenv("BENCH_PROFILE"); dir != "" {
		file, err := os.Create(filepath.Join(dir, name+".pprof"))
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	stopped := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends when the parent closes it or exits
		close(stopped)
	}()
	report := func(v any) { _ = json.NewEncoder(os.Stdout).Encode(v) }
	return act([]byte(os.Getenv(paramsVariable)), report, stopped)
}

// child is a child process.
type child struct {
	*programtest.Process
	input io.Closer // closing it ends a role; nil for the program
}

// startRole starts a role in a new process and decodes its report.
func startRole(t testing.TB, name string, params, where any) *child {
	t.Helper()
	text, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+name, paramsVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := launch(t, cmd, input)
	if err := json.NewDecoder(output).Decode(where); err != nil {
		t.Fatalf("%s reported nothing: %v", name, err)
	}
	return c
}

// launch starts a process and ends it with the benchmark.
func launch(t testing.TB, cmd *exec.Cmd, input io.Closer) *child {
	t.Helper()
	c := &child{programtest.Start(t, cmd), input}
	t.Cleanup(c.end)
	return c
}

// end makes the process end and waits for it.
func (c *child) end() {
	if c.input != nil {
		_ = c.input.Close()
	} else {
		_ = c.Signal(syscall.SIGTERM) // it may have ended
	}
	<-c.Exited
}

// program returns the path in BENCH_PROGRAM or builds outlook-monitor once.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("BENCH_PROGRAM"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "outlook-monitor")
	if err != nil {
		return "", err
	}
	return programtest.Build(dir)
})
