package faults_test

import (
	"net/http"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// replica is a replica of the program, which can be restarted.
type replica struct {
	t       testing.TB
	program program
	env     []string
	addr    string
	log     programtest.Log

	*programtest.Process // the current or last one; nil before the first start
}

// start starts a process. env are additional variables for this process only.
func (r *replica) start(env ...string) {
	r.t.Helper()
	path, err := r.program()
	must.NoError(r.t, err)
	cmd := exec.Command(path, "serve")
	cmd.Env = append(env, r.env...)
	r.Process = r.log.Start(cmd)
}

func (r *replica) signal(s syscall.Signal) { _ = r.Signal(s) }

// get returns the answer to a GET, or status 0 and the error.
func (r *replica) get(path string) (status int, body string) {
	return programtest.Get(r.t, client, "http://"+r.addr+path)
}

// ready reports whether /readyz answers 200.
func (r *replica) ready() bool {
	status, _ := r.get("/readyz")
	return status == http.StatusOK
}

const ownedPartitions = "outlook_monitor_owned_partitions"

// metric returns the sum of a metric, 0 if the replica does not answer.
func (r *replica) metric(name string) float64 {
	_, body := r.get("/metrics")
	return programtest.Metric(body, name)
}

var client = &http.Client{Timeout: 5 * time.Second}
