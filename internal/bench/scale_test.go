package bench_test

import (
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/programtest"
)

const scaleTime = 5 * time.Second

// BenchmarkScale is part h: three replicas and a Redis Cluster of three masters. All run on
// one machine, so it measures the overhead of sharing the work, not the gain from more
// machines.
func BenchmarkScale(b *testing.B) {
	users, interval := programtest.EnvInt("BENCH_USERS", 3000), pollInterval(b)
	for b.Loop() {
		tb := newTestbed(b, config{users: users, cluster: true, env: map[string]string{"POLL_INTERVAL": interval.String()}})
		for range 3 {
			tb.start()
		}
		tb.enrol()
		tb.awaitEvenShares()
		time.Sleep(idleTime)
		before := tb.readsByReplica()
		s := tb.watch(max(scaleTime, 3*min(interval, 20*time.Second)))
		var shares []float64
		for i, reads := range tb.readsByReplica() {
			shares = append(shares, 100*(reads-before[i])/s.reads)
		}
		heading("h. three replicas and masters of Redis, %d users every %v", users, interval)
		s.rows(users, interval)
		row("smallest share of the reads", slices.Min(shares), "%", 100/3.0, "floor: an equal share")
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
