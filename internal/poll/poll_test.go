package poll_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
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
		steps := []struct {
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
		}
		for _, step := range steps {
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
	run(t, func(_ *poll.Config, g *faultyGraph) { g.down = ooo.ErrUnavailable }, func() []*ooo.Mailbox {
		m := record("ann", ooo.Setting{Status: ooo.Scheduled, Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour), ExternalReply: "x"})
		m.Setting.End = time.Now().Add(-time.Minute)
		return []*ooo.Mailbox{m}
	}, func(f *fixture) {
		time.Sleep(10 * time.Millisecond)
		if got := f.changes(); len(got) != 1 || f.get("ann").State.Away {
			t.Errorf("changes = %+v, want the window closed", got)
		}
	})
}

func TestFailures(t *testing.T) {
	type test struct {
		err      error
		kind     ooo.ReadErrorKind // in the record; empty: the mailbox stays known
		first    bool              // it is unknown after the first failure, else known after the second
		min, max int               // reads in a minute
		others   bool              // the wait applies to other mailboxes, too
		lookup   error             // of the user in the directory
	}
	throttledApp := &ooo.Throttled{After: 20 * time.Second, WholeApp: true}
	tests := map[string]test{
		"no mailbox":                {ooo.ErrNoMailbox, ooo.ReadErrorNoMailbox, true, 2, 6, false, nil},
		"bad setting":               {ooo.ErrBadSetting, ooo.ReadErrorBadSetting, true, 29, 31, false, nil},
		"unavailable":               {ooo.ErrUnavailable, ooo.ReadErrorOther, false, 29, 31, false, nil},
		"rejected":                  {ooo.ErrRejected, ooo.ReadErrorOther, false, 29, 31, false, nil},
		"401":                       {ooo.ErrUnauthorized, ooo.ReadErrorDenied, false, 3, 7, false, nil},
		"user without mailbox":      {ooo.ErrUserGone, ooo.ReadErrorNoMailbox, true, 1, 2, false, nil},
		"mailbox throttled":         {&ooo.Throttled{After: 20 * time.Second}, ooo.ReadErrorOther, true, 3, 4, false, nil},
		"mailbox throttled for 3 s": {&ooo.Throttled{After: 3 * time.Second}, "", false, 12, 21, false, nil},
		"app throttled":             {throttledApp, "", false, 3, 4, true, nil},
		"directory unavailable":     {ooo.ErrUserGone, ooo.ReadErrorOther, false, 2, 5, false, ooo.ErrUnavailable},
		"directory throttled":       {ooo.ErrUserGone, ooo.ReadErrorOther, true, 3, 4, false, throttledApp},
	}
	runEach(t, tests, nil, annAndBob, func(f *fixture, tt test) {
		time.Sleep(5 * time.Second)
		f.graph.takeAllReads()
		f.graph.locked(func() { f.graph.errs[annID], f.graph.lookupErrs[annID] = fmt.Errorf("read: %w", tt.err), tt.lookup })
		version := f.get("ann").Version
		for n := range 2 {
			time.Sleep(2050 * time.Millisecond)
			if m := f.get("ann"); (m.Condition == ooo.Unknown) != tt.first {
				f.Errorf("condition after failure %d = %s, want unknown: %t", n+1, m.Condition, tt.first)
			}
		}
		time.Sleep(time.Minute - 4100*time.Millisecond)
		if got := len(f.graph.takeReads(annID)); got < tt.min || got > tt.max {
			f.Errorf("%d reads in a minute, want %d to %d", got, tt.min, tt.max)
		}
		if got := len(f.graph.takeReads("id-bob")); (got < 25) != tt.others {
			f.Errorf("%d reads of the other mailbox in a minute, want it to wait: %t", got, tt.others)
		}
		m := f.get("ann")
		if (m.Condition == ooo.Unknown) != (tt.kind != "") || m.ErrorKind != tt.kind || (m.Reason == "") != (tt.kind == "") {
			f.Errorf("record = %s %q %q, want the error %q", m.Condition, m.ErrorKind, m.Reason, tt.kind)
		}
		if m.State == nil || !m.State.Away || len(f.changes()) != 0 {
			f.Errorf("state = %v, %d changes, want the last state kept", m.State, len(f.changes()))
		}
		if saves := m.Version - version; saves > 21 || tt.min > 28 && saves != 1 {
			f.Errorf("%d saves, want one for the first failure and one for each wait", saves)
		}
		for i := range 300 { // each failure has another text
			f.graph.locked(func() { f.graph.errs[annID] = fmt.Errorf("read %d: %w", i, tt.err) })
			time.Sleep(2 * time.Second)
		}
		if later := f.get("ann"); tt.min > 28 && tt.kind != "" {
			if later.Reason == m.Reason || later.Version != m.Version+1 {
				f.Errorf("reason = %q after %d saves in 300 reads, want a new one after one", later.Reason, later.Version-m.Version)
			}
			f.hint("ann", ooo.Hint{Kind: ooo.HintCheck})
			time.Sleep(time.Second)
			if checked := f.get("ann"); !strings.HasPrefix(checked.Reason, "read 299: ") {
				f.Errorf("reason after a check = %q, want the present one", checked.Reason)
			}
		}
		f.graph.locked(func() { delete(f.graph.errs, annID) })
		time.Sleep(6 * time.Minute) // the longest wait is 5
		if m := f.get("ann"); m.Condition != ooo.Watching || m.Reason != "" || m.ErrorKind != "" || m.ReadFailures != 0 || !m.ReadRetryAt.IsZero() {
			f.Errorf("record = %+v, want no error", m)
		}
		if got := f.history("ann"); got[ooo.EventUnknown] != got[ooo.EventKnown] || (got[ooo.EventUnknown] == 1) != (tt.kind != "") {
			f.Errorf("history = %v, want unknown and known once: %t", got, tt.kind != "")
		}
		if got := len(f.graph.takeReads(annID)); got < 20 {
			f.Errorf("%d reads in the next six minutes, want the usual cadence again", got)
		}
	})
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

// A new kind of error starts with its own first wait.
func TestFailuresAreCountedByKind(t *testing.T) {
	tests := map[string]error{"throttled": &ooo.Throttled{After: time.Minute}, "unavailable": ooo.ErrUnavailable}
	runEach(t, tests, nil, onlyAnn(away), func(f *fixture, before error) {
		f.graph.locked(func() { f.graph.errs[annID] = before })
		time.Sleep(20 * time.Minute)
		f.graph.locked(func() { f.graph.errs[annID] = ooo.ErrDenied })
		at := f.readsIn(5 * time.Minute)
		if len(at) < 2 || at[1].Sub(at[0]) > 11*time.Second {
			f.Errorf("reads = %v, want the second 10 s after the answer to the first", at)
		}
		if m := f.get("ann"); m.ErrorKind != ooo.ReadErrorDenied || m.ReadFailures > 6 {
			f.Errorf("record = %s, %d failures, want few of the new kind", m.ErrorKind, m.ReadFailures)
		}
		if got := f.history("ann"); got[ooo.EventUnknown] != 1 {
			f.Errorf("history = %v, want unknown once", got)
		}
		time.Sleep(time.Hour)
		if n := len(f.readsIn(time.Hour)); n < 12 || n > 15 {
			f.Errorf("%d reads in an hour, want waits of 5 minutes or up to a fifth less", n)
		}
		f.graph.locked(func() { delete(f.graph.errs, annID) })
		f.hint("ann", ooo.Hint{Kind: ooo.HintCheck})
		time.Sleep(time.Second)
		if n := len(f.readsIn(10 * time.Second)); n < 5 || n > 6 { // one more if the wait was almost over
			f.Errorf("%d reads in 10 s after a check, want the usual cadence again", n)
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
			d.MoveAddresses(ooo.Person{ID: "id-new"})
			return nil
		})
		time.Sleep(5 * time.Second)
		if _, ok := f.registry.Get(annID); ok || err != nil {
			t.Errorf("record of the old mailbox exists: %t, %v", ok, err)
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

func TestStoredWaits(t *testing.T) {
	tests := map[string]struct {
		wait      time.Duration
		throttled bool
		want      time.Duration // until the first read, within a second
	}{
		"wrong clock":              {24 * time.Hour, false, 5 * time.Minute},
		"Retry-After":              {20 * time.Minute, true, 20 * time.Minute},
		"Retry-After, wrong clock": {24 * time.Hour, true, time.Hour},
		"over":                     {-time.Minute, true, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func() []*ooo.Mailbox {
				m := away("ann")
				m.Condition, m.ErrorKind, m.ReadFailures = ooo.Unknown, ooo.ReadErrorDenied, 3
				m.ReadRetryAt, m.ReadThrottled = time.Now().Add(tt.wait), tt.throttled
				return []*ooo.Mailbox{m}
			}, func(f *fixture) {
				began := time.Now()
				time.Sleep(tt.want + 2*time.Second)
				at := f.graph.takeReads(annID)
				if len(at) == 0 || (at[0].Sub(began)-tt.want).Abs() > time.Second {
					t.Errorf("%d reads, want the first after %v: %v", len(at), tt.want, at[:min(len(at), 1)])
				}
			})
		})
	}
}
