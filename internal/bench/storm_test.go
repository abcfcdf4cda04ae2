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

// eventsResource is the resource whose notifications are made here.
const eventsResource = "/users/{id}/events"

// notice is one item as Graph writes it, genuine for a user.
func notice(u graphsim.User) string {
	state := ooo.NewClientStateKeys(clientStateKey).Derive(ooo.ObjectID(u.ID), eventsResource)
	event := "AAMkADk0MGFkODE3LWE4MmYtNDRhOS04OGQxLTkyNGRkN2NhMmVlYgBGAAAAAAAB" + u.ID
	return `{"subscriptionId":"` + u.ID + `","subscriptionExpirationDateTime":"2026-12-01T10:00:00.0000000Z",` +
		`"changeType":"updated","resource":"Users/` + u.ID + `/Events/` + event + `","clientState":"` + state + `",` +
		`"tenantId":"` + graphsim.DefaultTenantID + `","resourceData":{"@odata.type":"#Microsoft.Graph.Event",` +
		`"@odata.id":"Users/` + u.ID + `/Events/` + event + `","@odata.etag":"W/\"DwAAABYAAAC4ofQHEIqCSbQPot83AFcbAAAW/0tB\"","id":"` + event + `"}}`
}

func collection(items []string) []byte { return []byte(`{"value":[` + strings.Join(items, ",") + `]}`) }

// storm is a flood of notifications.
type storm struct {
	posts, items int
	lanes        int // requests in flight
	padding      int // bytes more in each item
	tries        int // of each POST
}

// outcome is what came of the POSTs.
type outcome struct {
	took     []float64 // ms, of each answer
	statuses map[int]int
	lasted   time.Duration
}

// rage sends the storm. A third of the items are doubles of their neighbour, and
// what is not taken is tried again a second later.
func (w *world) rage(s storm) outcome {
	w.t.Helper()
	items := noticesOf(w.graph.users)
	if s.padding > 0 {
		for i := range items {
			items[i] = strings.TrimSuffix(items[i], "}") + `,"padding":"` + strings.Repeat("x", s.padding) + `"}`
		}
	}
	var mu sync.Mutex
	out := outcome{statuses: map[int]int{}}
	var sent atomic.Int64
	var lanes sync.WaitGroup
	began := time.Now()
	for lane := range s.lanes {
		lanes.Go(func() {
			random := rand.New(rand.NewPCG(31, uint64(lane)))
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
				for range s.tries {
					asked := time.Now()
					status := w.notify(body)
					took = append(took, ms(time.Since(asked)))
					if statuses[status]++; status == http.StatusAccepted {
						break
					}
					if s.tries > 1 {
						time.Sleep(time.Second)
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			out.took = append(out.took, took...)
			for status, n := range statuses {
				out.statuses[status] += n
			}
		})
	}
	lanes.Wait()
	out.lasted = time.Since(began)
	return out
}

// notify POSTs a collection to the first replica.
func (w *world) notify(body []byte) int { return post(w.replicas[0].base+notificationPath, body) }

// post sends a JSON body and returns the status of the answer; 0 is none.
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
		users := setting("BENCH_USERS", 5000)
		w := newWorld(b, plan{users: users})
		r := w.start()
		w.enrol()
		calm := memoryOf(b, r.PID(), "VmHWM")
		redisCalm := infoOf(b, w.redis, "memory", "used_memory")
		w.mediator.delay.Store(int64(200 * time.Millisecond))

		ctx, stop := context.WithCancel(context.Background())
		var changes sync.WaitGroup
		changed := map[string]string{} // text by address
		changes.Go(func() { w.change(ctx, changed) })
		w.graph.resetStats()
		before := w.metric("outlook_monitor_reads_total")
		used := func() [3]float64 {
			return [3]float64{cpuOf(b, r.PID()), infoOf(b, w.redis, "cpu", "used_cpu_user", "used_cpu_sys"), cpuOf(b, w.graph.PID())}
		}
		cpu := used()
		out := w.rage(storm{posts: setting("BENCH_POSTS", 20_000), items: 20, lanes: setting("BENCH_LANES", 64), tries: 5})
		stats := w.graph.stats()
		lookedAt := w.metric("outlook_monitor_reads_total") - before
		for i, n := range used() {
			cpu[i] = (n - cpu[i]) / out.lasted.Seconds()
		}
		stop()
		changes.Wait()
		over := time.Now()
		wrong := func() (n int) {
			for address, text := range changed {
				if w.mediator.state(address).message != text {
					n++
				}
			}
			return n
		}
		left := wrong()
		w.eventually("the mediator knows every change", func() bool { return wrong() == 0 })

		heading(b, "i. %d POSTs of 20 items, %d at once, %d users polled, mediator takes 200 ms", len(out.took), setting("BENCH_LANES", 64), users)
		w.answers(out)
		row(b, figure{name: "reads a second meanwhile", value: reads(stats) / out.lasted.Seconds(), unit: "/s", floor: float64(users) / 2})
		row(b, figure{name: "reads that the program counts", value: lookedAt / out.lasted.Seconds(), unit: "/s"})
		for i, who := range []string{"program", "Redis", "local Graph"} {
			row(b, figure{name: "cores kept busy, " + who, value: cpu[i]})
		}
		row(b, figure{name: "time between two reads, p99", value: float64(stats.ReadGaps.P99), unit: "ms", goal: "≤ 2200"})
		row(b, figure{name: "time between two reads, longest", value: float64(stats.ReadGaps.Max), unit: "ms"})
		row(b, figure{name: "answers 429 of Graph", value: float64(stats.Throttled)})
		row(b, figure{name: "changes made meanwhile", value: float64(len(changed))})
		row(b, figure{name: "of them not told when the storm ended", value: float64(left)})
		row(b, figure{name: "until the mediator knew all of them", value: time.Since(over).Seconds(), unit: "s", goal: "none is lost"})
		row(b, figure{name: "memory of the program, most (RSS)", value: memoryOf(b, r.PID(), "VmHWM"), unit: "MiB", floor: calm})
		row(b, figure{name: "memory of Redis, most", value: infoOf(b, w.redis, "memory", "used_memory_peak") / (1 << 20), unit: "MiB", floor: redisCalm / (1 << 20)})
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkHeavyStorm is overload by bytes: many requests near the limit of 4 MiB
// at once.
func BenchmarkHeavyStorm(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, plan{users: 100, env: map[string]string{"PUBLIC_RATE_LIMIT": "0"}})
		r := w.start()
		w.enrol()
		calm := memoryOf(b, r.PID(), "VmHWM")
		lanes := setting("BENCH_LANES", 150)
		out := w.rage(storm{posts: lanes, items: 20, lanes: lanes, padding: 190_000, tries: 1})
		heading(b, "i. %d POSTs of 3.8 MiB, %d at once", len(out.took), lanes)
		w.answers(out)
		row(b, figure{name: "memory of the program, most (RSS)", value: memoryOf(b, r.PID(), "VmHWM"), unit: "MiB", floor: calm})
		b.ReportMetric(0, "ns/op")
	}
}

// answers prints how the POSTs of a storm were answered.
func (w *world) answers(out outcome) {
	w.t.Helper()
	row(w.t, figure{name: "the storm lasted", value: out.lasted.Seconds(), unit: "s"})
	row(w.t, figure{name: "answers, p50", value: quantile(out.took, 0.5), unit: "ms"})
	row(w.t, figure{name: "answers, p99", value: quantile(out.took, 0.99), unit: "ms", goal: "≤ 1000"})
	row(w.t, figure{name: "answers, slowest", value: quantile(out.took, 1), unit: "ms", goal: "≤ 1000"})
	for _, status := range slices.Sorted(maps.Keys(out.statuses)) {
		row(w.t, figure{name: fmt.Sprintf("answers %d", status), value: float64(out.statuses[status])})
	}
}

// change lets users go out of office, twenty a second, until ctx ends, and notes
// what each says last.
func (w *world) change(ctx context.Context, changed map[string]string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		u := w.graph.users[n%min(len(w.graph.users), 200)]
		text := fmt.Sprintf("Change %d", n)
		if err := w.graph.reply(u.ID, text); err != nil {
			w.t.Error(err)
			return
		}
		changed[u.UserPrincipalName] = text
	}
}
