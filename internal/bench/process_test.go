package bench_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Resource usage, as reported by the kernel and by Redis.

// cpuOf returns the CPU seconds that processes have used.
func cpuOf(t testing.TB, pids ...int) (sum float64) {
	t.Helper()
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		sum += (user + system) / 100 // USER_HZ is 100 on every Linux that Go runs on
	}
	return sum
}

// memoryOf returns a line of a process's status, such as VmRSS or VmHWM, in MiB.
func memoryOf(t testing.TB, pid int, line string) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), line+":")
	kilobytes, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes / 1024
}

// infoOf returns the sum of some fields of INFO over several Redis servers.
func infoOf(t testing.TB, clients []*redis.Client, section string, names ...string) (sum float64) {
	t.Helper()
	for _, client := range clients {
		info, err := client.Info(context.Background(), section).Result()
		if err != nil {
			t.Fatal(err)
		}
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
