// Package programtest builds the commands, runs programs as child processes of tests, and
// serves, relays and sends what tests and programs exchange over the network.
package programtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"

	"outlook-monitor/internal/must"
)

// Build compiles a command, such as outlook-monitor, into dir, passes flags to go build, and
// returns the executable's path.
func Build(dir, command string, flags ...string) (string, error) {
	path := filepath.Join(dir, command)
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	build := exec.Command("go", append(args, "outlook-monitor/cmd/"+command)...)
	build.Env = BuildEnv()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return path, nil
}

// BuildEnv returns the environment for commands and scripts that build programs. The race
// detector is on if it is in this process, so that no library is compiled a second time.
func BuildEnv() []string {
	env := os.Environ()
	race := debug.BuildSetting{Key: "-race", Value: "true"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, race) {
		env = append(env, "GOFLAGS="+os.Getenv("GOFLAGS")+" -race")
	}
	return env
}

// EnvInt returns a number from the environment, or fallback if the variable has none.
func EnvInt(variable string, fallback int) int {
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || n < 0 {
		return fallback
	}
	return n
}

// These ports are below the ephemeral range, so that no client takes a program's port before
// it listens or while it is down. So are those of a Redis Cluster's bus, 10,000 above.
const firstPort, lastPort = 7000, 21999

// FreeAddress returns a loopback address on which nothing listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort+1))
		if ln, err := net.Listen("tcp", address); err == nil {
			ln.Close()
			return address
		}
	}
	t.Fatalf("no port from %d to %d is free", firstPort, lastPort)
	return ""
}

// Listen listens on a free port of the loopback until the test ends.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}
