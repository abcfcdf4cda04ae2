package poll_test

import (
	"fmt"
	"testing"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
)

func crowd(n int) func() []*ooo.Mailbox {
	return func() (all []*ooo.Mailbox) {
		for i := range n {
			all = append(all, record(fmt.Sprintf("user%02d", i), off))
		}
		return all
	}
}

func one(m func(string) *ooo.Mailbox) func() []*ooo.Mailbox {
	return func() []*ooo.Mailbox { return []*ooo.Mailbox{m("ann")} }
}

func away(name string) *ooo.Mailbox { return record(name, on) }

func TestEachMailboxIsReadEveryInterval(t *testing.T) {
	run(t, func(_ *poll.Config, g *faultyGraph) { g.latency = 300 * time.Millisecond }, crowd(50), func(w *world) {
		time.Sleep(21 * time.Second)
		w.graph.mu.Lock()
		defer w.graph.mu.Unlock()
		for id, at := range w.graph.reads {
			if len(at) < 10 || len(at) > 11 || longest(at) > 2050*time.Millisecond {
				t.Errorf("%s: %d reads in 21 s, %v apart at most, want one each 2 s", id, len(at), longest(at))
			}
		}
		if len(w.graph.reads) != 50 || len(w.graph.batches) > 450 {
			t.Errorf("%d mailboxes read by %d calls, want 50, several by one", len(w.graph.reads), len(w.graph.batches))
		}
		if w.graph.decoded != 50 {
			t.Errorf("%d answers decoded, want each mailbox' first", w.graph.decoded)
		}
	})
}

// A replica keeps to its share of what Graph allows the app, and nobody is left out.
func TestReadsKeepToTheShare(t *testing.T) {
	run(t, func(cfg *poll.Config, _ *faultyGraph) { cfg.Share = func() float64 { return 0.01 } }, crowd(400), func(w *world) {
		time.Sleep(10 * time.Second)
		w.graph.set(func() { clear(w.graph.reads) })
		time.Sleep(20 * time.Second)
		total := 0
		w.graph.set(func() {
			for id, at := range w.graph.reads {
				if total += len(at); longest(at) > 3500*time.Millisecond {
					t.Errorf("%s was read %v apart, want 3.1 s for all", id, longest(at))
				}
			}
		})
		if total > 20*129+20 || total < 20*120 {
			t.Errorf("%d reads in 20 s, want 129 a second", total)
		}
	})
}

func TestOnlyChangesAreDelivered(t *testing.T) {
	run(t, nil, one(pending), func(w *world) {
		steps := []struct {
			what    string
			setting ooo.Setting
			total   int
		}{
			{"the first state", off, 1},
			{"a new text while disabled", ooo.Setting{Status: ooo.Disabled, ExternalReply: "new"}, 1},
			{"switched on", on, 2},
			{"the same again", on, 2},
			{"another audience", ooo.Setting{Status: on.Status, ExternalReply: on.ExternalReply, ExternalAudience: "all"}, 2},
			{"a new text while away", ooo.Setting{Status: on.Status, ExternalReply: "Gone"}, 3},
			{"switched off", off, 4},
		}
		for _, step := range steps {
			w.graph.set(func() { w.graph.settings["id-ann"] = step.setting; w.graph.noise++ })
			time.Sleep(2100 * time.Millisecond)
			if got := len(w.noticed()); got != step.total {
				t.Fatalf("after %s: %d changes, want %d", step.what, got, step.total)
			}
			if m := w.get("ann"); !m.Setting.Equal(ooo.Policy{}.Apply(step.setting)) || m.Addresses[0].Sequence != int64(step.total) {
				t.Errorf("after %s: setting %+v, sequence %d, want %d", step.what, m.Setting, m.Addresses[0].Sequence, step.total)
			}
		}
		got := w.noticed()
		w.mu.Lock()
		defer w.mu.Unlock()
		if got[0].Source != ooo.SourceRequest || got[1].Source != ooo.SourcePoll || w.begun != 4 {
			t.Errorf("changes = %+v, %d deliveries begun, want the first by request, the others by poll, 4 begun", got, w.begun)
		}
	})
}

func TestAnotherPolicyIsAppliedToWhatIsRead(t *testing.T) {
	policy := ooo.Policy{Message: ooo.InternalMessage}
	run(t, func(cfg *poll.Config, _ *faultyGraph) { cfg.Policy = policy }, one(away), func(w *world) {
		w.graph.set(func() { w.graph.settings["id-ann"] = ooo.Setting{Status: ooo.AlwaysEnabled, InternalReply: "to us"} })
		time.Sleep(2100 * time.Millisecond)
		if m := w.get("ann"); m.State.Message != "to us" || m.Policy != policy.Tag() {
			t.Errorf("state = %+v under %q, want the internal text", m.State, m.Policy)
		}
	})
}

func TestWindowsTurnOnTheSecondWithoutGraph(t *testing.T) {
	run(t, nil, one(pending), func(w *world) {
		opens, closes := time.Now().Add(30*time.Second+250*time.Millisecond), time.Now().Add(50*time.Second)
		w.graph.set(func() {
			w.graph.settings["id-ann"] = ooo.Setting{Status: ooo.Scheduled, Start: opens, End: closes, ExternalReply: "Away"}
		})
		time.Sleep(10 * time.Second)
		w.graph.set(func() { w.graph.down = ooo.ErrUnavailable })
		for i, edge := range []time.Time{opens, closes} {
			time.Sleep(time.Until(edge) - time.Millisecond)
			if got := len(w.noticed()); got != i+1 {
				t.Fatalf("%d changes before edge %d, want %d", got, i, i+1)
			}
			time.Sleep(50 * time.Millisecond)
			got := w.noticed()
			if len(got) != i+2 || w.get("ann").State.Away != (i == 0) || got[i+1].Source != ooo.SourceWindow {
				t.Fatalf("changes after edge %d = %+v, want one by the window", i, got)
			}
		}
	})
}

// A window that closed while no replica owned the mailbox is closed at once.
func TestAnEdgeThatWasMissedIsMadeUpFor(t *testing.T) {
	run(t, func(_ *poll.Config, g *faultyGraph) { g.down = ooo.ErrUnavailable }, func() []*ooo.Mailbox {
		m := record("ann", ooo.Setting{Status: ooo.Scheduled, Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour), ExternalReply: "x"})
		m.Setting.End = time.Now().Add(-time.Minute)
		return []*ooo.Mailbox{m}
	}, func(w *world) {
		time.Sleep(10 * time.Millisecond)
		if got := w.noticed(); len(got) != 1 || w.get("ann").State.Away {
			t.Errorf("changes = %+v, want the window closed", got)
		}
	})
}

func TestFailuresOfOneMailbox(t *testing.T) {
	tests := map[string]struct {
		err         error
		reason      ooo.ReadErrorKind // of the record; empty: it is not unknown
		least, most int               // reads within a minute
		others      bool              // held back too
	}{
		"no mailbox waits and is unknown":                {ooo.ErrNoMailbox, ooo.ReadErrorNoMailbox, 2, 6, false},
		"denied waits and is unknown":                    {ooo.ErrDenied, ooo.ReadErrorDenied, 2, 6, false},
		"a value not known is read on and unknown":       {ooo.ErrBadSetting, ooo.ReadErrorBadSetting, 29, 31, false},
		"a busy server keeps the cadence, then unknown":  {ooo.ErrUnavailable, ooo.ReadErrorOther, 29, 31, false},
		"a 401 of one mailbox waits longer each time":    {ooo.ErrUnauthorized, ooo.ReadErrorOther, 3, 7, false},
		"not found though the user is there: no mailbox": {ooo.ErrUserGone, ooo.ReadErrorNoMailbox, 1, 2, false},
		"a throttled mailbox waits its time":             {&ooo.Throttled{After: 20 * time.Second}, ooo.ReadErrorOther, 3, 4, false},
		"a short wait is no news":                        {&ooo.Throttled{After: 3 * time.Second}, "", 12, 21, false},
		"a throttled app holds everyone for that time":   {&ooo.Throttled{After: 20 * time.Second, WholeApp: true}, "", 3, 4, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func() []*ooo.Mailbox { return []*ooo.Mailbox{away("ann"), away("bob")} }, func(w *world) {
				time.Sleep(5 * time.Second)
				w.graph.set(func() { w.graph.errs["id-ann"] = fmt.Errorf("read: %w", tt.err); clear(w.graph.reads) })
				version := w.get("ann").Version
				time.Sleep(time.Minute)
				if got := len(w.graph.readsOf("id-ann")); got < tt.least || got > tt.most {
					t.Errorf("%d reads in a minute, want %d to %d", got, tt.least, tt.most)
				}
				if got := len(w.graph.readsOf("id-bob")); (got < 25) != tt.others {
					t.Errorf("%d reads of the other, want them held back: %t", got, tt.others)
				}
				m := w.get("ann")
				if (m.Condition == ooo.Unknown) != (tt.reason != "") || m.ErrorKind != tt.reason || (m.Reason == "") != (tt.reason == "") {
					t.Errorf("record = %s %q %q, want the error %q", m.Condition, m.ErrorKind, m.Reason, tt.reason)
				}
				if m.State == nil || !m.State.Away || len(w.noticed()) != 0 {
					t.Errorf("state = %v, %d changes, want the last one kept", m.State, len(w.noticed()))
				}
				if saves := m.Version - version; saves > 21 || tt.least > 28 && saves != 1 {
					t.Errorf("%d saves, want one for the first failure and one for each wait", saves)
				}
				w.graph.set(func() { delete(w.graph.errs, "id-ann") })
				time.Sleep(5 * time.Minute)
				if m := w.get("ann"); m.Condition != ooo.Watching || m.Reason != "" || m.ErrorKind != "" || m.ReadFailures != 0 || !m.ReadRetryAt.IsZero() {
					t.Errorf("record = %+v, want it watched again", m)
				}
				if got := w.history("ann"); got[ooo.EventUnknown] != got[ooo.EventKnown] || (got[ooo.EventUnknown] == 1) != (tt.reason != "") {
					t.Errorf("history = %v, want unknown and known once: %t", got, tt.reason != "")
				}
				if got := len(w.graph.readsOf("id-ann")); got < 20 {
					t.Errorf("%d reads in five minutes after, want it back in its phase", got)
				}
			})
		})
	}
}

// A new kind of error starts with its own first wait, whatever failed before it.
func TestFailuresAreCountedByKind(t *testing.T) {
	for name, before := range map[string]error{"no mailbox": ooo.ErrNoMailbox, "Graph is busy": ooo.ErrUnavailable, "throttled": &ooo.Throttled{After: time.Minute}} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, one(away), func(w *world) {
				w.graph.set(func() { w.graph.errs["id-ann"] = before })
				time.Sleep(20 * time.Minute)
				w.graph.set(func() { w.graph.errs["id-ann"] = ooo.ErrDenied; clear(w.graph.reads) })
				time.Sleep(5 * time.Minute)
				at := w.graph.readsOf("id-ann")
				if len(at) < 2 || at[1].Sub(at[0]) > 11*time.Second {
					t.Errorf("reads = %v, want the second 10 s after the answer to the first", at)
				}
				if m := w.get("ann"); m.ErrorKind != ooo.ReadErrorDenied || m.ReadFailures > 6 {
					t.Errorf("record = %s, %d failures, want few of the new kind", m.ErrorKind, m.ReadFailures)
				}
				if got := w.history("ann"); got[ooo.EventUnknown] != 1 {
					t.Errorf("history = %v, want unknown once", got)
				}
				time.Sleep(20 * time.Minute)
				w.graph.set(func() { delete(w.graph.errs, "id-ann") })
				w.hint("ann", ooo.Hint{Kind: ooo.HintCheck})
				time.Sleep(time.Second)
				w.graph.readsOf("id-ann")
				time.Sleep(10 * time.Second)
				if n := len(w.graph.readsOf("id-ann")); n != 5 {
					t.Errorf("%d reads in 10 s after a check, want it back in its phase", n)
				}
			})
		})
	}
}

// An address that moves to another mailbox while its old one is being read takes its
// delivery along, and what that read finds is not delivered.
func TestAnAddressMovesWhileItsMailboxIsRead(t *testing.T) {
	run(t, func(_ *poll.Config, g *faultyGraph) { g.latency = time.Second }, one(away), func(w *world) {
		for begun := 0; begun == 0; time.Sleep(10 * time.Millisecond) {
			w.graph.set(func() { begun = len(w.graph.reads["id-ann"]) })
		}
		w.graph.set(func() { w.graph.settings["id-ann"], w.graph.settings["id-new"] = off, on })
		_, err := w.registry.Update("id-ann", func(d *mailbox.Draft) error {
			d.MoveAddresses(ooo.Person{ID: "id-new"})
			return nil
		})
		time.Sleep(5 * time.Second)
		if _, there := w.registry.Get("id-ann"); there || err != nil {
			t.Errorf("the mailbox that it left is there: %t, %v", there, err)
		}
		if m := w.get("new"); m.Addresses[0].Sequence != 1 || !m.State.Away || len(w.noticed()) != 0 {
			t.Errorf("record = %+v after %d changes, want the state that was delivered already", m, len(w.noticed()))
		}
		w.graph.set(func() { w.graph.settings["id-new"] = off })
		time.Sleep(4 * time.Second)
		if m := w.get("new"); m.Addresses[0].Sequence != 2 || m.State.Away || len(w.noticed()) != 1 {
			t.Errorf("record = %+v after %d changes, want the next state", m, len(w.noticed()))
		}
		if n := len(w.graph.readsOf("id-ann")); n != 1 {
			t.Errorf("the mailbox that it left was read %d times, want no more", n)
		}
	})
}

func TestStoredWaitsAreKeptAndCut(t *testing.T) {
	tests := map[string]struct {
		wait      time.Duration
		throttled bool
		least     time.Duration // until the first read
		most      time.Duration
	}{
		"a wait goes on":              {time.Minute, false, 59 * time.Second, 61 * time.Second},
		"a clock was wrong":           {24 * time.Hour, false, 299 * time.Second, 301 * time.Second},
		"a Retry-After goes on":       {20 * time.Minute, true, 20*time.Minute - time.Second, 20*time.Minute + time.Second},
		"a clock was wrong about one": {24 * time.Hour, true, time.Hour - time.Second, time.Hour + time.Second},
		"a wait is over":              {-time.Minute, true, 0, 2 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func() []*ooo.Mailbox {
				m := away("ann")
				m.Condition, m.ErrorKind, m.ReadFailures = ooo.Unknown, ooo.ReadErrorDenied, 3
				m.ReadRetryAt, m.ReadThrottled = time.Now().Add(tt.wait), tt.throttled
				return []*ooo.Mailbox{m}
			}, func(w *world) {
				began := time.Now()
				time.Sleep(tt.most + time.Second)
				at := w.graph.readsOf("id-ann")
				if len(at) == 0 || at[0].Sub(began) < tt.least || at[0].Sub(began) > tt.most {
					t.Errorf("reads = %v, want the first after %v to %v", at, tt.least, tt.most)
				}
			})
		})
	}
}
