package faults_test

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// replica is one of the program's processes; it can be started again and again.
type replica struct {
	t       testing.TB
	program program
	env     []string
	addr    string
	file    string // its log, of all its lives

	cmd    *exec.Cmd
	exited chan struct{}
}

// start runs the process; env are further variables of this life alone.
func (r *replica) start(env ...string) {
	r.t.Helper()
	path, err := r.program()
	if err != nil {
		r.t.Fatal(err)
	}
	log, err := os.OpenFile(r.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	cmd, exited := exec.Command(path, "serve"), make(chan struct{})
	cmd.Env, cmd.Stdout, cmd.Stderr = append(env, r.env...), log, log
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

// ready says whether the replica answers that it is.
func (r *replica) ready() bool {
	response, err := client.Get("http://" + r.addr + "/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

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
