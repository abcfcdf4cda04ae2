package partition_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/partition"
)

// TestRandomFaults injects faults of all kinds in random order and then none. The replicas
// must end up balanced, and no two may ever act at the same time.
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { randomFaults(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func randomFaults(t *testing.T, random *rand.Rand) {
	e := newEnv(t)
	e.random, e.faults = random, random.Float64()/4
	defer e.end()
	join := func() {
		e.add(fmt.Sprintf("r%d-%d", random.IntN(100), len(e.replicas)), func(_ *partition.Config, r *replica) {
			r.loadTime = time.Duration(random.IntN(500)) * time.Millisecond
			r.drainTime = time.Duration(random.IntN(1000)) * time.Millisecond
		})
	}
	join()
	for range 60 {
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
		living := e.alive()
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
			r.link.set(func() { r.link.cut = r.stopped.Load() })
		case 5:
			r.link.pause()
			time.Sleep(d)
			r.link.resume()
		case 6:
			e.stop()
			time.Sleep(d)
			e.start()
		case 7: // a restart or a failover with older data
			// The first gap of the package comment: a replica that was cut off long enough
			// to lose its partitions would not notice.
			if slices.ContainsFunc(living, func(r *replica) bool { return !r.InTime() }) {
				continue
			}
			e.stop()
			time.Sleep(time.Second)
			e.rollBack(time.Second + d)
			e.start()
			time.Sleep(2 * time.Second) // the second gap: a replica that joins an emptied Redis first can't tell
		case 8:
			for p := range ooo.Partitions {
				go r.save(e.Context(), p)
			}
		}
	}
	for _, r := range e.replicas {
		r.link.set(func() { r.link.random, r.link.cut = nil, r.stopped.Load() })
	}
	e.random = nil
	time.Sleep(15 * time.Second) // stopping replicas end
	if len(e.alive()) == 0 {
		e.add("last")
	}
	e.waitFor("the partitions are balanced", 2*time.Minute, func() bool { return e.balanced(len(e.alive())) })
	time.Sleep(10 * time.Second)
	o := e.owners()
	for _, r := range e.alive() {
		for p := range ooo.Partitions {
			if n, loaded := r.Saves(p); loaded != r.acts(p) || o.Saves[p] < n {
				t.Errorf("partition %d has %d saves in Redis, %d in memory, loaded: %v", p, o.Saves[p], n, loaded)
			}
		}
	}
	if len(o.Beats) != len(e.alive()) {
		t.Errorf("beats = %v, want those of %d replicas", o.Beats, len(e.alive()))
	}
}
