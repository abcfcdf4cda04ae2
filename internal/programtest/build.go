// Package programtest runs programs as child processes of tests, above all the built
// outlook-monitor.
package programtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"
)

// Build compiles outlook-monitor into dir and returns the executable's path. It has the
// race detector if the test has it. flags are further flags of go build.
func Build(dir string, flags ...string) (path string, err error) {
	path = filepath.Join(dir, "outlook-monitor")
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	if racing() {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "outlook-monitor/cmd/outlook-monitor")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return path, nil
}

// racing reports whether this process has the race detector.
func racing() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Ports lie below those that systems give to outgoing connections, and that redistest
// uses, so that nobody takes a program's port before it listens or while it is down.
const firstPort, lastPort = 7000, 11999

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
