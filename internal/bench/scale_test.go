package bench_test

import (
	"os"
	"slices"
	"testing"
	"time"
)

const scaleTime = 5 * time.Second

// BenchmarkScale is part h: more replicas and more Redis masters. All run on one machine,
// so it measures the overhead of sharing the work, not the gain from more machines. With
// BENCH_INTERVAL it measures only three replicas and three masters.
func BenchmarkScale(b *testing.B) {
	users := envInt("BENCH_USERS", 3000)
	for b.Loop() {
		if os.Getenv("BENCH_INTERVAL") == "" {
			measureReplicas(b, users, 1, 1)
			measureReplicas(b, users, 3, 1)
		} else {
			measureReplicas(b, users, 3, 3)
		}
	}
}

// measureReplicas measures fewest to three replicas with a number of Redis masters.
func measureReplicas(b *testing.B, users, masters, fewest int) {
	interval := pollInterval(b)
	tb := newTestbed(b, config{users: users, masters: masters, env: map[string]string{"POLL_INTERVAL": interval.String()}})
	for replicas := 1; replicas <= 3; replicas++ {
		tb.start()
		if replicas < fewest {
			continue
		}
		if tb.mediator.stateCount() == 0 {
			tb.enrol()
		}
		tb.awaitEvenShares()
		time.Sleep(idleTime)
		before := tb.readsByReplica()
		seen := tb.watch(max(scaleTime, 3*min(interval, 20*time.Second)))
		heading("h. %s, %s of Redis, %d users every %v", plural(replicas, "replica"), plural(masters, "master"), users, interval)
		row("reads a second", seen.reads/seen.duration.Seconds(), "/s", 0, "")
		row("time between two reads, p50", seen.gapP50, "ms", 0, "")
		row("time between two reads, p99", seen.gapP99, "ms", 0, gapGoal(interval))
		row("CPU per read, programs", 1000*seen.per1000(seen.program), "µs", 0, "")
		row("CPU per read, Redis", 1000*seen.per1000(seen.redis), "µs", 0, "")
		row("Redis commands per read", seen.commands/seen.reads, "", 0, "")
		row("memory of a replica (RSS), on average", seen.rss/float64(replicas), "MiB", 0, "")
		row("answers 429 of Graph", seen.throttled, "", 0, "")
		if replicas > 1 {
			row("smallest share of the reads", smallestShare(before, tb.readsByReplica()), "%", 100/float64(replicas), "floor: an equal share")
		}
	}
	tb.stop()
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
