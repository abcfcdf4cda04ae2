package partition_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/store"
)

// outages are the scenarios in which Redis is unreachable or comes back with other data.
var outages = map[string]func(*env){
	"outage shorter and longer than the grace time": func(e *env) {
		a, b := e.add("a"), e.join("b")
		time.Sleep(400 * time.Millisecond)
		a.Refresh() // so that one is answered before the other
		before, loads := a.owns(), a.loads.Load()+b.loads.Load()
		for _, d := range []time.Duration{2600 * time.Millisecond, time.Second, 10 * time.Second, time.Minute} {
			e.stop()
			time.Sleep(d)
			if d > 4*time.Second && (a.InTime() || len(b.owns()) > 0) {
				e.Error("a replica acts without Redis")
			}
			e.start()
			e.waitFor("both act again", time.Second, func() bool { return len(a.owns()) == 32 && len(b.owns()) == 32 })
		}
		time.Sleep(10 * time.Second)
		if !slices.Equal(a.owns(), before) || a.loads.Load()+b.loads.Load() != loads || a.rollbacks.Load()+b.rollbacks.Load() != 0 {
			e.Error("partitions moved or were loaded again")
		}
		c := e.add("c")
		e.waitFor("c owns some", time.Minute, func() bool { return len(c.owns()) > 0 })
		e.stop()
		c.crash()
		time.Sleep(3 * time.Second)
		owned := a.Owned() + b.Owned()
		e.start()
		time.Sleep(2 * time.Second)
		if a.Owned()+b.Owned() < owned {
			e.Error("partitions were released for a replica that had crashed")
		}
	},
	"rounds that keep failing": func(e *env) {
		for n := 4; n >= 2; n-- {
			a, b, c := e.add(fmt.Sprint("a", n)), e.add(fmt.Sprint("b", n)), e.add(fmt.Sprint("c", n))
			e.waitBalanced(3)
			failing := func(n int) {
				for _, r := range e.alive() {
					r.link.set(func() { r.link.failing = n })
				}
			}
			d := e.add(fmt.Sprint("d", n)) // gets nothing: that would leave partitions without an owner for long
			failing(n)
			for range 900 {
				time.Sleep(100 * time.Millisecond)
				if owned := len(a.owns()) + len(b.owns()) + len(c.owns()) + len(d.owns()); owned < 64 {
					e.Fatalf("%d partitions have an owner that acts while a replica joins, want all", owned)
				}
			}
			d.crash()
			c.crash()
			e.waitFor("those of the crashed one are taken", 10*time.Second, func() bool { return len(a.owns()) == 32 && len(b.owns()) == 32 })
			a.answered.Store(new(time.Now()))
			a.unable.Store(true)
			e.waitFor("b, which can read, owns all", 25*time.Second, func() bool { return len(b.owns()) == 64 })
			a.answered.Store(nil)
			b.stop()
			e.waitFor("those of the stopped one are taken", 20*time.Second, func() bool { return len(a.owns()) == 64 })
			failing(0)
			a.stop()
			e.waitFor("the last one has stopped", time.Minute, func() bool { return len(e.alive()) == 0 })
		}
	},
	"a replica whose swaps are lost": func(e *env) {
		a := e.join("a")
		b := e.add("b", func(_ *partition.Config, r *replica) { r.link.slow = 300 * time.Millisecond })
		e.waitFor("a releases partitions", time.Minute, func() bool { return len(a.owns()) < 64 })
		e.waitFor("a has taken them back", 15*time.Second, func() bool { return len(a.owns()) == 64 })
		time.Sleep(30 * time.Second)
		if owned := len(a.owns()); owned != 64 {
			e.Errorf("a owns %d partitions, want all", owned)
		}
		b.link.set(func() { b.link.slow = 0 })
		e.waitFor("both own half", 2*time.Minute, func() bool { return len(b.owns()) == 32 })
	},
	"rounds that keep failing, and Redis rolled back": func(e *env) {
		a := e.join("a", func(_ *partition.Config, r *replica) { r.busy = func(int) bool { return true } })
		b := e.add("b") // owns nothing
		cut := func(cut bool) { a.link.set(func() { a.link.cut = cut }) }
		answered := func() { // one of b's rounds, every second of which has failed for 10 s
			b.link.set(func() { b.link.failing = 2 })
			time.Sleep(10 * time.Second)
			beat := e.owners().Beats["b"]
			e.waitFor("a round is answered", 2*time.Second, func() bool { return e.owners().Beats["b"] != beat })
		}
		answered()
		for range 4000 { // a was dead for a third replica, but came back, which b missed and Redis has lost
			e.change(func(fields map[string]string) { delete(fields, store.BeatField("a")) })
			time.Sleep(time.Millisecond)
		}
		answered()
		b.link.set(func() { b.link.failing = 1 })
		time.Sleep(7 * time.Second)
		cut(true)
		e.rollBack(6990 * time.Millisecond) // while a acts, to what b has last seen
		for range 10 {
			b.Refresh()
			time.Sleep(20 * time.Millisecond)
		}
		if b.Owned() > 0 {
			e.Error("b took partitions by a table that was 7 s old")
		}
		cut(false)
		answered()
		cut(true)
		time.Sleep(4850 * time.Millisecond)
		cut(false)
		time.Sleep(1250 * time.Millisecond) // a acts again, which b has not seen, and so takes nothing yet
		cut(true)
		e.rollBack(1350 * time.Millisecond)
		time.Sleep(4 * time.Second)
		e.change(func(fields map[string]string) { fields[store.LeaseField(7)] = ":9" }) // by a third replica
		e.waitFor("b owns the others", 5*time.Second, func() bool { return len(b.owns()) == 63 && !b.acts(7) })
	},
	"empty Redis": func(e *env) {
		a := e.join("a")
		b := e.join("b")
		for p := range 64 {
			a.save(e.Context(), p)
			b.save(e.Context(), p)
		}
		before := e.owners()
		for _, d := range []time.Duration{0, 500 * time.Millisecond, 8 * time.Second} {
			older := a.rollbacks.Load()
			e.stop()
			time.Sleep(d)
			e.empty()
			e.start()
			limit := 2 * time.Second
			if d > limit { // long enough for another replica to have taken over before
				limit += 3 * time.Second
			}
			e.waitFor("both act again", limit, func() bool { return len(a.owns()) == 32 && len(b.owns()) == 32 })
			time.Sleep(4 * time.Second)
			after := e.owners()
			if after.Leases != before.Leases || after.Saves != before.Saves || after.Settings != before.Settings || after.Fingerprint != "f" {
				e.Errorf("table = %+v, want %+v", after, before)
			}
			if a.rollbacks.Load() != older+1 || b.rollbacks.Load() != older+1 {
				e.Errorf("OnRollback was called %d and %d times, want once on each", a.rollbacks.Load()-older, b.rollbacks.Load()-older)
			}
			time.Sleep(10 * time.Second)
		}
		if a.loads.Load() != 64 || b.loads.Load() != 32 {
			e.Errorf("%d and %d loads, want 64 and 32: memory was lost", a.loads.Load(), b.loads.Load())
		}
	},
	"Redis rolled back to before a take": func(e *env) {
		a, b := e.add("a"), e.join("b")
		b.crash()
		e.waitFor("a owns all", 4*time.Second, func() bool { return len(a.owns()) == 64 })
		before := e.owners()
		e.rollBack(3 * time.Second)
		if e.owners().Leases == before.Leases {
			e.Fatal("nothing was rolled back")
		}
		e.waitFor("a owns all again", 6*time.Second, func() bool { return len(a.owns()) == 64 && e.owners().Leases == before.Leases })
		if a.loads.Load() > 32+64 {
			e.Errorf("%d loads: memory was lost", a.loads.Load())
		}
	},
	"Redis rolled back to before replicas joined": func(e *env) {
		b := e.join("b")
		time.Sleep(5 * time.Second)
		joined := time.Now()
		a, c := e.add("a"), e.add("c")
		e.waitFor("a takes some", 10*time.Second, func() bool { return len(a.owns()) > 0 })
		a.link.set(func() { a.link.cut = true })
		e.rollBack(time.Since(joined) + time.Second)
		b.Refresh()
		time.Sleep(150 * time.Millisecond) // b's part of the table is as if nothing was lost
		c.Refresh()
		time.Sleep(2 * time.Second)
		a.link.set(func() { a.link.cut = false })
		e.waitBalanced(3)
	},
	"OnRollback follows the restores of all replicas": func(e *env) {
		a := e.join("a")
		b := e.join("b", func(_ *partition.Config, r *replica) { r.restoreTime = 2 * time.Second })
		b.save(e.Context(), 63)
		before := e.owners()
		e.empty()
		e.waitFor("b begins to restore", time.Second, func() bool { return b.restores.Load() == 32 })
		e.empty() // again
		e.waitFor("a calls OnRollback", 10*time.Second, func() bool { return a.rollbacks.Load() == 1 })
		if e.owners().Saves != before.Saves {
			e.Error("b has not restored its partitions yet")
		}
		if n := b.restores.Load(); n != 2*32 {
			e.Errorf("b restored %d partitions, want each twice: what it was writing was lost", n)
		}
	},
	"stopping replica restores a partition before it releases it": func(e *env) {
		a := e.join("a", func(_ *partition.Config, r *replica) { r.restoreTime = 5 * time.Second })
		saves := e.loseSaves(a, 63)
		a.link.set(func() { a.link.loseSwaps = true })
		e.change(func(fields map[string]string) { delete(fields, store.LeaseField(62)) })
		time.Sleep(time.Second)
		a.stop()
		time.Sleep(3 * time.Second)
		a.link.set(func() { a.link.loseSwaps = false })
		e.waitFor("it ends", 7*time.Second, a.stopped.Load)
		released := store.Lease{Tenure: 1}
		if o := e.owners(); o.Saves[63] != saves || o.Leases[63] != released || o.Leases[62] != released {
			e.Errorf("%d saves and leases %v in the table, want %d and %v", o.Saves[63], o.Leases[62:], saves, released)
		}
	},
	"Redis loses only saves of a partition, which is restored before another replica gets it": func(e *env) {
		a := e.join("a", func(_ *partition.Config, r *replica) { r.restoreTime = 10 * time.Second })
		saves := e.loseSaves(a, 63)
		b := e.add("b")
		for time.Sleep(5 * time.Millisecond); e.owners().Saves[63] < saves; time.Sleep(5 * time.Millisecond) {
			if !a.acts(63) || a.drained[63].Load() || a.rollbacks.Load() > 0 {
				e.Fatalf("drained, or OnRollback called, with %d saves, want %d", e.owners().Saves[63], saves)
			}
		}
		if len(b.owns()) == 0 {
			e.Error("no other partition was released meanwhile")
		}
		e.waitBalanced(2)
		if a.restores.Load() != 1 || a.rollbacks.Load() != 1 {
			e.Errorf("%d partitions restored, OnRollback called %d times, want one each", a.restores.Load(), a.rollbacks.Load())
		}
	},
	"Redis loses saves of a partition, and goes back again while that is restored": func(e *env) {
		a := e.join("a", func(_ *partition.Config, r *replica) { r.restoreTime = 5 * time.Second })
		saves := e.loseSaves(a, 63)
		time.Sleep(2 * time.Second)
		e.rollBack(1900 * time.Millisecond)
		e.waitFor("the partition is restored", 20*time.Second, func() bool { return a.rollbacks.Load() == 1 })
		if n := a.restores.Load(); n != 2 || e.owners().Saves[63] < saves {
			e.Errorf("%d restores and %d saves, want 2 and %d", n, e.owners().Saves[63], saves)
		}
	},
	"only what another replica than the owner of partition 0 wrote is lost": func(e *env) {
		a, b := e.add("a"), e.join("b")
		beat := e.owners().Beats["b"]
		e.waitFor("b writes a beat", time.Second, func() bool { return e.owners().Beats["b"] != beat })
		e.rollBack(5 * time.Millisecond)
		if e.owners().Beats["b"] != beat {
			e.Fatal("the beat was not lost")
		}
		time.Sleep(4 * time.Second)
		if b.rollbacks.Load() != 1 {
			e.Errorf("OnRollback was called %d and %d times, want once on b", a.rollbacks.Load(), b.rollbacks.Load())
		}
	},
	"Redis rolled back between a round and the take after it": func(e *env) {
		a, b := e.add("a"), e.join("b")
		a.crash()
		b.link.set(func() {
			b.link.beforeSwap = sync.OnceFunc(func() { e.rollBack(800 * time.Millisecond) }) // to before the round
		})
		time.Sleep(4 * time.Second)
		if len(b.owns()) != 32 {
			e.Error("b took partitions by a table that Redis had lost")
		}
		e.waitFor("b owns all", 4*time.Second, func() bool { return len(b.owns()) == 64 })
	},
	"replica that is first to join an emptied Redis has the same tenures as the former owner": func(e *env) {
		b := e.join("b")
		time.Sleep(time.Second) // b has loaded its partitions
		b.save(e.Context(), 7)
		b.link.set(func() { b.link.cut = true })
		time.Sleep(3 * time.Second)
		e.empty()
		e.add("a")
		e.waitBalanced(1)
		b.link.set(func() { b.link.cut = false })
		e.waitFor("b has restored what it saved", 5*time.Second, func() bool { return e.owners().Saves[7] == 1 })
		if restores := b.restores.Load(); restores != 1 {
			e.Errorf("b restored %d partitions, want the one with a save", restores)
		}
		e.waitBalanced(2)
	},
	"saves of a replica that crashed are lost": func(e *env) {
		a, b := e.add("a"), e.join("b")
		time.Sleep(time.Second) // a has observed the beats of b
		saved := b.owns()[0]
		b.save(e.Context(), saved)
		time.Sleep(time.Second) // a has observed the save
		b.crash()
		before := strconv.FormatInt(e.owners().Saves[saved]-1, 10)
		e.change(func(fields map[string]string) { fields[store.SavesField(saved)] = before })
		e.waitFor("a calls OnRollback", 4*time.Second, func() bool { return a.rollbacks.Load() == 1 })
	},
	"deadline counts from sending a round, which hanging swaps don't delay": func(e *env) {
		const slow = 200 * time.Millisecond
		a := e.join("a")
		a.link.set(func() { a.link.slow, a.link.loseSwaps = slow, true })
		e.change(func(fields map[string]string) { delete(fields, store.LeaseField(7)) }) // each round reclaims it
		time.Sleep(2 * time.Second)
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			left := 2*slow + time.Until(partition.Deadline(a.Owners))
			if left < 1690*time.Millisecond || left > 2500*time.Millisecond || a.acts(7) {
				e.Fatalf("%v left after sending a round, want 1.7 to 2.5 s, without acting: %v", left, a.acts(7))
			}
		}
		a.link.set(func() { a.link.slow, a.link.loseSwaps = 0, false })
		e.waitFor("a has reclaimed the lease", time.Second, func() bool { return a.acts(7) })
	},
	"older table names another owner": func(e *env) {
		a := e.join("a")
		a.link.set(func() { a.link.loseSwaps = true })
		e.change(func(fields map[string]string) { fields[store.LeaseField(7)] = "earlier:0" })
		e.add("b") // it must wait
		time.Sleep(2 * time.Second)
		if a.acts(7) || !a.acts(8) {
			e.Error("a acts before it has reclaimed the lease")
		}
		a.link.set(func() { a.link.loseSwaps = false })
		e.waitFor("a has reclaimed the lease", 2*time.Second, func() bool {
			return e.owners().Leases[7] == store.Lease{Life: "a", Tenure: 1}
		})
		time.Sleep(2900 * time.Millisecond)
		if a.acts(7) {
			e.Error("a acts before the other owner must have noticed")
		}
		e.waitFor("a acts again", 2*time.Second, func() bool { return a.acts(7) })
	},
	"former owner is the first to reach Redis after it was emptied": func(e *env) {
		a, b := e.add("a"), e.join("b")
		a.link.set(func() { a.link.cut = true })
		e.waitFor("b owns all", 5*time.Second, func() bool { return len(b.owns()) == 64 })
		b.link.set(func() { b.link.cut = true })
		a.link.set(func() { a.link.cut = false })
		e.empty()
		time.Sleep(2 * time.Second)
		b.link.set(func() { b.link.cut = false })
		e.waitBalanced(2)
	},
	"take after Redis was emptied": func(e *env) {
		e.change(func(fields map[string]string) { fields[store.LeaseField(63)] = ":5" })
		a, b := e.add("a"), e.join("b")
		time.Sleep(time.Second) // each has observed the leases of the other
		b.link.set(func() { b.link.cut = true })
		e.empty()
		e.waitFor("a owns all", 8*time.Second, func() bool { return len(a.owns()) == 64 })
		b.link.set(func() { b.link.cut = false })
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			if len(a.owns()) != 64 {
				e.Fatalf("a owns %d partitions after b came back, want all", len(a.owns()))
			}
		}
		e.waitBalanced(2)
	},
}

// loseSaves makes Redis lose several saves of a partition, waits until its owner restores it,
// and returns how many saves there were.
func (e *env) loseSaves(owner *replica, p int) int64 {
	time.Sleep(810 * time.Millisecond) // right after a round
	for range 50 {
		owner.save(e.Context(), p)
	}
	saves := e.owners().Saves[p]
	e.rollBack(105 * time.Millisecond)
	if e.owners().Saves[p] > saves-40 {
		e.Fatal("the saves were not lost")
	}
	e.waitFor("the owner restores the partition", time.Second, func() bool { return owner.restores.Load() > 0 })
	return saves
}
