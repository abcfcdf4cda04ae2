package faults_test

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/programtest"
)

// replica is one of the program's processes; it can be started again and again.
type replica struct {
	t       testing.TB
	program program
	env     []string
	addr    string
	file    string // its log, of all its lives

	*programtest.Process // of this life; nil before the first
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
	cmd := exec.Command(path, "serve")
	cmd.Env, cmd.Stdout, cmd.Stderr = append(env, r.env...), log, log
	r.Process = programtest.Start(r.t, cmd)
}

func (r *replica) signal(s syscall.Signal) { _ = r.Signal(s) }

// ready reports whether the replica answers that it is.
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
