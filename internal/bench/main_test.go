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

// The test binary runs itself in a role that these name.
const (
	roleVariable  = "BENCH_ROLE"
	orderVariable = "BENCH_ORDER" // what the role is to do, in JSON
)

// role does what it is ordered, tells where it is found, and goes on until
// stopped is closed.
type role func(order []byte, tell func(any), stopped <-chan struct{}) error

var roles = map[string]role{
	"graph":       playGraph,
	"read floor":  playReadFloor,
	"inbox":       playInbox,
	"inbox floor": playInboxFloor,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		if err := play(name); err != nil {
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

// silence keeps go-redis from telling that a server which starts is not there yet.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// play is a child's whole life: it ends when its standard input does. With
// BENCH_PROFILE it leaves a CPU profile in that folder.
func play(name string) error {
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
		_, _ = io.Copy(io.Discard, os.Stdin) // however it ends, the parent is gone
		close(stopped)
	}()
	tell := func(v any) { _ = json.NewEncoder(os.Stdout).Encode(v) }
	return act([]byte(os.Getenv(orderVariable)), tell, stopped)
}

// child is a process of ours.
type child struct {
	*programtest.Process
	input io.Closer // closing it asks a role to end; nil for the program
}

// cast starts a role and reads into where what it tells.
func cast(t testing.TB, name string, order, where any) *child {
	t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+name, orderVariable+"="+string(text))
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
		t.Fatalf("%s told nothing: %v", name, err)
	}
	return c
}

// launch starts a process that ends with the benchmark at the latest.
func launch(t testing.TB, cmd *exec.Cmd, input io.Closer) *child {
	t.Helper()
	c := &child{programtest.Start(t, cmd), input}
	t.Cleanup(c.end)
	return c
}

// end asks the process to end, and waits until it has.
func (c *child) end() {
	if c.input != nil {
		_ = c.input.Close()
	} else {
		_ = c.Signal(syscall.SIGTERM) // it may have ended
	}
	<-c.Exited
}

// program builds outlook-monitor once, unless BENCH_PROGRAM names one.
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
