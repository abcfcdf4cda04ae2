package bench_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

const notificationPath = "/graph/notifications"

// eventsResource is the resource of the notifications.
const eventsResource = "/users/{id}/events"

// notificationItem returns a valid notification item for a user, formatted like Graph's.
func notificationItem(u graphsim.User) string {
	state := ooo.NewClientStateKeys(clientStateKey).Derive(ooo.ObjectID(u.ID), eventsResource)
	event := "AAMkADk0MGFkODE3LWE4MmYtNDRhOS04OGQxLTkyNGRkN2NhMmVlYgBGAAAAAAAB" + u.ID
	return `{"subscriptionId":"` + u.ID + `","subscriptionExpirationDateTime":"2026-12-01T10:00:00.0000000Z",` +
		`"changeType":"updated","resource":"Users/` + u.ID + `/Events/` + event + `","clientState":"` + state + `",` +
		`"tenantId":"` + graphsim.DefaultTenantID + `","resourceData":{"@odata.type":"#Microsoft.Graph.Event",` +
		`"@odata.id":"Users/` + u.ID + `/Events/` + event + `","@odata.etag":"W/\"DwAAABYAAAC4ofQHEIqCSbQPot83AFcbAAAW/0tB\"","id":"` + event + `"}}`
}

func collection(items []string) []byte { return []byte(`{"value":[` + strings.Join(items, ",") + `]}`) }

// storm configures a flood of notifications.
type storm struct {
	posts, items int
	concurrency  int // requests in flight
	padding      int // additional bytes in each item
	attempts     int // of each POST
}

// outcome is the result of a storm.
type outcome struct {
	latencies []float64 // ms, of each answer
	statuses  map[int]int
	duration  time.Duration
}

// sendStorm sends the storm. A third of the items repeat the previous item. Refused POSTs
// are retried after a second.
func (tb *testbed) sendStorm(s storm) outcome {
	tb.t.Helper()
	items := notificationItems(tb.graph.users)
	if s.padding > 0 {
		for i := range items {
			items[i] = strings.TrimSuffix(items[i], "}") + `,"padding":"` + strings.Repeat("x", s.padding) + `"}`
		}
	}
	var mu sync.Mutex
	out := outcome{statuses: map[int]int{}}
	var sent atomic.Int64
	var workers sync.WaitGroup
	began := time.Now()
	for worker := range s.concurrency {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(31, uint64(worker)))
			var took []float64
			statuses := map[int]int{}
			for sent.Add(1) <= int64(s.posts) {
				picked := make([]string, s.items)
				for i := range picked {
					if picked[i] = items[random.IntN(len(items))]; i > 0 && random.IntN(3) == 0 {
						picked[i] = picked[i-1]
					}
				}
				body := collection(picked)
				for range s.attempts {
					asked := time.Now()
					status := tb.notify(body)
					took = append(took, ms(time.Since(asked)))
					if statuses[status]++; status == http.StatusAccepted {
						break
					}
					if s.attempts > 1 {
						time.Sleep(time.Second)
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			out.latencies = append(out.latencies, took...)
			for status, n := range statuses {
				out.statuses[status] += n
			}
		})
	}
	workers.Wait()
	out.duration = time.Since(began)
	return out
}

// notify POSTs notifications to the first replica.
func (tb *testbed) notify(body []byte) int { return post(tb.replicas[0].base+notificationPath, body) }

// post sends a JSON body and returns the status, or 0 without an answer.
func post(url string, body []byte) int {
	response, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// BenchmarkStorm is part i: overload.
func BenchmarkStorm(b *testing.B) {
	for b.Loop() {
		users := envInt("BENCH_USERS", 5000)
		tb := newTestbed(b, config{users: users})
		r := tb.start()
		tb.enrol()
		memoryBefore := memoryOf(b, r.PID(), "VmHWM")
		redisBefore := infoOf(b, tb.redis, "memory", "used_memory")
		tb.mediator.delay.Store(int64(200 * time.Millisecond))

		ctx, stop := context.WithCancel(context.Background())
		var changes sync.WaitGroup
		changed := map[string]string{} // text by address
		changes.Go(func() { tb.makeChanges(ctx, changed) })
		tb.graph.resetStats()
		before := tb.metric("outlook_monitor_reads_total")
		used := func() [3]float64 {
			return [3]float64{cpuOf(b, r.PID()), infoOf(b, tb.redis, "cpu", "used_cpu_user", "used_cpu_sys"), cpuOf(b, tb.graph.PID())}
		}
		cpu := used()
		out := tb.sendStorm(storm{posts: envInt("BENCH_POSTS", 20_000), items: 20, concurrency: envInt("BENCH_CONCURRENCY", 64), attempts: 5})
		stats := tb.graph.stats()
		counted := tb.metric("outlook_monitor_reads_total") - before
		for i, n := range used() {
			cpu[i] = (n - cpu[i]) / out.duration.Seconds()
		}
		stop()
		changes.Wait()
		over := time.Now()
		wrong := func() (n int) {
			for address, text := range changed {
				if tb.mediator.lastState(address).message != text {
					n++
				}
			}
			return n
		}
		left := wrong()
		tb.eventually("the mediator has every change", func() bool { return wrong() == 0 })

		heading(b, "i. %d POSTs of 20 items, %d at once, %d users polled, mediator takes 200 ms", len(out.latencies), envInt("BENCH_CONCURRENCY", 64), users)
		tb.printAnswers(out)
		row(b, figure{name: "reads a second", value: reads(stats) / out.duration.Seconds(), unit: "/s", floor: float64(users) / 2})
		row(b, figure{name: "reads a second, counted by the program", value: counted / out.duration.Seconds(), unit: "/s"})
		for i, who := range []string{"program", "Redis", "local Graph"} {
			row(b, figure{name: "busy cores, " + who, value: cpu[i]})
		}
		row(b, figure{name: "time between two reads, p99", value: float64(stats.ReadGaps.P99), unit: "ms", goal: "≤ 2200"})
		row(b, figure{name: "time between two reads, longest", value: float64(stats.ReadGaps.Max), unit: "ms"})
		row(b, figure{name: "answers 429 of Graph", value: float64(stats.Throttled)})
		row(b, figure{name: "changes during the storm", value: float64(len(changed))})
		row(b, figure{name: "of these undelivered at its end", value: float64(left)})
		row(b, figure{name: "until the mediator had all of them", value: time.Since(over).Seconds(), unit: "s", goal: "none is lost"})
		row(b, figure{name: "memory of the program, most (RSS)", value: memoryOf(b, r.PID(), "VmHWM"), unit: "MiB", floor: memoryBefore})
		row(b, figure{name: "memory of Redis, most", value: infoOf(b, tb.redis, "memory", "used_memory_peak") / (1 << 20), unit: "MiB", floor: redisBefore / (1 << 20)})
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkHeavyStorm is overload by size: many concurrent requests near the limit of 4 MiB.
func BenchmarkHeavyStorm(b *testing.B) {
	for b.Loop() {
		tb := newTestbed(b, config{users: 100, env: map[string]string{"PUBLIC_RATE_LIMIT": "0"}})
		r := tb.start()
		tb.enrol()
		memoryBefore := memoryOf(b, r.PID(), "VmHWM")
		workers := envInt("BENCH_CONCURRENCY", 150)
		out := tb.sendStorm(storm{posts: workers, items: 20, concurrency: workers, padding: 190_000, attempts: 1})
		heading(b, "i. %d POSTs of 3.8 MiB, %d at once", len(out.latencies), workers)
		tb.printAnswers(out)
		row(b, figure{name: "memory of the program, most (RSS)", value: memoryOf(b, r.PID(), "VmHWM"), unit: "MiB", floor: memoryBefore})
		b.ReportMetric(0, "ns/op")
	}
}

// printAnswers prints the answers to a storm.
func (tb *testbed) printAnswers(out outcome) {
	tb.t.Helper()
	row(tb.t, figure{name: "the storm lasted", value: out.duration.Seconds(), unit: "s"})
	row(tb.t, figure{name: "answers, p50", value: quantile(out.latencies, 0.5), unit: "ms"})
	row(tb.t, figure{name: "answers, p99", value: quantile(out.latencies, 0.99), unit: "ms", goal: "≤ 1000"})
	row(tb.t, figure{name: "answers, slowest", value: quantile(out.latencies, 1), unit: "ms", goal: "≤ 1000"})
	for _, status := range slices.Sorted(maps.Keys(out.statuses)) {
		row(tb.t, figure{name: fmt.Sprintf("answers %d", status), value: float64(out.statuses[status])})
	}
}

// makeChanges changes the automatic replies of users, twenty per second, until ctx ends. It
// records the last text of each user in changed.
func (tb *testbed) makeChanges(ctx context.Context, changed map[string]string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		u := tb.graph.users[n%min(len(tb.graph.users), 200)]
		text := fmt.Sprintf("Change %d", n)
		if err := tb.graph.setReply(u.ID, text); err != nil {
			tb.t.Error(err)
			return
		}
		changed[u.UserPrincipalName] = text
	}
}
