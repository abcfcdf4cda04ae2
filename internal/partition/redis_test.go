package partition_test

import (
	"crypto/rand"
	"testing"
	"time"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// newRedisEnv starts n replicas on a real Redis, in real time. The scenarios in a bubble
// check how long things take.
func newRedisEnv(t *testing.T, url string, n int) *env {
	e := &env{T: t}
	// Because of the beat of a dead replica, all wait before they take anything, so that
	// they start balanced.
	first := e.open(url)
	_, err := first.Round(t.Context(), "dead", store.Beat{Number: 1})
	must.NoError(t, err)
	for range n {
		e.run(rand.Text(), e.open(url))
	}
	t.Cleanup(e.end)
	e.check(5 * time.Millisecond)
	e.waitBalanced(n)
	return e
}

func (e *env) open(url string) *store.Store {
	s, err := store.Open(store.Config{URL: url})
	must.NoError(e, err)
	e.Cleanup(s.Close)
	return s
}

// leases returns the leases of all living replicas.
func (e *env) leases() (all [64]store.Lease) {
	for _, r := range e.replicas {
		for p, lease := range partition.Leases(r.Owners) {
			if lease.Life != "" && !r.stopped.Load() {
				all[p] = lease
			}
		}
	}
	return all
}

// waitForLeases waits until the living replicas have the given leases.
func (e *env) waitForLeases(before [64]store.Lease) {
	e.Helper()
	e.waitFor("the leases are as before", time.Minute, func() bool { return e.leases() == before })
}

// kill ends a process so that Redis sees no clean stop.
func (r *replica) kill() {
	r.stopped.Store(true)
	r.backing.(*store.Store).Close()
	r.stop()
}

func TestSingle(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	e := newRedisEnv(t, server.URL(), 3)
	e.replicas[1].kill()
	e.waitBalanced(2)
	before := e.leases()
	server.Pause()
	e.waitFor("no replica acts", time.Minute, func() bool { return e.leases() == [64]store.Lease{} })
	server.Resume()
	e.waitForLeases(before)
	server.Restart()
	e.waitForLeases(before)
	e.replicas[0].stop()
	e.waitBalanced(1)
	before = e.leases()
	server.RestartEmpty()
	e.waitFor("Redis is restored", time.Minute, func() bool { return e.replicas[2].rollbacks.Load() > 0 && e.leases() == before })
	if e.replicas[2].restores.Load() == 0 {
		t.Error("no partition was restored")
	}
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	sentinel := redistest.StartSentinel(t)
	testFailover(t, sentinel.URL(), func() { sentinel.Failover() })
}

func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	testFailover(t, cluster.URL(), func() {
		for _, m := range cluster.Masters {
			m.Restart()
		}
	})
}

// testFailover checks that the leases outlive a failover of Redis, and a dead replica after it.
func testFailover(t *testing.T, url string, failOver func()) {
	e := newRedisEnv(t, url, 2)
	before := e.leases()
	failOver()
	e.waitForLeases(before)
	e.replicas[0].kill()
	e.waitBalanced(1)
}
