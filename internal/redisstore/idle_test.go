package redisstore_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
)

// TestAnIdleStoreHardlyAsks counts the commands of a process whose loops run on
// all queues while nobody is monitored.
func TestAnIdleStoreHardlyAsks(t *testing.T) {
	const span, rate = 20 * time.Second, 5.0
	var commands atomic.Int64
	s, err := redisstore.Open(redisstore.Config{
		URL:     redistest.Start(t).URL(),
		Observe: func(string, time.Duration, error) { commands.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready := commands.Load()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = s.Run(ctx) })
	for _, q := range ooo.Queues {
		loop, err := due.New(due.Config{
			Queue: s, Name: q, Lease: 6 * time.Second, Workers: 8,
			Work: func(_ context.Context, _ due.Clock, claims []ooo.Claim) []ooo.Finished {
				t.Errorf("claims = %v, want none of an empty queue", claims)
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { _ = loop.Run(ctx) })
	}

	// Each queue is asked for all its shards once, and again when this process
	// hears of the others.
	began, last := time.Now(), int64(0)
	for n := commands.Load(); n < ready+4 || n != last; n = commands.Load() {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%d commands, want all queues asked and the loops at rest", n)
		}
		last = n
		time.Sleep(2 * time.Second)
	}
	began = time.Now()
	time.Sleep(span)
	idle, took := commands.Load()-last, time.Since(began)
	t.Logf("%d commands to start, then %d in %v", last, idle, took)
	if most := rate * took.Seconds(); float64(idle) > most {
		t.Errorf("commands at rest = %d in %v, want at most %.0f", idle, took, most)
	}
}
