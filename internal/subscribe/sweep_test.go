package subscribe_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/subscribe"
)

// sweeping sweeps every hour, the first time after 3 to 6 minutes.
func sweeping(cfg *subscribe.Config) { cfg.SweepInterval = time.Hour }

func TestASweepComparesGraphWithTheRecords(t *testing.T) {
	stray := func(edit func(s *ooo.GraphSubscription)) func(w *world) {
		return func(w *world) {
			s := ooo.GraphSubscription{ID: "stray", Resource: "/users/nobody/events", NotificationURL: hook, ExpiresAt: time.Now().Add(life)}
			edit(&s)
			w.set(func() { w.graph[s.ID] = s })
		}
	}
	all := func(*ooo.GraphSubscription) {}
	listing := func(pages ...page) func(w *world) {
		return func(w *world) { w.set(func() { w.pages = pages }) }
	}
	both := func(some ...func(w *world)) func(w *world) {
		return func(w *world) {
			for _, happens := range some {
				happens(w)
			}
		}
	}
	wait := page{err: &ooo.Throttled{After: 7 * time.Minute}}
	known := page{ids: []ooo.SubscriptionID{"sub-1"}}
	broken := page{err: fmt.Errorf("%w: Graph repeats a page", ooo.ErrUnavailable)}
	tests := map[string]struct {
		happens func(w *world)
		found   subscribe.SweepResult // by the first sweep
		calls   string                // after the list
		id      ooo.SubscriptionID
	}{
		"all is as recorded":                     {func(*world) {}, subscribe.SweepResult{Known: 1}, "", "sub-1"},
		"what is gone is made again":             {func(w *world) { w.forget() }, subscribe.SweepResult{Lost: 1}, "patch sub-1, create", "sub-2"},
		"an empty list though it lives":          {listing(page{}), subscribe.SweepResult{Lost: 1}, "patch sub-1", "sub-1"},
		"sixty empty pages before it":            {listing(append(make([]page, 60), known)...), subscribe.SweepResult{Known: 1}, "", "sub-1"},
		"a wait between the pages":               {listing(page{}, wait, known), subscribe.SweepResult{Known: 1}, "", "sub-1"},
		"a list that breaks off":                 {both(stray(all), listing(page{ids: []ooo.SubscriptionID{"stray"}}, broken)), subscribe.SweepResult{Surplus: 1, Incomplete: true}, "delete stray", "sub-1"},
		"what is nobody's is deleted":            {stray(all), subscribe.SweepResult{Known: 1, Surplus: 1}, "delete stray", "sub-1"},
		"a double one is deleted":                {stray(func(s *ooo.GraphSubscription) { s.Resource = "users/" + string(annID) + "/events" }), subscribe.SweepResult{Known: 1, Surplus: 1}, "delete stray", "sub-1"},
		"one that names no mailbox is deleted":   {stray(func(s *ooo.GraphSubscription) { s.Resource = "/communications/x" }), subscribe.SweepResult{Known: 1, Surplus: 1}, "delete stray", "sub-1"},
		"another service's is left alone":        {stray(func(s *ooo.GraphSubscription) { s.NotificationURL = "https://other.example/x" }), subscribe.SweepResult{Known: 1, Foreign: 1}, "", "sub-1"},
		"what has expired is left alone":         {stray(func(s *ooo.GraphSubscription) { s.ExpiresAt = time.Now() }), subscribe.SweepResult{Known: 1}, "", "sub-1"},
		"Graph is away when it is to be deleted": {both(stray(all), func(w *world) { w.set(func() { w.fail = once("delete stray", ooo.ErrUnavailable) }) }), subscribe.SweepResult{Known: 1, Surplus: 1}, "delete stray, delete stray", "sub-1"},
		"it is gone when it is to be deleted":    {both(stray(all), func(w *world) { w.set(func() { w.fail = once("delete stray", ooo.ErrSubscriptionGone) }) }), subscribe.SweepResult{Known: 1, Surplus: 1}, "delete stray", "sub-1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			covered(t, func(t *testing.T, w *world) {
				tt.happens(w)
				pass(30 * time.Minute)
				var others []string
				for _, call := range strings.Split(w.story(), ", ") {
					if call != "list" {
						others = append(others, call)
					}
				}
				if got := strings.Join(others, ", "); got != tt.calls {
					t.Errorf("calls beside the list = %q, want %q", got, tt.calls)
				}
				if len(w.swept) != 1 || w.swept[0] != tt.found {
					t.Errorf("found = %+v, want %+v once", w.swept, tt.found)
				}
				if s := w.sub(annID); s.State != ooo.SubscriptionLive || s.ID != tt.id || w.graph[s.ID].ID == "" {
					t.Errorf("record = %s %s, want %s live", s.ID, s.State, tt.id)
				}
				if hints, _ := w.store.Hints(t.Context()); len(hints) != 0 {
					t.Errorf("hints = %+v, want none left", hints)
				}
			}, sweeping)
		})
	}
}

func TestAStrayThatCanNotBeDeletedIsTriedAgainWithGrowingWaits(t *testing.T) {
	covered(t, func(t *testing.T, w *world) {
		w.set(func() { w.fail = func(string) error { return ooo.ErrUnavailable } })
		for range 12 { // as each sweep does
			w.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintStray, Subject: "stray", SubscriptionID: "stray"})
			pass(30 * time.Minute)
		}
		made, at := w.timed()
		wantGrowing(t, at, 3*time.Second, 10*time.Minute)
		w.failFirst(0, nil)
		pass(10 * time.Minute)
		if got := w.story(); got != "delete stray" || made[0] != got {
			t.Errorf("calls = %v, then %s, want it deleted in the end", made, got)
		}
		w.settled("sub-1", 0)
	})
}

func TestASweepFindsTheAnswerThatWasLost(t *testing.T) {
	starting(t, func(w *world) {
		w.lost = func(what string) bool { return what == "create" }
		w.fail = func(what string) error { // once it has made one
			if what == "create" && w.number > 0 {
				return ooo.ErrSubscriptionDenied
			}
			return nil
		}
	}, func(t *testing.T, w *world) {
		pass(10 * time.Minute)
		w.settled("sub-1", 1)
		if w.swept[0] != (subscribe.SweepResult{Adopted: 1}) {
			t.Errorf("found = %+v, want one to be adopted", w.swept[0])
		}
	}, sweeping)
}

func TestAListIsReadAtThePaceOfGraph(t *testing.T) {
	covered(t, func(t *testing.T, w *world) {
		w.set(func() { w.pages = make([]page, 60) })
		pass(10 * time.Minute)
		made, at := w.timed()
		if n := len(at) - 1; n < 60 || made[n-1] != "list" { // and a patch
			t.Fatalf("%d calls, want 60 pages and a patch", n+1)
		}
		for i := range len(at) - 27 {
			if took := at[i+25].Sub(at[i]); took < 20*time.Second {
				t.Fatalf("26 calls in %v, want 25 in 20 s at most", took)
			}
		}
	}, sweeping)
}

func TestAListThatFailsIsTriedAgain(t *testing.T) {
	covered(t, func(t *testing.T, w *world) {
		away := page{err: ooo.ErrUnavailable}
		w.set(func() { w.pages = []page{away, away, away, away, away} })
		pass(10 * time.Minute)
		w.set(func() { w.pages = nil })
		pass(10 * time.Minute)
		if got := w.story(); strings.Count(got, "list") < 6 || strings.Contains(got, "sub-1") || len(w.swept) != 1 {
			t.Errorf("calls = %s, sweeps %+v, want nothing but lists until one is read", got, w.swept)
		}
	}, sweeping)
}

func TestOnlyTheOwnerOfTheFirstPartitionSweeps(t *testing.T) {
	covered(t, func(t *testing.T, w *world) {
		w.second.Store(true)
		pass(time.Hour)
		if got := w.story(); got != "" {
			t.Errorf("calls = %s, want none", got)
		}
		w.second.Store(false)
		pass(10 * time.Minute)
		if got := w.story(); got != "list" {
			t.Errorf("calls = %s, want a list", got)
		}
	}, sweeping)
}

// What is not known is not nobody's.
func TestRecordsThatCanNotBeReadLoseNothing(t *testing.T) {
	for name, records := range map[string]func(store.Loaded) (store.Loaded, error){
		"a partition": func(store.Loaded) (store.Loaded, error) { return store.Loaded{}, ooo.ErrUnavailable },
		"a record": func(store.Loaded) (store.Loaded, error) {
			return store.Loaded{Damaged: map[ooo.RecordID]error{annID: store.ErrDamaged}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			covered(t, func(t *testing.T, w *world) {
				pass(10 * time.Minute)
				if got := w.story(); got != "list" || len(w.swept) != 1 || w.swept[0].Surplus != 0 {
					t.Errorf("calls = %s, found %+v, want a list and nothing to be deleted", got, w.swept)
				}
			}, sweeping, func(cfg *subscribe.Config) {
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
