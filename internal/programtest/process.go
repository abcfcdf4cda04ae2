package programtest

import (
	"bytes"
	"log/slog"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/must"
)

// Process is a child process. It never outlives its test, and on Linux not even a test
// process that is killed.
type Process struct {
	Exited <-chan struct{} // closed when the process has exited

	cmd *exec.Cmd
}

// noExitDelay is a setting of the race detector, which otherwise lets a process wait for a
// second when it exits.
const noExitDelay = "GORACE=atexit_sleep_ms=0"

// Start starts cmd.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	cmd.SysProcAttr = dieWithParent(cmd.SysProcAttr)
	cmd.Env = append(cmd.Environ(), noExitDelay)
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The child is killed when this thread exits, so the thread has to wait for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(exited)
		}
	}()
	must.NoError(t, <-started)
	p := &Process{Exited: exited, cmd: cmd}
	t.Cleanup(p.Kill)
	return p
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends s to the process.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process at once, as a crash would.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL) // fails if the process has exited
	<-p.Exited
}

// Stop sends SIGTERM and waits for the process; it returns what Wait returns.
func (p *Process) Stop() int {
	_ = p.Signal(syscall.SIGTERM)
	return p.Wait()
}

// Wait waits for the process to exit and returns its exit code. After 30 seconds it kills
// the process and returns -1.
func (p *Process) Wait() int {
	select {
	case <-p.Exited:
	case <-time.After(30 * time.Second):
		p.Kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// Alive reports whether the process is still running.
func (p *Process) Alive() bool {
	select {
	case <-p.Exited:
		return false
	default:
		return true
	}
}

// Output is a buffer that may be read while it is written to.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String returns everything written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Logger returns a logger and its output.
func Logger() (*slog.Logger, *Output) {
	var out Output
	return slog.New(slog.NewTextHandler(&out, nil)), &out
}
