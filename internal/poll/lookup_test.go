package poll_test

import (
	"fmt"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
)

const (
	annAddress = "ann@contoso.example"
	unknownAnn = ooo.RecordID("@ann@contoso.example")
)

func TestAnAddressIsLookedUpUntilItIsFound(t *testing.T) {
	run(t, nil, one(unresolved), func(w *world) {
		time.Sleep(5 * time.Minute)
		m, ok := w.registry.Get(unknownAnn)
		if !ok || m.Condition != ooo.Unknown || m.ErrorKind != ooo.ReadErrorNotInDirectory || m.Reason == "" {
			t.Fatalf("record = %+v, want it unknown because of the directory", m)
		}
		w.graph.set(func() {
			if n := len(w.graph.finds); n < 4 || n > 9 {
				t.Errorf("%d look-ups in five minutes, want growing waits", n)
			}
			w.graph.people[annAddress] = ooo.Person{ID: annID, DisplayName: "Ann"}
			w.graph.settings[annID] = on
		})
		w.hint("", ooo.Hint{ID: unknownAnn, Kind: ooo.HintCheck})
		time.Sleep(3 * time.Second)
		if _, there := w.registry.Get(unknownAnn); there {
			t.Error("the unresolved record is still there")
		}
		a := w.get("ann")
		if a.Person.DisplayName != "Ann" || a.State == nil || !a.State.Away || a.Addresses[0].Spelling != annAddress || a.Addresses[0].Start != "s" {
			t.Errorf("record = %+v, want Ann's, read", a)
		}
		wish, err := w.store.Wish(w.Context(), annAddress)
		if err != nil || wish.Person.ID != annID || wish.Start != "s" || !wish.On {
			t.Errorf("wish = %+v, %v, want it to have the id", wish, err)
		}
		if got := w.noticed(); len(got) != 1 || w.hints() != 0 {
			t.Errorf("changes = %+v, %d hints left, want one, none", got, w.hints())
		}
	})
}

// A new kind of error starts with its own first wait.
func TestAnAddressIsLookedUpSoonWhenTheErrorChanges(t *testing.T) {
	run(t, func(_ *poll.Config, g *faultyGraph) { g.down = ooo.ErrUnavailable }, one(unresolved), func(w *world) {
		time.Sleep(20 * time.Minute)
		w.graph.set(func() { w.graph.down, w.graph.finds = nil, nil })
		time.Sleep(time.Minute)
		w.graph.set(func() {
			if at := w.graph.finds; len(at) < 3 || at[1].Sub(at[0]) > 11*time.Second {
				t.Errorf("look-ups = %v, want the second 10 s after the first", at)
			}
		})
	})
}

func TestLookUpsKeepToTheirBudget(t *testing.T) {
	run(t, func(cfg *poll.Config, _ *faultyGraph) { cfg.Replicas = func() int { return 3 } }, func() (all []*ooo.Mailbox) {
		for i := range 200 {
			all = append(all, unresolved(fmt.Sprintf("new%03d", i)))
		}
		return append(all, record("ann", off))
	}, func(w *world) {
		time.Sleep(5 * time.Second)
		w.graph.set(func() {
			for i := 8; i < len(w.graph.finds); i++ {
				if gap := w.graph.finds[i].Sub(w.graph.finds[i-8]); gap < 100*time.Millisecond {
					t.Fatalf("nine look-ups within %v, want eight at a time", gap)
				}
			}
			if n := len(w.graph.finds); n < 200 {
				t.Errorf("%d look-ups in 5 s, want all", n)
			}
		})
		if at := w.graph.readsOf(annID); longest(at) > 2100*time.Millisecond {
			t.Errorf("reads %v apart meanwhile", longest(at))
		}
	})
}

func TestAGoneMailboxLosesItsAddress(t *testing.T) {
	run(t, nil, one(away), func(w *world) {
		time.Sleep(3 * time.Second)
		w.graph.set(func() { w.graph.errs[annID], w.graph.gone[annID] = ooo.ErrUserGone, ooo.ErrNotInDirectory })
		time.Sleep(5 * time.Second)
		if _, there := w.registry.Get(annID); there {
			t.Error("the mailbox is still there")
		}
		m, there := w.registry.Get(unknownAnn)
		if !there || m.ErrorKind != ooo.ReadErrorNotInDirectory || m.Addresses[0].Sequence != 1 {
			t.Fatalf("record = %+v, want the address looked up, its delivery kept", m)
		}
		w.graph.set(func() {
			w.graph.people[annAddress], w.graph.settings["id-new"] = ooo.Person{ID: "id-new"}, off
		})
		time.Sleep(20 * time.Second)
		if m := w.get("new"); m.Addresses[0].Sequence != 2 || m.State.Away {
			t.Errorf("record = %+v, want the new mailbox' state as the next", m)
		}
		if got := w.noticed(); len(got) != 1 {
			t.Errorf("%d changes, want one", len(got))
		}
	})
}

// A directory that can't report whether the user is there lets nobody leave.
func TestNobodyLeavesWhileTheDirectoryIsAway(t *testing.T) {
	for name, err := range map[string]error{"away": ooo.ErrUnavailable, "asks to wait": &ooo.Throttled{After: 30 * time.Second, WholeApp: true}} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, one(away), func(w *world) {
				w.graph.set(func() { w.graph.errs[annID], w.graph.gone[annID] = ooo.ErrUserGone, err })
				time.Sleep(5 * time.Minute)
				if m := w.get("ann"); m.Condition != ooo.Unknown || !m.State.Away {
					t.Errorf("record = %+v, want it unknown and kept", m)
				}
				w.graph.set(func() {
					if w.graph.lookups < 2 || w.graph.lookups > 12 {
						t.Errorf("%d look-ups in five minutes, want a few", w.graph.lookups)
					}
				})
			})
		})
	}
}
