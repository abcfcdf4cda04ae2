package bench_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
)

// Resource usage, as reported by the kernel and by Redis.

// cpuOf returns the CPU seconds that a process has used.
func cpuOf(t testing.TB, pid int) float64 {
	t.Helper()
	text := filetest.Read(t, fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // USER_HZ is 100 on every Linux that Go runs on
}

// ownCPU returns the CPU seconds that this process has used, more exactly than cpuOf.
func ownCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// infoOf returns the sum of some fields of INFO over several Redis servers.
func infoOf(t testing.TB, clients []*redis.Client, section string, names ...string) (sum float64) {
	t.Helper()
	for _, client := range clients {
		info, err := client.Info(context.Background(), section).Result()
		must.NoError(t, err)
		for line := range strings.Lines(info) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if slices.Contains(names, name) {
				number, _ := strconv.ParseFloat(value, 64)
				sum += number
			}
		}
	}
	return sum
}

// usage is what was used so far: CPU seconds, and Redis commands.
type usage struct {
	program, redis, graph, own float64 // own is this process: mediator and sender
	commands                   float64 // including those inside scripts
}

func (tb *testbed) usage() (u usage) {
	tb.t.Helper()
	for _, r := range tb.replicas {
		u.program += cpuOf(tb.t, r.PID())
	}
	u.redis, u.graph, u.own = infoOf(tb.t, tb.redis, "cpu", "used_cpu_user", "used_cpu_sys"), cpuOf(tb.t, tb.graph.PID()), ownCPU()
	u.commands = infoOf(tb.t, tb.redis, "stats", "total_commands_processed")
	return u
}

// since returns what was used since then.
func (u usage) since(before usage) usage {
	return usage{u.program - before.program, u.redis - before.redis, u.graph - before.graph, u.own - before.own, u.commands - before.commands}
}
