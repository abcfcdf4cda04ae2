package programtest

import (
	"bytes"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a child process that ends with its test at the latest, even if the test
// process is killed.
type Process struct {
	Exited <-chan struct{} // closed when it has ended

	cmd *exec.Cmd
}

// Start runs cmd.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	cmd.SysProcAttr = endWithParent(cmd.SysProcAttr)
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The child dies with this thread, so the thread waits for the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	p := &Process{Exited: exited, cmd: cmd}
	t.Cleanup(p.Kill)
	return p
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process at once, as a crash would.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL) // it may have ended
	<-p.Exited
}

// Stop asks the process to end and returns what Wait does.
func (p *Process) Stop() int {
	_ = p.Signal(syscall.SIGTERM)
	return p.Wait()
}

// Wait returns the exit code of a process that ends by itself, -1 if it had to be killed
// after 30 seconds.
func (p *Process) Wait() int {
	select {
	case <-p.Exited:
	case <-time.After(30 * time.Second):
		p.Kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// Alive reports whether the process has not ended.
func (p *Process) Alive() bool {
	select {
	case <-p.Exited:
		return false
	default:
		return true
	}
}

// Output keeps what is written to it. It may be read meanwhile.
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
