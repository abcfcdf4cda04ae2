package partition_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/store"
)

// scenarios run in the fake time of a bubble. In none of them may two owners act at once.
var scenarios = map[string]func(*env){
	"single replica takes everything at once, and leaves nothing behind": func(e *env) {
		r := e.add("a")
		before := r.Table()
		e.waitFor("it owns everything", 100*time.Millisecond, func() bool { return len(r.owns()) == 64 })
		if len(before.Beats) != 0 || !r.OwnsPartition0() || r.Share() != 1 || r.Owned() != 64 {
			e.Errorf("OwnsPartition0 = %v, Share = %v, Owned = %d", r.OwnsPartition0(), r.Share(), r.Owned())
		}
		e.change(func(fields map[string]string) { delete(fields, store.LeaseField(7)) }) // before a round has seen it
		e.waitFor("it has noticed that Redis lost a lease", 5*time.Second, func() bool { return r.rollbacks.Load() == 1 })
		e.stop()
		time.Sleep(8 * time.Second)
		e.empty()
		e.start()
		e.waitFor("it owns everything again", time.Second, func() bool { return len(r.owns()) == 64 })
		r.stop()
		e.waitFor("it has ended", time.Second, r.stopped.Load)
		if o := e.owners(); len(o.Beats) != 0 || anyOwned(o) {
			e.Errorf("beats %v and leases %v are left in the table", o.Beats, o.Leases)
		}
		next := e.add("b")
		e.waitFor("the next one owns everything", 100*time.Millisecond, func() bool { return len(next.owns()) == 64 })
	},
	"replicas join one by one, and two partitions move per round, without an owner for less than 300 ms": func(e *env) {
		a := e.join("a", func(_ *partition.Config, r *replica) { r.drainTime = 900 * time.Millisecond })
		b := e.add("b")
		var owned [64]time.Time // when each partition last had an owner
		took := e.waitFor("half of the partitions have moved", time.Minute, func() bool {
			if shares := b.Share() + a.Share(); shares > 1 {
				e.Fatalf("the shares of Graph's limits add up to %v, want at most 1", shares)
			}
			for p := range owned {
				if e.acts(p) {
					owned[p] = time.Now()
				} else if time.Since(owned[p]) > 300*time.Millisecond {
					e.Fatalf("partition %d has had no owner for 300 ms", p)
				}
			}
			return e.balanced(2)
		})
		if took < 15*time.Second || took > 20*time.Second {
			e.Errorf("32 partitions moved in %v, want 15 to 20 s", took)
		}
		e.join("c")
		if len(a.owns()) != 22 || len(b.owns()) != 21 {
			e.Errorf("owned %d, %d, want 22, 21", len(a.owns()), len(b.owns()))
		}
		if s := b.Share(); s != 21.0/64 {
			e.Errorf("Share = %v, want 21 of 64", s)
		}
	},
	"busy partitions stay": func(e *env) {
		a := e.join("a", func(_ *partition.Config, r *replica) { r.busy = func(p int) bool { return p != 5 } })
		b := e.add("b")
		e.waitFor("b owns one", time.Minute, func() bool { return len(b.owns()) == 1 })
		time.Sleep(20 * time.Second)
		if !slices.Equal(b.owns(), []int{5}) || len(a.owns()) != 63 {
			e.Errorf("b owns %v, want only 5", b.owns())
		}
	},
	"stopping replica releases at once, except work in flight": func(e *env) {
		ended, end := context.WithCancel(e.Context())
		defer end()
		a := e.join("a", func(_ *partition.Config, r *replica) {
			r.drain = func(ctx context.Context, p int) {
				if p == 0 {
					<-ended.Done()
				}
			}
		})
		b := e.join("b")
		a.stop()
		e.waitFor("the idle partitions are taken", 300*time.Millisecond, func() bool { return len(b.owns()) == 63 })
		e.change(func(fields map[string]string) { fields[store.LeaseField(9)] = "a:99" }) // a late take
		time.Sleep(5 * time.Second)
		if !a.acts(0) || len(b.owns()) != 63 {
			e.Error("a partition was released with work in flight")
		}
		end()
		e.waitFor("the last one is taken", 300*time.Millisecond, func() bool { return len(b.owns()) == 64 })
	},
	"stop takes at most 10 s, with and without Redis": func(e *env) {
		for _, away := range []bool{false, true} {
			a := e.join(fmt.Sprint(away), func(_ *partition.Config, r *replica) {
				r.drain = func(ctx context.Context, _ int) { <-ctx.Done() } // a save is retried
			})
			if away {
				a.link.set(func() { a.link.loseSwaps = true })
				e.empty() // nothing can be released before it is reclaimed
				time.Sleep(time.Second)
				a.link.set(func() { a.link.cut = true })
				e.add("never joined", func(_ *partition.Config, r *replica) { r.link.cut = true }).stop()
			}
			a.stop()
			e.waitFor("it ends", 10*time.Second+10*time.Millisecond, a.stopped.Load)
			if o := e.owners(); !away && (len(o.Beats) != 0 || anyOwned(o)) {
				e.Errorf("beats %v and leases %v are left in the table", o.Beats, o.Leases)
			}
		}
	},
	"lost answers of swaps: the table decides": func(e *env) {
		a := e.join("a")
		b := e.add("b")
		time.Sleep(2 * time.Second)
		a.link.set(func() { a.link.loseAnswers = true })
		b.link.set(func() { b.link.loseAnswers = true })
		e.waitBalanced(2)
		p := a.owns()[0]
		e.change(func(fields map[string]string) { fields[store.LeaseField(p)] = "a:0" })
		e.waitFor("a reclaims the lease", time.Second, func() bool { return !a.acts(p) })
		e.waitFor("a has reclaimed the lease", time.Second, func() bool { return a.acts(p) })
	},
	"resumed process keeps only partitions that were not taken": func(e *env) {
		a, b := e.add("a"), e.join("b")
		b.link.pause() // so that nobody can take
		a.link.pause()
		time.Sleep(20 * time.Second)
		a.link.resume()
		e.waitFor("a keeps its partitions and takes those of b", 6*time.Second, func() bool { return len(a.owns()) == 64 })
		if a.loads.Load() > 32+64 {
			e.Errorf("%d loads: its own partitions were loaded again", a.loads.Load())
		}
		b.link.resume()
		time.Sleep(time.Second)
		if len(b.owns()) != 0 {
			e.Errorf("b owns %v right after it was resumed, want none", b.owns())
		}
		e.waitBalanced(2)
		if a.rollbacks.Load()+b.rollbacks.Load() != 0 {
			e.Error("OnRollback was called though Redis lost nothing")
		}
	},
	"paused process lost partitions that were taken and released since": func(e *env) {
		a, b := e.add("a"), e.join("b")
		loads := a.loads.Load()
		a.link.pause()
		e.waitFor("b owns all", 20*time.Second, func() bool { return len(b.owns()) == 64 })
		for _, p := range b.owns() {
			b.save(e.Context(), p)
		}
		b.stop()
		e.waitFor("b has ended", 20*time.Second, b.stopped.Load)
		a.link.resume()
		e.waitFor("a has loaded everything again", 20*time.Second, func() bool { return a.loads.Load() == loads+64 })
		if a.restores.Load() != 0 {
			e.Errorf("%d partitions were restored over newer data", a.restores.Load())
		}
	},
	"replica that can't read releases everything until it can": func(e *env) {
		a := e.join("a")
		a.answered.Store(new(time.Now()))
		a.link.set(func() { a.link.beforeSwap = func() { e.Error("a swap that changes nothing") } })
		time.Sleep(20 * time.Second)
		a.link.set(func() { a.link.beforeSwap = nil })
		if n := e.owners().Beats["a"].Number; a.pings.Load() > 0 || n > 26 {
			e.Errorf("%d pings, %d rounds, want no ping without another replica, and a round every 0.8 s", a.pings.Load(), n)
		}
		b := e.join("b")
		a.answered.Store(new(time.Now()))
		a.unable.Store(true)
		a.pings.Store(0)
		took := e.waitFor("b owns all", 15*time.Second, func() bool { return len(b.owns()) == 64 })
		if took < 10*time.Second || took > 13*time.Second {
			e.Errorf("released after %v, want a little over 10 s", took)
		}
		if len(a.owns()) != 0 || a.pings.Load() > 3 {
			e.Errorf("a owns %d after %d pings, want 0, and a ping every 5 s", len(a.owns()), a.pings.Load())
		}
		a.answered.Store(new(time.Now().Add(time.Hour))) // never, as after a restart
		a.unable.Store(false)
		e.waitFor("a has shown that it can read", 6*time.Second, func() bool { return a.sinceAnswer() >= 0 })
		e.waitBalanced(2)
	},
	"rolling upgrade: the newest settings win": func(e *env) {
		with := func(digest string) func(*partition.Config, *replica) {
			return func(cfg *partition.Config, _ *replica) { cfg.Settings = digest }
		}
		a, b := e.add("a", with("old")), e.join("b", with("older")) // numbered by chance
		c := e.join("c", with("new"))
		b.crash()
		time.Sleep(3900 * time.Millisecond)
		if got := len(c.owns()); got < 32 || len(a.owns()) > 22 {
			e.Errorf("the newer owns %d, the older %d, want nothing taken by the older yet", got, len(a.owns()))
		}
		e.waitBalanced(2) // partitions that were free for 3 s
		a.stop()
		e.waitFor("the newer owns everything", 3*time.Second, func() bool { return len(c.owns()) == 64 })
		if o := e.owners(); o.Settings != "3 new" || o.Beats["c"].Settings != 3 {
			e.Errorf("settings = %q, beat %v, want number 3", o.Settings, o.Beats["c"])
		}
	},
	"wall clock jumps": func(e *env) {
		a, b := e.add("a"), e.join("b")
		before := a.owns()
		for _, by := range []time.Duration{time.Hour, -2 * time.Hour} {
			a.clock.Store(int64(by))
			if by > 0 && a.InTime() {
				e.Error("a is in time though its machine may have been suspended for an hour")
			}
			time.Sleep(time.Second)
			if !slices.Equal(a.owns(), before) || len(b.owns()) != 32 {
				e.Errorf("a owns %v, want the same as before", a.owns())
			}
		}
		a.link.set(func() { a.link.cut = true })
		a.clock.Store(int64(-3 * time.Hour))
		e.waitFor("b owns all", 4*time.Second, func() bool { return len(b.owns()) == 64 })
	},
	"data of another service is refused": func(e *env) {
		a := e.join("a")
		b := e.add("b", func(cfg *partition.Config, _ *replica) { cfg.Fingerprint = "another" })
		if err := <-b.done; !errors.Is(err, store.ErrForeign) {
			e.Errorf("Run = %v, want ErrForeign", err)
		}
		b.done <- nil
		if o := e.owners(); len(o.Beats) != 1 || len(a.owns()) != 64 {
			e.Errorf("beats = %v, a owns %d, want one beat and 64", o.Beats, len(a.owns()))
		}
		e.change(func(fields map[string]string) { fields[store.FieldFingerprint] = "another" })
		time.Sleep(3 * time.Second)
		if a.InTime() {
			e.Error("a acts on the data of another service")
		}
	},
	"waits for the whole app": func(e *env) {
		a := e.join("a")
		set := func(until, length time.Duration) {
			e.change(func(fields map[string]string) {
				fields[store.WaitField("reads")] = store.Wait{Until: time.Now().Add(until), Length: length}.String()
			})
			time.Sleep(810 * time.Millisecond)
		}
		near := func(want time.Duration) {
			e.Helper()
			if got := a.Wait("reads"); got > want || got < want-900*time.Millisecond {
				e.Errorf("Wait = %v, want about %v", got, want)
			}
		}
		set(time.Hour, 10*time.Second) // by a clock that is an hour ahead
		near(10 * time.Second)
		time.Sleep(5 * time.Second)
		near(5 * time.Second) // each round has the wait, which does not extend it
		b := e.add("b")
		var messages atomic.Int64
		e.subscribe(func() { messages.Add(1) })
		ctx, cancel := context.WithCancel(e.Context())
		cancel()        // the callers gave up
		for range 128 { // calls that are throttled together share one wait
			b.SetWait(ctx, "reads", time.Minute)
		}
		time.Sleep(200 * time.Millisecond) // no round is due
		near(time.Minute)
		a.SetWait(ctx, "reads", time.Second) // must not replace the longer one, which a new replica reads
		b.SetWait(ctx, "reads", time.Minute)
		if b.Wait("reads") < time.Minute || messages.Load() != 1 {
			e.Errorf("%v left after the last call and %d messages, want a minute after one", b.Wait("reads"), messages.Load())
		}
		time.Sleep(400 * time.Millisecond)
		if b.SetWait(ctx, "reads", time.Minute); messages.Load() != 2 {
			e.Error("the others do not learn that the wait was extended by more than 0.5 s")
		}
		time.Sleep(200 * time.Millisecond)
		set(time.Second, time.Second) // a shorter wait does not shorten it
		near(59 * time.Second)
		time.Sleep(time.Minute)
		if a.Wait("reads") != 0 || a.Wait("other") != 0 {
			e.Error("a wait has not ended")
		}
		set(10*time.Second, time.Hour) // it began almost an hour ago
		near(10 * time.Second)
	},
	"replica that Graph asks to wait calls nothing and keeps its partitions": func(e *env) {
		a, b := e.add("a"), e.join("b")
		for _, r := range e.replicas {
			r.unable.Store(true)
		}
		a.answered.Store(new(time.Now()))
		b.answered.Store(new(time.Now().Add(time.Hour))) // never
		b.SetWait(e.Context(), ooo.GraphWait, 30*time.Second)
		time.Sleep(29 * time.Second)
		n, wait, beats := a.pings.Load()+b.pings.Load(), a.Wait(ooo.DirectoryWait), e.owners().Beats
		if n > 0 || wait == 0 || beats["a"].Answered != 0 || beats["b"].Answered != 0 {
			e.Errorf("%d pings, %v left for the directory, beats %v, want none, a second, and answered 0 ago", n, wait, beats)
		}
		time.Sleep(1100 * time.Millisecond)
		b.answered.Store(new(time.Now())) // the first read of a takes longer
		for range 30 {
			time.Sleep(100 * time.Millisecond)
			if len(a.owns()) != 32 || len(b.owns()) != 32 {
				e.Fatalf("a owns %d, b %d after the wait, want 32 each", len(a.owns()), len(b.owns()))
			}
		}
		e.waitFor("a pings Graph", 6*time.Second, func() bool { return a.pings.Load() > 0 })
		b.answered.Store(nil)
		e.waitFor("b, which Graph answers, owns all", 20*time.Second, func() bool { return len(b.owns()) == 64 })
		b.SetWait(e.Context(), ooo.DirectoryWait, time.Minute)
		a.pings.Store(0)
		time.Sleep(30 * time.Second)
		if a.pings.Load() > 1 {
			e.Error("a pings the directory, which asks to wait")
		}
	},
}

func TestScenarios(t *testing.T) {
	all := maps.Clone(scenarios)
	maps.Copy(all, outages)
	for name, scenario := range all {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEnv(t)
				defer e.end()
				scenario(e)
			})
		})
	}
}

// TestCrash crashes one of two or three replicas at many moments of a round.
func TestCrash(t *testing.T) {
	for n := 2; n <= 3; n++ {
		for moment := range 16 {
			synctest.Test(t, func(t *testing.T) {
				e := newEnv(t)
				defer e.end()
				for i := range n {
					e.add(fmt.Sprint("r", i))
					time.Sleep(time.Duration(i) * 300 * time.Millisecond)
				}
				e.waitBalanced(n)
				time.Sleep(time.Duration(moment) * 50 * time.Millisecond)
				dead := e.replicas[moment%n]
				owned := dead.owns()
				dead.crash()
				first := e.waitFor("some are taken", 4*time.Second, func() bool { return slices.ContainsFunc(owned, e.acts) })
				free := func(p int) bool { return !e.acts(p) }
				all := first + e.waitFor("all are taken", 4*time.Second, func() bool { return !slices.ContainsFunc(owned, free) })
				if first < 2200*time.Millisecond || all > 3850*time.Millisecond || all-first > 150*time.Millisecond {
					t.Errorf("%d replicas, moment %d: taken after %v to %v, want 2.2 to 3.8 s, within 150 ms", n, moment, first, all)
				}
				e.waitBalanced(n - 1)
				if beats := len(e.owners().Beats); beats != n-1 {
					t.Errorf("%d beats are left, want %d", beats, n-1)
				}
			})
		}
	}
}
