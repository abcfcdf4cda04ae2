package subscribe_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/subscribe"
)

// sweepHourly makes the first sweep begin after 3 to 6 minutes.
func sweepHourly(cfg *subscribe.Config) { cfg.SweepInterval = time.Hour }

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
	throttled := page{err: &ooo.Throttled{After: 7 * time.Minute}}
	known := page{ids: []ooo.SubscriptionID{"sub-1"}}
	broken := page{err: fmt.Errorf("%w: Graph repeats a page", ooo.ErrUnavailable)}
	type result = subscribe.SweepResult
	tests := map[string]struct {
		prepare func(f *fixture)
		result  result // of the first sweep
		calls   string // after the list
		id      ooo.SubscriptionID
	}{
		"subscription gone":       {func(f *fixture) { f.loseAll() }, result{Lost: 1}, "patch sub-1, create", "sub-2"},
		"empty list":              {listing(page{}), result{Lost: 1}, "patch sub-1", "sub-1"},
		"sixty empty pages":       {listing(append(make([]page, 60), known)...), result{Known: 1}, "", "sub-1"},
		"throttled between pages": {listing(page{}, throttled, known), result{Known: 1}, "", "sub-1"},
		"incomplete list": {func(f *fixture) {
			f.addStray("stray", nobody)
			listing(page{ids: []ooo.SubscriptionID{"stray"}}, broken)(f)
		}, result{Surplus: 1, Incomplete: true}, "delete stray", "sub-1"},
		"second subscription":     {stray("users/" + string(annID) + "/events"), result{Known: 1, Surplus: 1}, "delete stray", "sub-1"},
		"stray without a mailbox": {stray("/communications/x"), result{Known: 1, Surplus: 1}, "delete stray", "sub-1"},
		"stray of another URL":    {stray(nobody, otherURL), result{Known: 1, Foreign: 1}, "", "sub-1"},
		"expired stray":           {stray(nobody, expired), result{Known: 1}, "", "sub-1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			withCovered(t, func(t *testing.T, f *fixture) {
				tt.prepare(f)
				advance(30 * time.Minute)
				calls := slices.DeleteFunc(strings.Split(f.takeCalls(), ", "), func(call string) bool { return call == "list" })
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
			}, sweepHourly)
		})
	}
}

func TestFailedStrayDeletionIsLeftToNextSweep(t *testing.T) {
	for name, err := range map[string]error{
		"unavailable": ooo.ErrUnavailable, "throttled": &ooo.Throttled{After: 10 * time.Minute, WholeApp: true},
	} {
		t.Run(name, func(t *testing.T) {
			withCovered(t, func(t *testing.T, f *fixture) {
				f.addStray("stray", "/users/nobody/events", func(s *ooo.GraphSubscription) { s.ExpiresAt = time.Now().Add(lifetime) })
				f.failWith(failOn(err, "delete stray", 1))
				advance(7 * time.Minute)
				if waits := f.Wait(ooo.SubscriptionWait) > 0; waits != (name == "throttled") {
					t.Errorf("a wait of the whole app is running: %t", waits)
				}
				advance(30 * time.Minute)
				if got := f.takeCalls(); got != "list, delete stray" {
					t.Errorf("calls after the first sweep = %s, want one deletion", got)
				}
				f.expectNoHints()
				advance(time.Hour)
				if got := f.takeCalls(); got != "list, delete stray" {
					t.Errorf("calls after the second sweep = %s, want another deletion", got)
				}
				f.expectLive("sub-1", 0)
			}, sweepHourly)
		})
	}
}

// The earlier owner died while it was replacing sub-0.
func TestStrayThatIsBeingReplacedStays(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.store.Put(t, monitored(live(func(s *ooo.Subscription) {
			s.ID, s.State, s.Replaces = "", ooo.SubscriptionCreating, "sub-0"
		})))
		f.fail = func(string) error { return errUnanswered }
		_, stop := f.start()
		defer stop()
		f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintStray, Subject: "sub-0"})
		advance(time.Minute)
		if got := f.takeCalls(); got == "" || strings.Contains(got, "delete") {
			t.Errorf("calls = %s, want only create", got)
		}
	})
}

// A wait of the whole app delays all calls until the mailbox has no record any more.
func TestStrayOfStoppedMailboxIsDeleted(t *testing.T) {
	withUncovered(t, func(f *fixture) {
		f.setWait(t.Context(), ooo.SubscriptionWait, 62*time.Second) // not a multiple of 5 s, when hints are read
		f.addStray("stray", "")
	}, func(t *testing.T, f *fixture) {
		f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintStray, Subject: "stray"})
		advance(time.Second)
		f.monitor(annID, false)
		advance(2 * time.Minute)
		if got := f.takeCalls(); got != "delete stray" {
			t.Errorf("calls = %q, want delete stray", got)
		}
		f.expectNoHints()
	})
}

// Graph accepts a second subscription, so that the one of the unanswered creation is never
// adopted.
func TestResultOfUnansweredCreationStaysUntilCovered(t *testing.T) {
	withUncovered(t, func(f *fixture) {
		f.loseAnswer = func(call string) bool { return call == "create" && f.created == 1 }
		f.fail = func(call string) error {
			if call == "create" && f.created > 0 {
				return ooo.ErrSubscriptionDenied
			}
			return nil
		}
	}, func(t *testing.T, f *fixture) {
		advance(10 * time.Minute)
		if got := f.takeCalls(); !strings.Contains(got, "list") || strings.Contains(got, "delete") {
			t.Errorf("calls = %s, want a sweep and no deletion", got)
		}
		f.expectNoHints()
		f.failWith(noFailure)
		advance(2 * time.Hour)
		f.expectLive("sub-2", 1)
	}, sweepHourly)
}

// Graph accepts any number of subscriptions and answers no creation.
func TestResultsOfUnansweredCreationsDoNotPileUp(t *testing.T) {
	withUncovered(t, func(f *fixture) {
		f.loseAnswer = func(call string) bool { return call == "create" }
	}, func(t *testing.T, f *fixture) {
		advance(9 * time.Hour) // more than 50 creations
		f.set(func() {
			if n := len(f.listed()); f.created < 50 || n > 10 {
				t.Errorf("%d of %d subscriptions are left, want those since the last sweep", n, f.created)
			}
		})
		f.set(func() { f.loseAnswer = func(string) bool { return false } })
		advance(2 * time.Hour)
		f.expectLive(f.sub(annID).ID, 1)
	}, sweepHourly)
}

func TestListKeepsToRateLimit(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		f.set(func() { f.pages = make([]page, 60) })
		advance(10 * time.Minute)
		calls, times := f.takeTimedCalls()
		if n := len(calls) - 1; n < 60 || calls[n-1] != "list" {
			t.Fatalf("%d calls, want 60 pages and a patch", n+1)
		}
		for i := range len(times) - 27 {
			if took := times[i+25].Sub(times[i]); took < 20*time.Second {
				t.Fatalf("26 calls in %v, want at most 25 in 20 s", took)
			}
		}
	}, sweepHourly)
}

func TestFailedListIsRetried(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		failed := page{err: ooo.ErrUnavailable}
		f.set(func() { f.pages = []page{failed, failed, failed, failed, failed} })
		advance(10 * time.Minute)
		f.set(func() { f.pages = nil })
		advance(10 * time.Minute)
		if got := f.takeCalls(); strings.Count(got, "list") < 6 || strings.Contains(got, "sub-1") || len(f.swept) != 1 {
			t.Errorf("calls = %s, results %+v, want only lists until one succeeds", got, f.swept)
		}
	}, sweepHourly)
}

func TestSweepWaits(t *testing.T) {
	for name, set := range map[string]func(f *fixture, wait time.Duration){
		"another replica owns partition 0": func(f *fixture, wait time.Duration) { f.notFirst.Store(wait > 0) },
		"wait of the whole app":            func(f *fixture, wait time.Duration) { f.setWait(t.Context(), ooo.SubscriptionWait, wait) },
	} {
		t.Run(name, func(t *testing.T) {
			withCovered(t, func(t *testing.T, f *fixture) {
				set(f, 24*time.Hour)
				advance(time.Hour)
				if got := f.takeCalls(); got != "" {
					t.Errorf("calls = %s, want none", got)
				}
				set(f, 0)
				advance(10 * time.Minute)
				if got := f.takeCalls(); got != "list" {
					t.Errorf("calls after the wait = %s, want a list", got)
				}
			}, sweepHourly)
		})
	}
}

func TestUnreadableRecordsMakeNoStrays(t *testing.T) {
	for name, records := range map[string]func(store.Loaded) (store.Loaded, error){
		"partition": func(store.Loaded) (store.Loaded, error) { return store.Loaded{}, ooo.ErrUnavailable },
		"record": func(store.Loaded) (store.Loaded, error) {
			return store.Loaded{Damaged: map[ooo.RecordID]error{annID: store.ErrDamaged}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			withCovered(t, func(t *testing.T, f *fixture) {
				advance(10 * time.Minute)
				if got := f.takeCalls(); got != "list" || len(f.swept) != 1 || f.swept[0].Surplus != 0 {
					t.Errorf("calls = %s, results %+v, want a list and no surplus", got, f.swept)
				}
			}, sweepHourly, func(cfg *subscribe.Config) {
				load := cfg.Records
				cfg.Records = func(ctx context.Context, p int) (store.Loaded, error) {
					loaded, err := load(ctx, p)
					if p == annID.Partition() {
						return records(loaded)
					}
					return loaded, err
				}
			})
		})
	}
}
