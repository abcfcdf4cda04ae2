package partition_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/store"
)

// scenarios are told in the time of a bubble. No two owners act at once in any of them.
var scenarios = map[string]func(*world){
	"one replica takes everything at once, and leaves nothing": func(w *world) {
		r := w.add("a")
		w.until("it owns all", 100*time.Millisecond, func() bool { return len(r.owns()) == 64 })
		if !r.First() || r.Replicas() != 1 || r.Share() != 1 || r.Owned() != 64 {
			w.Errorf("First = %v, Replicas = %d, Share = %v, Owned = %d", r.First(), r.Replicas(), r.Share(), r.Owned())
		}
		r.stop()
		if err := <-r.done; err != nil {
			w.Error(err)
		}
		r.done <- nil
		if o := w.table.owners(); len(o.Beats) != 0 || owned(o) {
			w.Errorf("left in the table: %v %v", o.Beats, o.Leases)
		}
		next := w.add("b")
		w.until("the next one owns all", 100*time.Millisecond, func() bool { return len(next.owns()) == 64 })
	},
	"three share, one by one, two partitions a round": func(w *world) {
		a := w.add("a")
		w.even(1)
		b := w.add("b")
		took := w.until("half is moved", time.Minute, func() bool { return w.settled(2) })
		if took < 15*time.Second {
			w.Errorf("32 partitions were moved in %v", took)
		}
		c := w.add("c")
		w.even(3)
		if a.Replicas() != 3 || c.Replicas() != 3 || len(a.owns()) != 22 || len(b.owns()) != 21 {
			w.Errorf("Replicas = %d, %d; owned %d, %d", a.Replicas(), c.Replicas(), len(a.owns()), len(b.owns()))
		}
		if s := b.Share(); s < 0.3 || s > 0.36 {
			w.Errorf("Share = %v, want a third", s)
		}
	},
	"three that start together": func(w *world) {
		w.add("c")
		w.add("b")
		w.add("a")
		w.even(3)
	},
	"two with the same host name": func(w *world) {
		w.add("")
		w.add("")
		w.even(2)
	},
	"a partition that moves has an owner again within a round": func(w *world) {
		w.add("a")
		w.even(1)
		w.add("b")
		var unowned [64]time.Time
		for !w.settled(2) {
			for p := range unowned {
				switch {
				case len(w.owners(p)) > 0:
					unowned[p] = time.Time{}
				case unowned[p].IsZero():
					unowned[p] = time.Now()
				case time.Since(unowned[p]) > time.Second:
					w.Fatalf("partition %d has no owner for a second", p)
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	},
	"what is busy stays": func(w *world) {
		a := w.add("a", func(_ *partition.Config, r *replica) { r.busy = func(p int) bool { return p != 5 } })
		w.even(1)
		b := w.add("b")
		w.until("it has one", time.Minute, func() bool { return len(b.owns()) == 1 })
		time.Sleep(20 * time.Second)
		if !slices.Equal(b.owns(), []int{5}) || len(a.owns()) != 63 {
			w.Errorf("b owns %v, want 5 alone", b.owns())
		}
	},
	"a slow drain and a slow load delay no round": func(w *world) {
		slow := func(_ *partition.Config, r *replica) {
			r.loadTime = 20 * time.Second
			r.drain = func(ctx context.Context, _ int, _ bool) { time.Sleep(time.Second) }
		}
		a, b := w.add("a", slow), w.add("b", slow)
		for range 4000 {
			time.Sleep(10 * time.Millisecond)
			if !a.InTime() || !b.InTime() {
				w.Fatal("a round is late")
			}
		}
		w.even(2)
	},
	"who stops releases at once, but for what is in flight": func(w *world) {
		ended := make(chan struct{})
		end := sync.OnceFunc(func() { close(ended) })
		defer end()
		a := w.add("a", func(_ *partition.Config, r *replica) {
			r.drain = func(ctx context.Context, p int, stop bool) {
				if p == 0 && stop {
					<-ended
				}
			}
		})
		w.even(1)
		b := w.add("b")
		w.even(2)
		a.stop()
		w.until("the rest is taken", 300*time.Millisecond, func() bool { return len(b.owns()) == 63 })
		time.Sleep(5 * time.Second)
		if !a.acts(0) || len(b.owns()) != 63 {
			w.Error("what is in flight was given up")
		}
		end()
		w.until("the last one is taken", 300*time.Millisecond, func() bool { return len(b.owns()) == 64 })
	},
	"who can't drain stops within 10 s": func(w *world) {
		a := w.add("a", func(_ *partition.Config, r *replica) {
			r.drain = func(ctx context.Context, p int, stop bool) { <-ctx.Done() }
		})
		w.even(1)
		a.stop()
		w.until("it has ended", 10100*time.Millisecond, a.gone.Load)
		if o := w.table.owners(); len(o.Beats) != 0 || o.Leases[0].Life != "" {
			w.Error("it left something behind")
		}
	},
	"an answer of a take is lost: the table decides": func(w *world) {
		a := w.add("a")
		w.even(1)
		b := w.add("b")
		time.Sleep(2 * time.Second)
		a.link.set(func() { a.link.deaf = true })
		b.link.set(func() { b.link.deaf = true })
		w.even(2)
	},
	"a pause of 2 s loses nothing": func(w *world) {
		a, b := w.add("a"), w.add("b")
		w.even(2)
		before, loads := a.owns(), a.loads()
		a.link.pause()
		time.Sleep(2 * time.Second)
		a.link.resume()
		time.Sleep(5 * time.Second)
		if !slices.Equal(a.owns(), before) || a.loads() != loads || len(b.owns()) != 32 {
			w.Errorf("a owns %d after %d more loads, want the same as before", len(a.owns()), a.loads()-loads)
		}
	},
	"who is resumed keeps what was not taken and nothing else": func(w *world) {
		a, b := w.add("a"), w.add("b", func(cfg *partition.Config, r *replica) {})
		w.even(2)
		b.link.pause() // nobody can take
		a.link.pause()
		time.Sleep(20 * time.Second)
		a.link.resume()
		w.until("it takes the other's, and keeps its own", 6*time.Second, func() bool { return len(a.owns()) == 64 })
		if a.loads() > 32+64 {
			w.Errorf("%d loads: what was not taken was loaded again", a.loads())
		}
		b.link.resume()
		time.Sleep(time.Second)
		if len(b.owns()) != 0 {
			w.Errorf("b owns %v right after it was resumed, want none", b.owns())
		}
		w.even(2)
	},
	"what was taken from a paused replica and released is not its any more": func(w *world) {
		a, b := w.add("a"), w.add("b")
		w.even(2)
		loads := a.loads()
		a.link.pause()
		w.until("b owns all", 20*time.Second, func() bool { return len(b.owns()) == 64 })
		for _, p := range b.owns() {
			b.save(w.Context(), p)
		}
		b.stop()
		w.until("b has released all", 20*time.Second, b.gone.Load)
		a.link.resume()
		w.until("a has loaded all anew", 20*time.Second, func() bool { return a.loads() == loads+64 })
		if a.restores() != 0 {
			w.Errorf("%d partitions were written back over newer data", a.restores())
		}
	},
	"a replica that can't read gives everything away, and gets it back": func(w *world) {
		since := time.Time{}
		a := w.add("a", func(cfg *partition.Config, _ *replica) {
			cfg.Answered = func() time.Duration {
				if since.IsZero() {
					return 0
				}
				return time.Since(since)
			}
		})
		b := w.add("b")
		w.even(2)
		since = time.Now()
		took := w.until("b owns all", 15*time.Second, func() bool { return len(b.owns()) == 64 })
		if took < 10*time.Second || took > 13*time.Second {
			w.Errorf("given away after %v, want a little over 10 s", took)
		}
		if len(a.owns()) != 0 || a.Replicas() != 1 {
			w.Errorf("a owns %d, Replicas = %d", len(a.owns()), a.Replicas())
		}
		since = time.Time{}
		w.even(2)
	},
	"nobody can read: what is free is taken, nobody releases": func(w *world) {
		never := func(cfg *partition.Config, _ *replica) { cfg.Answered = func() time.Duration { return -1 } }
		a := w.add("a", never)
		w.even(1)
		b := w.add("b", never)
		time.Sleep(20 * time.Second)
		if len(a.owns()) != 64 || len(b.owns()) != 0 {
			w.Errorf("owned %d and %d, want all by the first", len(a.owns()), len(b.owns()))
		}
		a.crash()
		w.until("b takes over", 4*time.Second, func() bool { return len(b.owns()) == 64 })
	},
	"a rolling upgrade: the newest settings win": func(w *world) {
		with := func(digest string) func(*partition.Config, *replica) {
			return func(cfg *partition.Config, _ *replica) { cfg.Settings = digest }
		}
		a, b := w.add("a", with("old")), w.add("b", with("old"))
		w.even(2)
		c := w.add("c", with("new"))
		w.even(3)
		b.crash()
		time.Sleep(3900 * time.Millisecond)
		if got := len(c.owns()); got < 32 || len(a.owns()) > 22 {
			w.Errorf("owned %d by the newer, %d by the older, want nothing taken by the older yet", got, len(a.owns()))
		}
		w.even(2) // what nobody has for 3 s
		a.stop()
		w.until("the newer owns all", 3*time.Second, func() bool { return len(c.owns()) == 64 })
		if o := w.table.owners(); o.Settings != "2 new" || o.Beats["c"].Settings != 2 {
			w.Errorf("settings = %q, beat %v, want number 2", o.Settings, o.Beats["c"])
		}
	},
	"a wall clock is stepped": func(w *world) {
		var step atomic.Int64
		a := w.add("a", func(_ *partition.Config, r *replica) {})
		partition.SetWall(a.Owners, func() time.Time { return time.Now().Round(0).Add(time.Duration(step.Load())) })
		b := w.add("b")
		w.even(2)
		before := a.owns()
		for _, by := range []time.Duration{time.Hour, -2 * time.Hour} {
			step.Store(int64(by))
			if by > 0 && a.InTime() {
				w.Error("in time though the machine may have been suspended for an hour")
			}
			time.Sleep(time.Second)
			if !slices.Equal(a.owns(), before) || len(b.owns()) != 32 {
				w.Errorf("a owns %v, want the same as before", a.owns())
			}
		}
		a.crash()
		w.until("b owns all", 4*time.Second, func() bool { return len(b.owns()) == 64 })
	},
	"other data is refused": func(w *world) {
		a := w.add("a")
		w.even(1)
		b := w.add("b", func(cfg *partition.Config, _ *replica) { cfg.Fingerprint = "another" })
		if err := <-b.done; !errors.Is(err, partition.ErrForeign) {
			w.Errorf("Run = %v, want ErrForeign", err)
		}
		b.done <- nil
		if o := w.table.owners(); len(o.Beats) != 1 || len(a.owns()) != 64 {
			w.Errorf("beats = %v", o.Beats)
		}
	},
	"waits of the whole app": func(w *world) {
		a := w.add("a")
		w.even(1)
		set := func(until, length time.Duration) {
			w.change(func(fields map[string]string) {
				fields[store.WaitField("reads")] = store.Wait{Until: time.Now().Add(until), Length: length}.String()
			})
			time.Sleep(810 * time.Millisecond)
		}
		near := func(want time.Duration) {
			w.Helper()
			if got := a.Wait("reads"); got > want || got < want-900*time.Millisecond {
				w.Errorf("Wait = %v, want about %v", got, want)
			}
		}
		set(time.Hour, 10*time.Second) // by a clock that is ahead
		near(10 * time.Second)
		time.Sleep(5 * time.Second)
		near(5 * time.Second) // seen again in each round, and not longer for that
		if err := w.add("b").SetWait(w.Context(), "reads", time.Minute); err != nil {
			w.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // no round is due
		near(time.Minute)
		set(time.Second, time.Second) // a shorter one ends no longer one
		near(59 * time.Second)
		time.Sleep(time.Minute)
		if a.Wait("reads") != 0 || a.Wait("other") != 0 {
			w.Error("a wait does not end")
		}
	},
}

func TestScenarios(t *testing.T) {
	all := maps.Clone(scenarios)
	maps.Copy(all, outages)
	for name, scenario := range all {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.end()
				scenario(w)
			})
		})
	}
}

// TestACrash crashes one of two or three replicas at many moments of their rounds.
func TestACrash(t *testing.T) {
	for n := 2; n <= 3; n++ {
		for moment := range 16 {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.end()
				for i := range n {
					w.add(fmt.Sprint("r", i))
					time.Sleep(time.Duration(i) * 300 * time.Millisecond)
				}
				w.even(n)
				time.Sleep(time.Duration(moment) * 50 * time.Millisecond)
				dead := w.replicas[moment%n]
				owned, first := dead.owns(), time.Duration(0)
				dead.crash()
				taken := func() (n int) {
					for _, p := range owned {
						n += len(w.owners(p))
					}
					return n
				}
				first = w.until("some are taken", 4*time.Second, func() bool { return taken() > 0 })
				all := first + w.until("all are taken", 4*time.Second, func() bool { return taken() == len(owned) })
				if first < 2200*time.Millisecond || all > 3850*time.Millisecond {
					t.Errorf("%d replicas, moment %d: taken after %v to %v, want 2.2 to 3.8 s", n, moment, first, all)
				}
				w.even(n - 1)
				if beats := len(w.table.owners().Beats); beats != n-1 {
					t.Errorf("%d beats are left, want %d", beats, n-1)
				}
			})
		}
	}
}
