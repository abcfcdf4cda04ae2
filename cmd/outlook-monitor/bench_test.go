package main_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// The benchmarks of the whole program measure the built binary as a child
// process against a real Redis and the local Graph, which share the machine with
// it. scripts/bench runs them.

// BenchmarkNotificationToMediator measures, at rest, the time from sending a
// genuine notification until the mediator is called with the new state.
func BenchmarkNotificationToMediator(b *testing.B) {
	w := world(b, redistest.Start(b).URL(), graphsim.Config{Seed: 20})
	c := newCrowd(w, 20)
	w.start("serve")
	c.settle()
	c.eventually("each user is covered once", c.coveredOnce)
	states := map[string]string{} // by user id
	for _, sub := range w.sim.Subscriptions() {
		states[sub.UserID] = sub.ClientState
	}
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		u := c.users[i%len(c.users)]
		text := fmt.Sprintf("Change %d", i)
		_, err := w.sim.SetAutomaticReplies(u.ID, graphsim.AutomaticRepliesUpdate{
			Status: new("alwaysEnabled"), ExternalReplyMessage: &text,
		})
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		status, _ := w.ask(http.MethodPost, "/graph/notifications", "application/json",
			`{"value":[{"subscriptionId":"x","clientState":"`+states[u.ID]+`","changeType":"updated"}]}`)
		if status != http.StatusAccepted {
			b.Fatalf("status = %d, want 202", status)
		}
		w.eventually("the mediator is told", func() bool {
			state, ok := w.mediator.State(u.UserPrincipalName)
			return ok && state.Message == text
		})
		calls := w.mediator.Calls()
		took = append(took, calls[len(calls)-1].At.Sub(began))
		time.Sleep(20 * time.Millisecond) // at rest again
	}
	slices.Sort(took)
	b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	b.ReportMetric(0, "ns/op") // the waits between would only confuse
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkCadence measures how well and at what cost users are read every 2 s,
// for 20 s after they have been read once.
func BenchmarkCadence(b *testing.B) {
	for _, users := range []int{100, 1000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) { cadence(b, users, 20*time.Second) })
	}
}

func cadence(b *testing.B, users int, span time.Duration) {
	server := redistest.Start(b)
	w := world(b, server.URL(), graphsim.Config{Seed: 21})
	c := newCrowd(w, users)
	w.env["LOG_LEVEL"] = "warn"
	redisClient := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer redisClient.Close()
	empty := redisInfo(b, redisClient, "memory", "used_memory")
	p := w.start("serve")
	c.settle()
	c.eventually("each user is covered once", c.coveredOnce)
	for b.Loop() {
		time.Sleep(3 * time.Second)
		w.sim.ResetStats()
		cpu, redisCPU, commands := processCPU(b, p.cmd.Process.Pid), redisUsed(b, redisClient), w.commands()
		time.Sleep(span)
		stats := w.sim.Stats()
		reads := float64(stats.Calls["read"]["200"])
		if reads == 0 {
			b.Fatal("nothing was read")
		}
		b.ReportMetric(reads/span.Seconds(), "reads/s")
		b.ReportMetric(float64(stats.ReadGaps.P50), "gap-p50-ms")
		b.ReportMetric(float64(stats.ReadGaps.P99), "gap-p99-ms")
		b.ReportMetric(float64(stats.ReadGaps.Max), "gap-max-ms")
		b.ReportMetric(1000*(processCPU(b, p.cmd.Process.Pid)-cpu)*1000/reads, "cpu-ms/1000reads")
		b.ReportMetric(1000*(redisUsed(b, redisClient)-redisCPU)*1000/reads, "redis-cpu-ms/1000reads")
		b.ReportMetric((w.commands()-commands)*1000/reads, "redis-commands/1000reads")
		b.ReportMetric((redisInfo(b, redisClient, "memory", "used_memory")-empty)/1024/float64(users), "redis-KiB/user")
		b.ReportMetric(residentMiB(b, p.cmd.Process.Pid), "rss-MiB")
		b.ReportMetric(0, "ns/op")
	}
}

// processCPU returns the CPU seconds that a process has used.
func processCPU(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // USER_HZ is 100 on every Linux that Go runs on
}

func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kilobytes / 1024
}

// redisUsed returns the CPU seconds that Redis has used.
func redisUsed(b *testing.B, client *redis.Client) float64 {
	b.Helper()
	return redisInfo(b, client, "cpu", "used_cpu_user", "used_cpu_sys")
}

// redisInfo returns the sum of some numbers of INFO.
func redisInfo(b *testing.B, client *redis.Client, section string, names ...string) (sum float64) {
	b.Helper()
	info, err := client.Info(context.Background(), section).Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if slices.Contains(names, name) {
			number, _ := strconv.ParseFloat(value, 64)
			sum += number
		}
	}
	return sum
}

// commands returns how many commands the program has sent to Redis; a script
// counts once.
func (w *surroundings) commands() (n float64) {
	w.t.Helper()
	_, text := w.ask(http.MethodGet, "/metrics", "", "")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "outlook_monitor_redis_commands_total") {
			value, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			n += value
		}
	}
	return n
}
