package redistest

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// child is a process of ours.
type child struct {
	process *os.Process
	exited  chan struct{} // closed when it has ended
}

// spawn starts a program with env added to the environment. What it writes is added to
// the file called output.
func spawn(t testing.TB, env []string, output, path string, args ...string) *child {
	t.Helper()
	file, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = file, file, dying()
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
	return &child{cmd.Process, exited}
}

// kill ends the child at once and returns when it is gone.
func (c *child) kill() {
	_ = c.process.Kill()
	<-c.exited
}

func (c *child) alive() bool {
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

func (c *child) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := c.process.Signal(s); err != nil {
		t.Fatalf("%v to redis-server: %v", s, err)
	}
}
