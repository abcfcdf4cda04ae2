package poll_test

import (
	"fmt"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
)

func TestAddressIsLookedUpUntilFound(t *testing.T) {
	run(t, func(_ *poll.Config, g *faultyGraph) { g.down = ooo.ErrUnavailable }, onlyAnn(unresolved), func(f *fixture) {
		time.Sleep(20 * time.Minute)
		f.graph.locked(func() { f.graph.down, f.graph.finds = nil, nil })
		time.Sleep(5 * time.Minute)
		m, ok := f.registry.Get(unresolvedAnn)
		if !ok || m.Condition != ooo.Unknown || m.ErrorKind != ooo.ReadErrorNotInDirectory || m.Reason == "" {
			t.Fatalf("record = %+v, want it unknown because of the directory", m)
		}
		f.graph.locked(func() {
			// A new kind of error starts with its own first wait.
			if at := f.graph.finds; len(at) < 4 || len(at) > 9 || at[1].Sub(at[0]) > 11*time.Second {
				t.Errorf("look-ups = %v in five minutes, want them with backoff, the second after 10 s", at)
			}
			f.graph.people[annAddress] = ooo.Person{ID: annID, DisplayName: "Ann"}
			f.graph.settings[annID] = on
		})
		f.registry.Hint(ooo.Hint{ID: unresolvedAnn, Kind: ooo.HintCheck})
		time.Sleep(3 * time.Second)
		if _, ok := f.registry.Get(unresolvedAnn); ok {
			t.Error("the unresolved record still exists")
		}
		a := f.get("ann")
		if a.Person.DisplayName != "Ann" || a.State == nil || !a.State.Away || a.Addresses[0].Spelling != annAddress || a.Addresses[0].StartID != "s" {
			t.Errorf("record = %+v, want that of Ann, read", a)
		}
		wish, err := f.store.Wish(f.Context(), annAddress)
		if err != nil || wish.Person.ID != annID || wish.StartID != "s" || !wish.On {
			t.Errorf("wish = %+v, %v, want the id in it", wish, err)
		}
		if got := f.changes(); len(got) != 1 || f.hints() != 0 {
			t.Errorf("changes = %+v, %d hints left, want one, none", got, f.hints())
		}
	})
}

func TestAdoptedAddressIsLookedUpAgain(t *testing.T) {
	run(t, nil, onlyAnn(unresolved), func(f *fixture) {
		time.Sleep(time.Second)
		m, _ := f.registry.Get(unresolvedAnn)
		f.putNewer(m.Clone())
		f.graph.locked(func() { f.graph.people[annAddress], f.graph.settings[annID] = ooo.Person{ID: annID}, on })
		time.Sleep(30 * time.Second)
		if m := f.get("ann"); m.Address(annAddress) == nil {
			f.Errorf("record = %+v, want that of Ann", m)
		}
	})
}

func TestLookUpConcurrency(t *testing.T) {
	run(t, nil, func() (all []*ooo.Mailbox) {
		for i := range 200 {
			all = append(all, unresolved(fmt.Sprintf("new%03d", i)))
		}
		return append(all, record("ann", off))
	}, func(f *fixture) {
		time.Sleep(5 * time.Second)
		f.graph.locked(func() {
			for i := 24; i < len(f.graph.finds); i++ {
				if gap := f.graph.finds[i].Sub(f.graph.finds[i-24]); gap < 100*time.Millisecond {
					t.Fatalf("25 look-ups within %v, want at most 24 in flight", gap)
				}
			}
			if n := len(f.graph.finds); n < 200 {
				t.Errorf("%d look-ups in 5 s, want all", n)
			}
		})
		if at := f.graph.takeReads(annID); longestGap(at) > 2100*time.Millisecond {
			t.Errorf("reads at most %v apart, want 2 s", longestGap(at))
		}
	})
}

func TestDeletedMailboxLosesAddress(t *testing.T) {
	run(t, func(_ *poll.Config, g *faultyGraph) { g.errs[annID] = ooo.ErrDenied }, onlyAnn(away), func(f *fixture) {
		time.Sleep(3 * time.Second)
		changedAt := f.get("ann").ChangedAt
		f.graph.locked(func() { f.graph.errs[annID], f.graph.lookupErrs[annID] = ooo.ErrUserGone, ooo.ErrNotInDirectory })
		time.Sleep(10 * time.Second)
		if _, ok := f.registry.Get(annID); ok {
			t.Error("the record of the deleted mailbox still exists")
		}
		m, ok := f.registry.Get(unresolvedAnn)
		if !ok || m.ErrorKind != ooo.ReadErrorNotInDirectory || m.Addresses[0].Sequence != 1 || !m.ChangedAt.Equal(changedAt) {
			t.Fatalf("record = %+v, want the address looked up, its delivery kept, changed at %v", m, changedAt)
		}
		f.graph.locked(func() { f.graph.people[annAddress], f.graph.settings["id-new"] = ooo.Person{ID: "id-new"}, off })
		time.Sleep(20 * time.Second)
		if m := f.get("new"); m.Addresses[0].Sequence != 2 || m.State.Away {
			t.Errorf("record = %+v, want the state of the new mailbox as the next one", m)
		}
		if got, h := f.changes(), f.history("ann"); len(got) != 1 || h[ooo.EventUnknown] != 2 || h[ooo.EventKnown] != 1 {
			t.Errorf("%d changes, want one; history = %v, want unknown twice, and known again once", len(got), h)
		}
	})
}

// Checks that wait for their turn when Graph asks the app to wait are not made.
func TestChecksHonorWaitThatBegan(t *testing.T) {
	run(t, func(_ *poll.Config, g *faultyGraph) { g.checkTime = time.Second }, users(100), func(f *fixture) {
		f.graph.locked(func() {
			f.graph.lookupErr = &ooo.Throttled{After: time.Minute}
			for id := range f.graph.settings {
				f.graph.errs[id] = ooo.ErrUserGone
			}
		})
		time.Sleep(10 * time.Second)
		f.graph.locked(func() {
			if f.graph.checks == 0 || f.graph.checks > 24 {
				f.Errorf("%d checks, want only those in flight when the wait began", f.graph.checks)
			}
		})
	})
}
