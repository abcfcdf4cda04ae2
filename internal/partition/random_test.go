package partition_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/partition"
)

// TestAnything has faults of all kinds in any order, and then none: it must end evenly
// and, as ever, no two may act at once.
func TestAnything(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { anything(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func anything(t *testing.T, random *rand.Rand) {
	w := newWorld(t)
	w.random, w.faults = random, random.Float64()/4
	defer w.end()
	join := func() {
		w.add(fmt.Sprintf("r%d-%d", random.IntN(100), len(w.replicas)), func(_ *partition.Config, r *replica) {
			r.loadTime = time.Duration(random.IntN(500)) * time.Millisecond
			drain := time.Duration(random.IntN(1000)) * time.Millisecond
			r.drain = func(context.Context, int, bool) { time.Sleep(drain) }
		})
	}
	alive := func() (alive []*replica) {
		for _, r := range w.replicas {
			if !r.gone.Load() {
				alive = append(alive, r)
			}
		}
		return alive
	}
	join()
	for range 60 {
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
		living := alive()
		if len(living) == 0 {
			join()
			continue
		}
		r, d := living[random.IntN(len(living))], time.Duration(random.IntN(6000))*time.Millisecond
		switch random.IntN(9) {
		case 0, 1:
			if len(living) < 4 {
				join()
			}
		case 2:
			r.crash()
		case 3:
			r.stop()
		case 4:
			r.link.set(func() { r.link.cut = true })
			time.Sleep(d)
			r.link.set(func() { r.link.cut = r.gone.Load() })
		case 5:
			r.link.pause()
			time.Sleep(d)
			r.link.resume()
		case 6:
			w.stop()
			time.Sleep(d)
			w.start()
		case 7: // a restart, or a failover, which fails rounds
			// A replica that was cut off long enough to be taken from, and finds a table
			// from before that, would not notice.
			if slices.ContainsFunc(living, func(r *replica) bool { return !r.InTime() }) {
				continue
			}
			w.stop()
			time.Sleep(time.Second)
			w.rollBack(time.Second + d)
			w.start()
			time.Sleep(2 * time.Second) // an empty one looks new to who joins before anybody else comes back
		case 8:
			for p := range ooo.Partitions {
				go r.save(w.Context(), p)
			}
		}
	}
	for _, r := range w.replicas {
		r.link.set(func() { r.link.random, r.link.cut = nil, r.gone.Load() })
	}
	w.random = nil
	time.Sleep(15 * time.Second) // those that stop have ended
	if len(alive()) == 0 {
		w.add("last")
	}
	w.until("all partitions are shared out evenly", 2*time.Minute, func() bool { return w.settled(len(alive())) })
	time.Sleep(10 * time.Second)
	o := w.table.owners()
	for _, r := range alive() {
		for p := range ooo.Partitions {
			if _, n, known := r.Counts(p); known && o.Saves[p] < n {
				t.Errorf("partition %d has %d saves in Redis, %d in memory", p, o.Saves[p], n)
			}
		}
	}
	if len(o.Beats) != len(alive()) {
		t.Errorf("beats = %v, want those of %d replicas", o.Beats, len(alive()))
	}
}
