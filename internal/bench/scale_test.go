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

const scaleTime = 5 * time.Second

// scaling configures part h.
type scaling struct {
	users, quota int // quota of the app in 10 s; 0: Graph's
	masters      []int
	intervals    []time.Duration
	minReplicas  int // of 3
	resources    []string
}

// BenchmarkScale is part h: more replicas and more Redis masters, at the default poll
// interval and at full speed. All run on one machine, so it measures the overhead of
// sharing the work, not the gain from more machines. With BENCH_INTERVAL it measures only
// three replicas with that interval, three masters, and Graph's quota.
func BenchmarkScale(b *testing.B) {
	s := scaling{
		users: envInt("BENCH_USERS", 3000), quota: 1 << 30, masters: []int{1, 3}, minReplicas: 1,
		intervals: []time.Duration{2 * time.Second, 100 * time.Millisecond},
		resources: []string{"/users/{id}/events", "/users/{id}/events,/users/{id}/messages,/users/{id}/contacts"},
	}
	if os.Getenv("BENCH_INTERVAL") != "" {
		s = scaling{users: s.users, masters: []int{3}, minReplicas: 3, intervals: []time.Duration{pollInterval(b)}}
	}
	for b.Loop() {
		for _, masters := range s.masters {
			s.measureReplicas(b, masters)
		}
		for _, resources := range s.resources {
			measureSubscriptions(b, resources)
		}
	}
}

// measureReplicas measures one to three replicas with a number of Redis masters.
func (s scaling) measureReplicas(b *testing.B, masters int) {
	tb := newTestbed(b, config{users: s.users, masters: masters, quota: s.quota})
	for _, interval := range s.intervals {
		tb.env["POLL_INTERVAL"] = interval.String()
		for replicas := 1; replicas <= 3; replicas++ {
			tb.start()
			if replicas < s.minReplicas {
				continue
			}
			if tb.mediator.stateCount() == 0 {
				tb.enrol()
			}
			tb.awaitEvenShares()
			time.Sleep(idleTime)
			before := tb.readsByReplica()
			seen := tb.watch(max(scaleTime, 3*min(interval, 20*time.Second)))
			heading("h. %s, %s of Redis, %d users every %v", plural(replicas, "replica"), plural(masters, "master"), s.users, interval)
			row(figure{name: "reads a second", value: seen.reads / seen.duration.Seconds(), unit: "/s"})
			row(figure{name: "time between two reads, p50", value: seen.gapP50, unit: "ms"})
			row(figure{name: "time between two reads, p99", value: seen.gapP99, unit: "ms", goal: gapGoal(interval)})
			row(figure{name: "CPU per read, programs", value: 1000 * seen.per1000(seen.program), unit: "µs"})
			row(figure{name: "CPU per read, Redis", value: 1000 * seen.per1000(seen.redis), unit: "µs"})
			row(figure{name: "Redis commands per read", value: seen.commands / seen.reads})
			row(figure{name: "memory of a replica (RSS), on average", value: seen.rss / float64(replicas), unit: "MiB"})
			row(figure{name: "answers 429 of Graph", value: seen.throttled})
			if replicas > 1 {
				row(figure{name: "smallest share of the reads", value: smallestShare(before, tb.readsByReplica()), unit: "%", floor: 100 / float64(replicas), goal: "floor: an equal share"})
			}
		}
		tb.stop()
	}
}

// awaitEvenShares waits until each replica owns its share of the 64 partitions.
func (tb *testbed) awaitEvenShares() {
	tb.t.Helper()
	share := 64 / float64(len(tb.replicas))
	tb.eventually("the partitions are shared", func() bool {
		return !slices.ContainsFunc(tb.replicas, func(r *replica) bool {
			n := r.metric("outlook_monitor_owned_partitions")
			return n <= share-1 || n >= share+1
		})
	})
}

// readsByReplica returns the reads of each replica so far.
func (tb *testbed) readsByReplica() (all []float64) {
	for _, r := range tb.replicas {
		all = append(all, r.metric("outlook_monitor_reads_total"))
	}
	return all
}

// smallestShare returns the smallest share of the reads in percent.
func smallestShare(before, after []float64) float64 {
	var sum float64
	var each []float64
	for i := range after {
		each = append(each, after[i]-before[i])
		sum += after[i] - before[i]
	}
	return 100 * slices.Min(each) / max(sum, 1)
}

// measureSubscriptions measures the cost of the subscriptions to some resources.
func measureSubscriptions(b *testing.B, resources string) {
	const users = 150
	tb := newTestbed(b, config{users: users, env: map[string]string{"PUBLIC_URL": "{base}", "SUBSCRIPTION_RESOURCES": resources}})
	tb.start()
	began := time.Now()
	tb.enrol()
	wanted := users * (1 + strings.Count(resources, ","))
	var answer struct{ Subscriptions []graphsim.Subscription }
	tb.eventually("all users have their subscriptions", func() bool {
		tb.graph.call(http.MethodGet, "/subscriptions", nil, &answer)
		return len(answer.Subscriptions) >= wanted
	})
	heading("h. %d users, %s each", users, plural(wanted/users, "resource"))
	row(figure{name: "until all subscriptions exist", value: time.Since(began).Seconds(), unit: "s"})
	stats := tb.graph.stats()
	row(figure{name: "subscriptions created", value: float64(stats.Calls["subscription-create"]["201"]), floor: float64(wanted)})
	s := tb.watch(scaleTime)
	row(figure{name: "CPU per read, program", value: 1000 * s.per1000(s.program), unit: "µs"})
	row(figure{name: "Redis commands per read", value: s.commands / s.reads})
	row(figure{name: "memory of Redis per user", value: s.redisBytes / 1024 / users, unit: "KiB"})
}
