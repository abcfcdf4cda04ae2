package bench_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

const (
	scaleUsers = 3000
	scaleSpan  = 5 * time.Second
)

// BenchmarkScale is part h: more replicas and more masters of Redis, at the usual
// pace and as fast as they go. All share the cores of one machine, so that what
// can be seen here is what sharing the work costs, not what more machines bring.
func BenchmarkScale(b *testing.B) {
	for b.Loop() {
		for _, masters := range []int{1, 3} {
			w := newWorld(b, plan{users: scaleUsers, masters: masters, quota: 1 << 30})
			for _, interval := range []string{"2s", "100ms"} {
				w.env["POLL_INTERVAL"] = interval
				for replicas := 1; replicas <= 3; replicas++ {
					w.start()
					if w.mediator.states() == 0 {
						w.enrol()
					}
					time.Sleep(restTime)
					before := w.shares()
					s := w.watch(scaleSpan)
					heading(b, "h. %s, %s of Redis, %d users every %s", plural(replicas, "replica"), plural(masters, "master"), scaleUsers, interval)
					row(b, figure{name: "reads a second", value: s.reads / s.span.Seconds(), unit: "/s"})
					row(b, figure{name: "time between two reads, p99", value: s.gapP99, unit: "ms"})
					row(b, figure{name: "CPU per read, programs", value: 1000 * s.per1000(s.cpu), unit: "µs"})
					row(b, figure{name: "CPU per read, Redis", value: 1000 * s.per1000(s.redisCPU), unit: "µs"})
					row(b, figure{name: "Redis commands per read", value: s.commands / s.reads})
					if replicas > 1 {
						row(b, figure{name: "reads of the replica that reads least", value: least(before, w.shares()), unit: "%", floor: 100 / float64(replicas), goal: "the floor is its fair share"})
					}
				}
				for _, r := range w.replicas {
					r.end()
				}
				w.replicas = nil
			}
		}
		for _, resources := range []string{"/users/{id}/events", "/users/{id}/events,/users/{id}/messages,/users/{id}/contacts"} {
			cover(b, resources)
		}
		b.ReportMetric(0, "ns/op")
	}
}

// shares are the reads of each replica so far.
func (w *world) shares() (all []float64) {
	w.t.Helper()
	whole := w.replicas
	defer func() { w.replicas = whole }()
	for _, r := range whole {
		w.replicas = []*replica{r}
		all = append(all, w.metric("outlook_monitor_reads_total"))
	}
	return all
}

// least returns the smallest share, in percent.
func least(before, after []float64) float64 {
	var sum float64
	var each []float64
	for i := range after {
		each = append(each, after[i]-before[i])
		sum += after[i] - before[i]
	}
	return 100 * slices.Min(each) / max(sum, 1)
}

// cover measures what more resources for each user cost.
func cover(b *testing.B, resources string) {
	const users = 150
	w := newWorld(b, plan{users: users, env: map[string]string{"PUBLIC_URL": "{base}", "SUBSCRIPTION_RESOURCES": resources}})
	w.start()
	began := time.Now()
	w.enrol()
	wanted := users * (1 + strings.Count(resources, ","))
	var answer struct{ Subscriptions []graphsim.Subscription }
	w.eventually("everybody is covered", func() bool {
		w.graph.ask(http.MethodGet, "/subscriptions", nil, &answer)
		return len(answer.Subscriptions) >= wanted
	})
	heading(b, "h. %d users, %s each", users, plural(wanted/users, "resource"))
	row(b, figure{name: "until all are covered", value: time.Since(began).Seconds(), unit: "s"})
	stats := w.graph.stats()
	row(b, figure{name: "subscriptions made", value: float64(stats.Calls["subscription-create"]["201"]), floor: float64(wanted)})
	s := w.watch(scaleSpan)
	row(b, figure{name: "CPU per read, program", value: 1000 * s.per1000(s.cpu), unit: "µs"})
	row(b, figure{name: "Redis commands per read", value: s.commands / s.reads})
	row(b, figure{name: "memory of Redis per user", value: s.redisBytes / 1024 / users, unit: "KiB"})
}
