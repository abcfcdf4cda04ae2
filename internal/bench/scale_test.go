package bench_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

const scaleSpan = 5 * time.Second

// scaling is what part h goes through.
type scaling struct {
	users, quota int // the quota of the app in 10 s; 0: Graph's own
	masters      []int
	intervals    []time.Duration
	fewest       int // replicas, up to 3
	resources    []string
}

// BenchmarkScale is part h: more replicas and more masters of Redis, at the usual
// pace and as fast as they go. All share the cores of one machine, so that what
// can be seen here is what sharing the work costs, not what more machines bring.
// BENCH_INTERVAL asks for three replicas at that pace, three masters, and Graph's quota.
func BenchmarkScale(b *testing.B) {
	s := scaling{
		users: setting("BENCH_USERS", 3000), quota: 1 << 30, masters: []int{1, 3}, fewest: 1,
		intervals: []time.Duration{2 * time.Second, 100 * time.Millisecond},
		resources: []string{"/users/{id}/events", "/users/{id}/events,/users/{id}/messages,/users/{id}/contacts"},
	}
	if os.Getenv("BENCH_INTERVAL") != "" {
		s = scaling{users: s.users, masters: []int{3}, fewest: 3, intervals: []time.Duration{pace(b)}}
	}
	for b.Loop() {
		for _, masters := range s.masters {
			s.share(b, masters)
		}
		for _, resources := range s.resources {
			cover(b, resources)
		}
		b.ReportMetric(0, "ns/op")
	}
}

// share measures one to three replicas over some masters of Redis.
func (s scaling) share(b *testing.B, masters int) {
	w := newWorld(b, plan{users: s.users, masters: masters, quota: s.quota})
	for _, interval := range s.intervals {
		w.env["POLL_INTERVAL"] = interval.String()
		for replicas := 1; replicas <= 3; replicas++ {
			w.start()
			if replicas < s.fewest {
				continue
			}
			if w.mediator.states() == 0 {
				w.enrol()
			}
			w.even()
			time.Sleep(restTime)
			before := w.shares()
			seen := w.watch(max(scaleSpan, 3*min(interval, 20*time.Second)))
			heading(b, "h. %s, %s of Redis, %d users every %v", plural(replicas, "replica"), plural(masters, "master"), s.users, interval)
			row(b, figure{name: "reads a second", value: seen.reads / seen.span.Seconds(), unit: "/s"})
			row(b, figure{name: "time between two reads, p50", value: seen.gapP50, unit: "ms"})
			row(b, figure{name: "time between two reads, p99", value: seen.gapP99, unit: "ms", goal: punctual(interval)})
			row(b, figure{name: "CPU per read, programs", value: 1000 * seen.per1000(seen.cpu), unit: "µs"})
			row(b, figure{name: "CPU per read, Redis", value: 1000 * seen.per1000(seen.redisCPU), unit: "µs"})
			row(b, figure{name: "Redis commands per read", value: seen.commands / seen.reads})
			row(b, figure{name: "memory of a replica (RSS), on average", value: seen.rss / float64(replicas), unit: "MiB"})
			row(b, figure{name: "answers 429 of Graph", value: seen.throttled})
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

// even waits until each replica owns its share of the 64 partitions.
func (w *world) even() {
	w.t.Helper()
	all := w.replicas
	defer func() { w.replicas = all }()
	for _, r := range all {
		w.replicas = []*replica{r}
		w.eventually("the partitions are shared", func() bool {
			n, share := w.metric("outlook_monitor_owned_partitions"), 64/float64(len(all))
			return share-1 < n && n < share+1
		})
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
