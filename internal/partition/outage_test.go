package partition_test

import (
	"context"
	"slices"
	"time"

	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/store"
)

// outages are the scenarios in which Redis goes away or comes back with other data.
var outages = map[string]func(*world){
	"Redis stops for less than the grace time, and for long": func(w *world) {
		a, b := w.add("a"), w.add("b")
		w.even(2)
		before, loads := a.owns(), a.loads()+b.loads()
		for _, d := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
			w.stop()
			time.Sleep(d)
			if d > 4*time.Second && (a.InTime() || b.InTime()) {
				w.Error("somebody acts without Redis")
			}
			w.start()
			w.until("both act again", time.Second, func() bool { return len(a.owns()) == 32 && len(b.owns()) == 32 })
		}
		time.Sleep(10 * time.Second)
		if !slices.Equal(a.owns(), before) || a.loads()+b.loads() != loads || a.older.Load()+b.older.Load() != 0 {
			w.Error("partitions moved or were loaded again")
		}
	},
	"Redis comes back empty": func(w *world) {
		a := w.add("a")
		w.even(1)
		b := w.add("b")
		w.even(2)
		for p := range 64 {
			a.save(w.Context(), p)
			b.save(w.Context(), p)
		}
		before := w.table.owners()
		for _, d := range []time.Duration{0, 500 * time.Millisecond, 8 * time.Second} {
			older := a.older.Load()
			w.stop()
			time.Sleep(d)
			w.empty()
			w.start()
			limit := 2 * time.Second
			if d > limit { // long enough for another replica to have taken over before
				limit += 3 * time.Second
			}
			w.until("both act again", limit, func() bool { return len(a.owns()) == 32 && len(b.owns()) == 32 })
			time.Sleep(2 * time.Second)
			after := w.table.owners()
			if after.Leases != before.Leases || after.Saves != before.Saves || after.Settings != before.Settings || after.Fingerprint != "f" {
				w.Errorf("table = %+v, want %+v", after, before)
			}
			if a.older.Load() != older+1 || b.older.Load() != 0 {
				w.Errorf("OnRollback was called %d and %d times more, want once on the owner of partition 0", a.older.Load()-older, b.older.Load())
			}
			time.Sleep(10 * time.Second)
		}
		if a.loads() != 64 || b.loads() != 32 {
			w.Errorf("%d and %d loads: memory was lost", a.loads(), b.loads())
		}
	},
	"Redis comes back from before a replica took over": func(w *world) {
		a, b := w.add("a"), w.add("b")
		w.even(2)
		b.crash()
		w.until("a owns all", 4*time.Second, func() bool { return len(a.owns()) == 64 })
		before := w.table.owners()
		w.rollBack(3 * time.Second)
		if w.table.owners().Leases == before.Leases {
			w.Fatal("nothing was rolled back")
		}
		w.until("a owns all again", 6*time.Second, func() bool { return len(a.owns()) == 64 && w.table.owners().Leases == before.Leases })
		if a.loads() > 32+64 {
			w.Errorf("%d loads: memory was lost", a.loads())
		}
	},
	"Redis loses saves alone": func(w *world) {
		a := w.add("a")
		w.even(1)
		time.Sleep(810 * time.Millisecond) // right after a round
		a.save(w.Context(), 3)
		before := w.table.owners()
		w.rollBack(5 * time.Millisecond)
		if w.table.owners().Saves == before.Saves {
			w.Fatal("no save was lost")
		}
		time.Sleep(2 * time.Second)
		if w.table.owners().Saves != before.Saves || a.restores() != 1 || a.older.Load() != 1 {
			w.Errorf("restored %d partitions, told %d times, want one each", a.restores(), a.older.Load())
		}
	},
	"who stops without Redis stops within 10 s": func(w *world) {
		a := w.add("a", func(_ *partition.Config, r *replica) {
			r.drain = func(ctx context.Context, _ int, _ bool) { <-ctx.Done() } // a save is repeated
		})
		w.even(1)
		w.stop()
		time.Sleep(time.Second)
		a.stop()
		w.until("it has ended", 10*time.Second+10*time.Millisecond, a.gone.Load)
	},
	"a failed round starts the counts again": func(w *world) {
		a, b := w.add("a"), w.add("b")
		w.even(2)
		a.crash()
		time.Sleep(1500 * time.Millisecond)
		b.link.set(func() { b.link.cut = true })
		time.Sleep(1500 * time.Millisecond)
		b.link.set(func() { b.link.cut = false })
		if took := w.until("b owns all", 5*time.Second, func() bool { return len(b.owns()) == 64 }); took < 3*time.Second {
			w.Errorf("taken %v after the failed round, want 3 s at least", took)
		}
	},
	"the deadline counts from sending": func(w *world) {
		const slow = 300 * time.Millisecond
		a := w.add("a")
		w.even(1)
		a.link.set(func() { a.link.slow = slow })
		time.Sleep(2 * time.Second)
		for range 300 {
			if left := time.Until(partition.Deadline(a.Owners)); left > 2500*time.Millisecond-2*slow {
				w.Fatalf("%v are left after an answer that took %v", left, 2*slow)
			}
			time.Sleep(10 * time.Millisecond)
		}
	},
	"the table names somebody earlier": func(w *world) {
		a := w.add("a")
		w.even(1)
		a.link.set(func() { a.link.noSwaps = true })
		w.change(func(fields map[string]string) { fields[store.LeaseField(7)] = "earlier:0" })
		time.Sleep(2 * time.Second)
		if a.acts(7) || !a.acts(8) {
			w.Error("it acts before its name is back")
		}
		a.link.set(func() { a.link.noSwaps = false })
		w.until("its name is back", 2*time.Second, func() bool { return w.table.owners().Leases[7] == store.Lease{Life: "a", Tenure: 1} })
		time.Sleep(2900 * time.Millisecond)
		if a.acts(7) {
			w.Error("it acts before the other one must have noticed")
		}
		w.until("it acts again", 2*time.Second, func() bool { return a.acts(7) })
	},
	"a replica is taken from after Redis was emptied": func(w *world) {
		a, b := w.add("a"), w.add("b")
		w.even(2)
		time.Sleep(time.Second) // each has seen the leases of the other
		b.link.set(func() { b.link.cut = true })
		w.empty()
		w.until("a owns all", 8*time.Second, func() bool { return len(a.owns()) == 64 })
		b.link.set(func() { b.link.cut = false })
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			if len(a.owns()) != 64 {
				w.Fatalf("a owns %d after b came back, want all", len(a.owns()))
			}
		}
		w.even(2)
	},
}
