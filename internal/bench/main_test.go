package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9/logging"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// Environment variables with which the test binary runs itself in a role.
const (
	roleVariable   = "BENCH_ROLE"
	paramsVariable = "BENCH_PARAMS" // JSON
)

// role is what a process does until ctx ends: it reports its result or how to reach it.
type role func(ctx context.Context, params []byte, report func(any)) error

var roles = map[string]role{
	"graph":       withParams(runGraph),
	"read floor":  withParams(runReadFloor),
	"inbox":       withParams(runInbox),
	"inbox floor": withParams(runInboxFloor),
}

// withParams decodes the parameters of a role.
func withParams[P any](run func(ctx context.Context, params P, report func(any)) error) role {
	return func(ctx context.Context, text []byte, report func(any)) error {
		var params P
		if err := json.Unmarshal(text, &params); err != nil {
			return err
		}
		return run(ctx, params, report)
	}
}

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		if err := runRole(name); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
		return
	}
	logging.Disable() // of failed connections while a server starts
	m.Run()
}

// runRole runs a role until SIGTERM.
func runRole(name string) error {
	run, ok := roles[name]
	if !ok {
		return errors.New("no such role")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	report := func(v any) { _ = json.NewEncoder(os.Stdout).Encode(v) }
	return run(ctx, []byte(os.Getenv(paramsVariable)), report)
}

// startRole starts a role in a new process and decodes its report.
func startRole(t testing.TB, name string, params, where any) *programtest.Process {
	t.Helper()
	self, err := os.Executable()
	must.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+name, paramsVariable+"="+string(encode(t, params)))
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	must.NoError(t, err)
	p := programtest.Start(t, cmd)
	t.Cleanup(func() { p.Stop() })
	if err := json.NewDecoder(output).Decode(where); err != nil {
		t.Fatalf("%s reported nothing: %v", name, err)
	}
	return p
}
