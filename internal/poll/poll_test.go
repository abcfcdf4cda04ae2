package poll_test

import (
	"errors"
	"testing"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/store"
)

func TestReadsEveryInterval(t *testing.T) {
	run(t, func(_ *poll.Config, g *faultyGraph) { g.latency = 300 * time.Millisecond }, users(50), func(f *fixture) {
		time.Sleep(21 * time.Second)
		f.graph.mu.Lock()
		defer f.graph.mu.Unlock()
		phases := map[time.Duration]int{} // mailboxes by the time of their reads in the interval
		for id, at := range f.graph.reads {
			phases[at[0].Sub(at[0].Truncate(2*time.Second))]++
			if len(at) < 10 || len(at) > 11 || longestGap(at) > 2050*time.Millisecond {
				t.Errorf("%s: %d reads in 21 s, at most %v apart, want one every 2 s", id, len(at), longestGap(at))
			}
		}
		if len(f.graph.reads) != 50 || len(f.graph.batches) > 450 {
			t.Errorf("%d mailboxes read by %d calls, want 50 in batches", len(f.graph.reads), len(f.graph.batches))
		}
		for phase, n := range phases {
			if phase%(200*time.Millisecond) != 0 || n > 15 || len(phases) < 8 {
				t.Errorf("%d mailboxes in the phase %v of %d phases, want about 5 each 200 ms", n, phase, len(phases))
			}
		}
		if f.graph.decoded != 50 {
			t.Errorf("%d answers decoded, want the first of each mailbox", f.graph.decoded)
		}
	})
}

// A mailbox is read at once if it never was, or if its owner, who stopped so long after the last read was due, may not have begun it.
func TestFirstReadByOwner(t *testing.T) {
	tests := map[string]time.Duration{"read by its owner": time.Second, "due as it stopped": 50 * time.Millisecond, "in phase since": -time.Hour}
	runEach(t, tests, rarely, func() []*ooo.Mailbox { return []*ooo.Mailbox{away("ann"), pending("new")} }, func(f *fixture, after time.Duration) {
		time.Sleep(time.Second)
		if n := len(f.graph.takeReads("id-new")); n != 1 {
			f.Errorf("%d reads of the new mailbox, want one", n)
		}
		time.Sleep(12 * time.Hour)
		reads := f.graph.takeReads(annID)
		until := reads[len(reads)-1].Add(after)
		must.NoError(f, f.store.PutReads(f.Context(), map[int]store.Reads{ooo.RecordID(annID).Partition(): {Until: until}}))
		f.registry.AcquireAll()
		time.Sleep(time.Second)
		if n := len(f.graph.takeReads(annID)); (n == 1) != (after < time.Second) {
			f.Errorf("%d reads in the first second, want one only if its owner may not have begun the last one", n)
		}
	})
}

func TestReadsStayWithinShare(t *testing.T) {
	runUnchanged(t, func(cfg *poll.Config, _ *faultyGraph) {
		began := time.Now()
		cfg.Share = func() float64 {
			if time.Since(began) < time.Second {
				return 0 // which must not block reads for ever
			}
			return 0.01
		}
	}, 400, func(f *fixture) {
		time.Sleep(12 * time.Second)
		f.graph.takeAllReads()
		time.Sleep(20 * time.Second)
		total := 0
		for id, at := range f.graph.takeAllReads() {
			if total += len(at); longestGap(at) > 3500*time.Millisecond {
				t.Errorf("%s was read %v apart, want 3.1 s like all", id, longestGap(at))
			}
		}
		if total > 20*129+20 || total < 20*120 {
			t.Errorf("%d reads in 20 s, want 129 a second", total)
		}
	})
}

func TestOnlyChangesAreDelivered(t *testing.T) {
	run(t, nil, onlyAnn(pending), func(f *fixture) {
		for _, step := range []struct {
			name    string
			setting ooo.Setting
			total   int
		}{
			{"first state", off, 1},
			{"new text while disabled", ooo.Setting{Status: ooo.Disabled, ExternalReply: "new"}, 1},
			{"turned on", on, 2},
			{"same setting", on, 2},
			{"new audience", onForAll, 2},
			{"new text while away", ooo.Setting{Status: on.Status, ExternalReply: "Gone"}, 3},
			{"turned off", off, 4},
		} {
			f.graph.locked(func() { f.graph.settings[annID] = step.setting; f.graph.noise++ })
			time.Sleep(2100 * time.Millisecond)
			if got := len(f.changes()); got != step.total {
				t.Fatalf("%s: %d changes, want %d", step.name, got, step.total)
			}
			if m := f.get("ann"); !m.Setting.Equal(ooo.Policy{}.Apply(step.setting)) || m.Addresses[0].Sequence != int64(step.total) {
				t.Errorf("%s: setting %+v, sequence %d, want %d", step.name, m.Setting, m.Addresses[0].Sequence, step.total)
			}
		}
		got := f.changes()
		f.mu.Lock()
		defer f.mu.Unlock()
		if got[0].Source != ooo.SourceRequest || got[1].Source != ooo.SourcePoll || f.deliveries != 4 {
			t.Errorf("changes = %+v, %d deliveries begun, want the first by request, the others by poll, and 4", got, f.deliveries)
		}
	})
}

func TestNewPolicyIsApplied(t *testing.T) {
	policy := ooo.Policy{Message: ooo.InternalMessage}
	run(t, func(cfg *poll.Config, _ *faultyGraph) { cfg.Policy = policy }, onlyAnn(away), func(f *fixture) {
		f.graph.locked(func() { f.graph.settings[annID] = ooo.Setting{Status: ooo.AlwaysEnabled, InternalReply: "to us"} })
		time.Sleep(2100 * time.Millisecond)
		if m := f.get("ann"); m.State.Message != "to us" || m.Policy != policy.Tag() {
			t.Errorf("state = %+v under %q, want the internal text", m.State, m.Policy)
		}
	})
}

func TestWindowEdgesWithoutGraph(t *testing.T) {
	run(t, nil, onlyAnn(pending), func(f *fixture) {
		opens, closes := time.Now().Add(90*time.Second+250*time.Millisecond), time.Now().Add(110*time.Second)
		window := ooo.Setting{Status: ooo.Scheduled, Start: opens, End: closes, ExternalReply: "Away"}
		f.graph.locked(func() { f.graph.settings[annID] = window })
		time.Sleep(10 * time.Second)
		f.graph.locked(func() { f.graph.down = ooo.ErrUnavailable })
		for i, edge := range []time.Time{opens, closes} {
			time.Sleep(time.Until(edge) - time.Millisecond)
			if got := len(f.changes()); got != i+1 {
				t.Fatalf("%d changes before edge %d, want %d", got, i, i+1)
			}
			time.Sleep(50 * time.Millisecond)
			got := f.changes()
			if len(got) != i+2 || f.get("ann").State.Away != (i == 0) || got[i+1].Source != ooo.SourceWindow {
				t.Fatalf("changes after edge %d = %+v, want one more, by the window", i, got)
			}
		}
	})
}

func TestWindowClosedWhileNotOwned(t *testing.T) {
	for _, policy := range []string{(ooo.Policy{}).Tag(), "another"} {
		run(t, func(_ *poll.Config, g *faultyGraph) { g.down = ooo.ErrUnavailable }, func() []*ooo.Mailbox {
			m := record("ann", ooo.Setting{Status: ooo.Scheduled, Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour), ExternalReply: "x"})
			m.Setting.End, m.Policy = time.Now().Add(-time.Minute), policy
			return []*ooo.Mailbox{m}
		}, func(f *fixture) {
			time.Sleep(10 * time.Millisecond)
			if got := f.changes(); len(got) != 1 || f.get("ann").State.Away {
				t.Errorf("changes under the policy %q = %+v, want the window closed", policy, got)
			}
		})
	}
}

func TestThrottlingFillsNoHistory(t *testing.T) {
	tests := map[string]time.Duration{"briefly": 5 * time.Second, "for long": time.Minute}
	runEach(t, tests, nil, onlyAnn(away), func(f *fixture, after time.Duration) {
		for range 3 {
			f.graph.locked(func() { f.graph.errs[annID] = &ooo.Throttled{After: after} })
			time.Sleep(2100 * time.Millisecond)
			if m := f.get("ann"); m.Condition != ooo.Unknown || m.Reason == "" {
				f.Errorf("record = %s %q, want unknown with the reason", m.Condition, m.Reason)
			}
			f.graph.locked(func() { delete(f.graph.errs, annID) })
			time.Sleep(after + 3*time.Second)
		}
		want := 3 * int(after/time.Minute)
		if got := f.history("ann"); got[ooo.EventUnknown] != want || got[ooo.EventKnown] != want {
			f.Errorf("history = %v, want unknown and known %d times", got, want)
		}
	})
}

// The delivery moves with the address, and what the read in flight finds is not delivered.
func TestAddressMovesDuringRead(t *testing.T) {
	run(t, slowly, onlyAnn(away), func(f *fixture) {
		for begun := 0; begun == 0; time.Sleep(10 * time.Millisecond) {
			f.graph.locked(func() { begun = len(f.graph.reads[annID]) })
		}
		f.graph.locked(func() { f.graph.settings[annID], f.graph.settings["id-new"] = off, on })
		_, err := f.registry.Update(annID, func(d *mailbox.Draft) error {
			d.Subscriptions = []ooo.Subscription{{Resource: "r"}} // with which the record stays
			d.MoveAddresses(ooo.Person{ID: "id-new"})
			return nil
		})
		time.Sleep(5 * time.Second)
		if old := f.get("ann"); old.Monitored() || !old.State.Away || err != nil {
			t.Errorf("old record = %+v, %v, want it without an address and with the state as it was", old, err)
		}
		if m := f.get("new"); m.Addresses[0].Sequence != 1 || !m.State.Away || len(f.changes()) != 0 {
			t.Errorf("record = %+v after %d changes, want the state that was already delivered", m, len(f.changes()))
		}
		f.graph.locked(func() { f.graph.settings["id-new"] = off })
		time.Sleep(4 * time.Second)
		if m := f.get("new"); m.Addresses[0].Sequence != 2 || m.State.Away || len(f.changes()) != 1 {
			t.Errorf("record = %+v after %d changes, want the next state", m, len(f.changes()))
		}
		if n := len(f.graph.takeReads(annID)); n != 1 {
			t.Errorf("%d reads of the old mailbox, want only the one in flight", n)
		}
	})
}

// A mailbox is not read a second time while a read is in flight that began before this replica
// stopped reading it.
func TestReadsDoNotOverlap(t *testing.T) {
	tests := map[string]func(f *fixture){
		"monitoring stops and starts": func(f *fixture) {
			for _, on := range []bool{false, true} {
				f.registry.Hint(f.store.ChangeWish(f.T, annAddress, func(wish *ooo.Wish) {
					wish.On, wish.Person, wish.StartID = on, ooo.Person{ID: annID}, "again"
				}))
				time.Sleep(50 * time.Millisecond)
			}
		},
		"partition is lost and acquired": func(f *fixture) {
			f.registry.AcquireAll()
			f.hint("ann", notification)
		},
		"loss is noticed after the acquisition": func(f *fixture) {
			f.lagging.Store(true)
			f.registry.AcquireAll()
			f.lagging.Store(false)
		},
	}
	runEach(t, tests, slowly, onlyAnn(away), func(f *fixture, again func(f *fixture)) {
		for begun := 0; begun == 0; time.Sleep(10 * time.Millisecond) {
			f.graph.locked(func() { begun = len(f.graph.reads[annID]) })
		}
		again(f)
		time.Sleep(500 * time.Millisecond)
		if n := len(f.graph.takeReads(annID)); n != 1 {
			f.Errorf("%d reads, want only the one in flight", n)
		}
		if n, m := len(f.readsIn(5*time.Second)), f.get("ann"); n < 2 || m.Condition != ooo.Watching || !m.State.Away {
			f.Errorf("%d reads in the next 5 s, record %+v, want the usual cadence", n, m)
		}
	})
}

// The registry adopts a newer record that Redis has, see package mailbox. Its Retry-After is
// honoured, and then the mailbox is compared with it, even if the answer is the one that the
// poller knows.
func TestAdoptedRecord(t *testing.T) {
	run(t, nil, onlyAnn(away), func(f *fixture) {
		time.Sleep(5 * time.Second)
		newer, setting := f.get("ann").Clone(), ooo.Policy{}.Apply(off)
		newer.Setting, newer.State = &setting, &ooo.State{Message: setting.Message}
		newer.ReadFailures, newer.ReadRetryAt, newer.ReadThrottled = 1, time.Now().Add(time.Minute), true
		f.putNewer(newer)
		_, err := f.registry.Update(newer.ID, func(d *mailbox.Draft) error {
			d.EventAll(ooo.Event{At: time.Now(), Kind: ooo.EventResend})
			return nil
		})
		if !errors.Is(err, ooo.ErrNotOwner) || f.get("ann").State.Away {
			f.Fatalf("Update = %v, state = %+v, want ErrNotOwner and the newer record", err, f.get("ann").State)
		}
		time.Sleep(time.Second) // a read may be in flight
		if n := len(f.readsIn(58 * time.Second)); n > 0 {
			f.Errorf("%d reads, want none before the wait is over", n)
		}
		if n, m := len(f.readsIn(10*time.Second)), f.get("ann"); n < 4 || m.ReadFailures != 0 || !m.State.Away {
			f.Errorf("%d reads after the wait, record %+v, want the usual cadence and the state of the mailbox", n, m)
		}
	})
}
