package subscribe_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/subscribe"
)

// sweepOften makes sweeps begin after 1 to 2 minutes, and then every 16 to 20 minutes.
func sweepOften(cfg *subscribe.Config) { cfg.SweepInterval = 20 * time.Minute }

func TestSweep(t *testing.T) {
	stray := func(resource string, edits ...func(*ooo.GraphSubscription)) func(f *fixture) {
		return func(f *fixture) { f.addStray("stray", resource, edits...) }
	}
	otherURL := func(s *ooo.GraphSubscription) { s.NotificationURL = "https://other.example/x" }
	expired := func(s *ooo.GraphSubscription) { s.ExpiresAt = time.Now() }
	const nobody = "/users/nobody/events"
	listing := func(pages ...page) func(f *fixture) {
		return func(f *fixture) { f.set(func() { f.pages = pages }) }
	}
	records := func(loaded store.Loaded, err error) func(f *fixture) {
		return func(f *fixture) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.records = func() (store.Loaded, error) { return loaded, err }
		}
	}
	failed := page{err: ooo.ErrUnavailable}
	throttled := page{err: &ooo.Throttled{After: 7 * time.Minute}}
	known := page{ids: []ooo.SubscriptionID{"sub-1"}}
	broken := func(rest ...page) func(f *fixture) {
		return func(f *fixture) {
			f.addStray("stray", nobody)
			listing(append([]page{{ids: []ooo.SubscriptionID{"stray"}, next: "1"}}, rest...)...)(f)
		}
	}
	type result = subscribe.SweepResult
	type test struct {
		prepare func(f *fixture)
		result  result // of the first sweep
		calls   string // after the list
		id      ooo.SubscriptionID
	}
	tests := map[string]test{
		"subscription gone": {func(f *fixture) { f.loseAll() }, result{Lost: 1}, "patch sub-1, create", "sub-2"},
		"empty list":        {listing(page{}), result{Lost: 1}, "patch sub-1", "sub-1"},
		"sixty empty pages": {listing(append(make([]page, 60), known)...), result{Known: 1}, "", "sub-1"},
		"failures between pages": {listing(known, failed, failed, throttled, page{}, failed, failed, page{}),
			result{Known: 1}, "", "sub-1"},
		"repeated page":           {broken(page{}, page{next: "1"}, known), result{Surplus: 1, Incomplete: true}, "delete stray", "sub-1"},
		"rest of the list fails":  {broken(failed, failed, failed, failed, failed, known), result{Surplus: 1, Incomplete: true}, "delete stray", "sub-1"},
		"second subscription":     {stray("users/" + string(annID) + "/events"), result{Known: 1, Surplus: 1}, "delete stray", "sub-1"},
		"stray without a mailbox": {stray("/communications/x"), result{Known: 1, Surplus: 1}, "delete stray", "sub-1"},
		"stray of another URL":    {stray(nobody, otherURL), result{Known: 1, Foreign: 1}, "", "sub-1"},
		"expired stray":           {stray(nobody, expired), result{Known: 1}, "", "sub-1"},
		"first list fails":        {listing(failed, failed, failed, failed, failed, known), result{Known: 1}, "", "sub-1"},
		"unreadable partition":    {records(store.Loaded{}, ooo.ErrUnavailable), result{}, "", "sub-1"},
		"unreadable record": {records(store.Loaded{Damaged: map[ooo.RecordID]error{annID: store.ErrDamaged}}, nil),
			result{}, "", "sub-1"},
	}
	eachCovered(t, tests, func(t *testing.T, f *fixture, tt test) {
		tt.prepare(f)
		advance(15 * time.Minute)
		calls, times := f.takeTimedCalls()
		for i := 25; i < len(times); i++ {
			if took := times[i].Sub(times[i-25]); took < 20*time.Second {
				t.Fatalf("26 calls in %v, want at most 25 in 20 s", took)
			}
		}
		if strings.HasSuffix(t.Name(), "/failures_between_pages") && times[4].Sub(times[3]) < 7*time.Minute {
			t.Errorf("page requested %v after Graph asked to wait, want the wait honoured", times[4].Sub(times[3]))
		}
		calls = slices.DeleteFunc(calls, func(call string) bool { return call == "list" })
		if got := strings.Join(calls, ", "); got != tt.calls {
			t.Errorf("calls besides list = %q, want %q", got, tt.calls)
		}
		if len(f.swept) != 1 || f.swept[0] != tt.result {
			t.Errorf("results = %+v, want %+v once", f.swept, tt.result)
		}
		if s := f.sub(annID); s.State != ooo.SubscriptionLive || s.ID != tt.id || f.subscriptions[s.ID].ID == "" {
			t.Errorf("record = %s %s, want %s live", s.ID, s.State, tt.id)
		}
		f.expectNoHints()
	}, sweepOften)
}

func TestSweepOfEndlessListEnds(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		f.set(func() { f.pages = append([]page{{ids: []ooo.SubscriptionID{"sub-1"}}}, make([]page, 20_000)...) })
		advance(3 * time.Hour)
		if want := (subscribe.SweepResult{Known: 1, Incomplete: true}); len(f.swept) != 1 || f.swept[0] != want {
			t.Errorf("results = %+v, want %+v once", f.swept, want)
		}
	}, sweepOften)
}

func TestFailedStrayDeletionIsLeftToNextSweep(t *testing.T) {
	tests := map[string]error{"unavailable": ooo.ErrUnavailable, "throttled": &ooo.Throttled{After: 10 * time.Minute, WholeApp: true}}
	eachCovered(t, tests, func(t *testing.T, f *fixture, err error) {
		f.addStray("stray", "/users/nobody/events", func(s *ooo.GraphSubscription) { s.ExpiresAt = time.Now().Add(lifetime) })
		f.failWith("delete stray", err)
		advance(3 * time.Minute)
		if waits := f.Wait(ooo.SubscriptionWait) > 0; waits != (err == tests["throttled"]) {
			t.Errorf("a wait of the whole app is running: %t", waits)
		}
		advance(10 * time.Minute)
		if got := f.takeCalls(); got != "list, delete stray" {
			t.Errorf("calls after the first sweep = %s, want one deletion", got)
		}
		f.expectNoHints()
		advance(15 * time.Minute)
		if got := f.takeCalls(); got != "list, delete stray" {
			t.Errorf("calls after the second sweep = %s, want another deletion", got)
		}
		f.expect("sub-1", 0)
	}, sweepOften)
}

func TestResultOfUnansweredCreationIsDeletedAfterStop(t *testing.T) {
	withUncovered(t, func(f *fixture) { f.failWith("create", errAnswerLost) }, func(t *testing.T, f *fixture) {
		advance(time.Second)
		f.monitor(annID, false)
		advance(4 * time.Minute)
		if got := f.takeCalls(); got != "create, list, delete sub-1" {
			t.Errorf("calls = %s, want the subscription found by a sweep and deleted", got)
		}
		f.expect("", 0)
	}, sweepOften)
}

// Graph accepts any number of subscriptions and answers no creation.
func TestResultsOfUnansweredCreationsDoNotPileUp(t *testing.T) {
	unanswered := func(f *fixture) { f.failWith("create", slices.Repeat([]error{errAnswerLost}, 1000)...) }
	withUncovered(t, unanswered, func(t *testing.T, f *fixture) {
		advance(3 * time.Hour) // more than 20 creations
		f.set(func() {
			if n := len(f.listed()); f.created < 20 || n > 5 {
				t.Errorf("%d of %d subscriptions are left, want those since the last sweep", n, f.created)
			}
		})
		f.failWith("")
		advance(40 * time.Minute)
		f.expect(f.sub(annID).ID, 1)
	}, sweepOften, func(cfg *subscribe.Config) { cfg.Lifetime = 24 * time.Hour })
}

func TestSweepWaits(t *testing.T) {
	tests := map[string]func(f *fixture, wait time.Duration){
		"another replica owns partition 0": func(f *fixture, wait time.Duration) { f.notFirst.Store(wait > 0) },
		"wait of the whole app":            func(f *fixture, wait time.Duration) { f.SetWait(t.Context(), ooo.SubscriptionWait, wait) },
	}
	eachCovered(t, tests, func(t *testing.T, f *fixture, set func(f *fixture, wait time.Duration)) {
		set(f, 24*time.Hour)
		advance(20 * time.Minute)
		if got := f.takeCalls(); got != "" {
			t.Errorf("calls = %s, want none", got)
		}
		set(f, 0)
		advance(4 * time.Minute)
		if got := f.takeCalls(); got != "list" {
			t.Errorf("calls after the wait = %s, want a list", got)
		}
	}, sweepOften)
}
