package faults_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
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
	logFile string // of all its processes

	*programtest.Process // the current or last one; nil before the first start
}

// start starts a process. env are additional variables for this process only.
func (r *replica) start(env ...string) {
	r.t.Helper()
	path, err := r.program()
	must.NoError(r.t, err)
	log, err := os.OpenFile(r.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must.NoError(r.t, err)
	defer log.Close()
	cmd := exec.Command(path, "serve")
	cmd.Env, cmd.Stdout, cmd.Stderr = append(env, r.env...), log, log
	r.Process = programtest.Start(r.t, cmd)
}

func (r *replica) signal(s syscall.Signal) { _ = r.Signal(s) }

// get returns the answer to a GET, or status 0 and the error.
func (r *replica) get(path string) (status int, body []byte) {
	response, err := client.Get("http://" + r.addr + path)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		return 0, []byte(err.Error())
	}
	return response.StatusCode, body
}

// ready reports whether /readyz answers 200.
func (r *replica) ready() bool {
	status, _ := r.get("/readyz")
	return status == http.StatusOK
}

const ownedPartitions = "outlook_monitor_owned_partitions "

// metric adds up the samples of a metric, whose name ends with a space, or with a brace
// if it has labels. It returns 0 if the replica does not answer.
func (r *replica) metric(name string) (total float64) {
	_, body := r.get("/metrics")
	for line := range strings.Lines(string(body)) {
		if fields := strings.Fields(line); strings.HasPrefix(line, name) {
			value, _ := strconv.ParseFloat(fields[len(fields)-1], 64)
			total += value
		}
	}
	return total
}

// log returns the last lines that the replica wrote.
func (r *replica) log(lines int) string {
	text, err := os.ReadFile(r.logFile)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

var client = &http.Client{Timeout: 5 * time.Second}
