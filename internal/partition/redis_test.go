package partition_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// realWorld has replicas over a real Redis, in real time. That it takes long enough is
// for the scenarios in a bubble to tell.
func realWorld(t *testing.T, url string, n int) *world {
	w := &world{T: t}
	// The beat of a dead replica has all of them wait, so that they start evenly.
	first := w.open(url)
	if _, err := first.Round(t.Context(), "dead", store.Beat{Number: 1}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		w.run(fmt.Sprint("r", i), w.open(url))
	}
	t.Cleanup(w.end)
	w.check(5 * time.Millisecond)
	w.even(n)
	return w
}

func (w *world) open(url string) *store.Store {
	s, err := store.Open(store.Config{URL: url})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(s.Close)
	return s
}

// leases returns the leases of all living replicas.
func (w *world) leases() (all [64]store.Lease) {
	for _, r := range w.replicas {
		for p, lease := range partition.Leases(r.Owners) {
			if lease.Life != "" && !r.gone.Load() {
				all[p] = lease
			}
		}
	}
	return all
}

// keepsLeases waits until every partition has the lease that it had.
func (w *world) keepsLeases(before [64]store.Lease) {
	w.Helper()
	w.until("all own what they owned", time.Minute, func() bool { return w.leases() == before })
}

// kill ends a process without a word, as far as Redis is concerned.
func (r *replica) kill() {
	r.gone.Store(true)
	r.backing.(*store.Store).Close()
	r.stop()
}

func TestSingle(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := realWorld(t, server.URL(), 3)
	w.replicas[1].kill()
	w.even(2)
	before := w.leases()
	server.Pause()
	w.until("nobody acts", time.Minute, func() bool { return w.leases() == [64]store.Lease{} })
	server.Resume()
	w.keepsLeases(before)
	server.Restart()
	w.keepsLeases(before)
	w.replicas[0].stop()
	w.even(1)
	before = w.leases()
	server.RestartEmpty()
	w.until("Redis is brought up to date", time.Minute, func() bool { return w.replicas[2].older.Load() > 0 && w.leases() == before })
	if w.replicas[2].restores() == 0 {
		t.Error("nothing was written back")
	}
}

func TestRolledBack(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := realWorld(t, server.URL(), 2)
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	raw := redis.NewClient(options)
	defer raw.Close()
	old, err := raw.HGetAll(t.Context(), "om:{om}:owners").Result()
	if err != nil || len(old) == 0 {
		t.Fatalf("table = %v, %v", old, err)
	}
	w.replicas[0].kill()
	w.even(1)
	before := w.leases()
	if _, err := raw.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.Del(t.Context(), "om:{om}:owners")
		return p.HSet(t.Context(), "om:{om}:owners", old).Err()
	}); err != nil {
		t.Fatal(err)
	}
	w.until("Redis is brought up to date", time.Minute, func() bool { return w.replicas[1].older.Load() > 0 })
	w.keepsLeases(before)
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	sentinel := redistest.StartSentinel(t)
	w := realWorld(t, sentinel.URL(), 2)
	before := w.leases()
	sentinel.Failover()
	w.keepsLeases(before)
	w.replicas[0].kill()
	w.even(1)
}

func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	w := realWorld(t, cluster.URL(), 2)
	before := w.leases()
	for _, m := range cluster.Masters {
		m.Restart()
	}
	w.keepsLeases(before)
	w.replicas[0].kill()
	w.even(1)
}

// TestEmbedded joins and leaves on the Redis in this process.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	embedded, err := store.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Close)
	w := &world{T: t}
	s := w.open(embedded.URL())
	w.run("a", s)
	w.even(1)
	w.end()
	if o, err := s.Round(context.Background(), "b", store.Beat{}); err != nil || len(o.Beats) != 0 || owned(o) || o.Fingerprint != "f" {
		t.Errorf("table = %v, %v, want an empty one", o, err)
	}
	if _, err := partition.New(partition.Config{Store: s}); err == nil {
		t.Error("New without a fingerprint = nil, want an error")
	}
}
