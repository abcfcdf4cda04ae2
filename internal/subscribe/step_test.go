package subscribe_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

func TestANewMailboxIsCovered(t *testing.T) {
	covered(t, func(t *testing.T, w *world) {
		r := w.requests[0]
		if r.Resource != "/users/"+string(annID)+"/events" || r.ChangeType != "created,updated,deleted" {
			t.Errorf("asked for %s of %s, want all changes of the user's events", r.ChangeType, r.Resource)
		}
		if r.NotificationURL != hook || r.LifecycleURL != want.Lifecycle || len(r.ClientState) > 128 {
			t.Errorf("request = %+v, want both URLs of ours", r)
		}
		if left := time.Until(r.ExpiresAt); left > life || left < life-2*time.Second {
			t.Errorf("life asked for a moment ago = %v, want %v", left, life)
		}
		s := w.sub(annID)
		if s.KeyTag != keys.Tag() || !s.ExpiresAt.Equal(r.ExpiresAt) || s.RenewedAt.IsZero() {
			t.Errorf("record = %+v, want it as Graph returned it", s)
		}
		if first := w.store.Saves()[1].Record.Subscriptions[0]; first.State != ooo.SubscriptionCreating || first.ID != "" {
			t.Errorf("first record = %+v, want a note that it is asked for", first)
		}
		w.settled("sub-1", 0)
		pass(life / 2)
		if got := w.story(); got != "" {
			t.Errorf("calls of a quiet day = %s, want none", got)
		}
	})
}

func TestItIsRenewedAtAboutTwoThirdsOfWhatGraphReturned(t *testing.T) {
	const life = time.Hour
	starting(t, func(w *world) { w.grant = life }, func(t *testing.T, w *world) {
		pass(10 * life)
		made, at := w.timed()
		if len(made) < 15 || len(made) > 19 {
			t.Fatalf("%d calls in ten lives, want one creation and 14 to 18 renewals", len(made))
		}
		for i := 1; i < len(at); i++ {
			if after := at[i].Sub(at[i-1]); made[i] != "patch sub-1" || after < life*56/100 || after > life*67/100 {
				t.Errorf("%s after %v of %v, want a renewal at two thirds, up to a tenth earlier", made[i], after, life)
			}
		}
		w.settled("sub-1", 1)
	})
}

// A hint asks Graph by id: who answers lives, who doesn't is made again.
func TestHintsAreAnsweredByGraph(t *testing.T) {
	five := func(reason ooo.LifecycleKind) func(w *world) {
		return func(w *world) {
			for range 5 {
				w.hint(string(reason))
				pass(time.Second)
			}
		}
	}
	tests := map[string]struct {
		happens func(w *world)
		want    string
		id      ooo.SubscriptionID
		reads   int
	}{
		"it lives":                {func(w *world) { w.hint("not listed") }, "patch sub-1", "sub-1", 0},
		"it is gone":              {func(w *world) { w.forget(); w.hint(string(ooo.SubscriptionWasRemoved)) }, "patch sub-1, create", "sub-2", 1},
		"reauthorize, five times": {five(ooo.ReauthorizationRequired), "patch sub-1", "sub-1", 0},
		"Graph is away": {func(w *world) {
			w.failFirst(2, ooo.ErrUnavailable)
			w.hint(string(ooo.ReauthorizationRequired))
		}, "patch sub-1, patch sub-1, patch sub-1", "sub-1", 0},
		"it is removed, which other replicas hear of, and then that it is to be reauthorized": {func(w *world) {
			w.hint("not listed")
			pass(time.Second)
			w.forget()
			for _, event := range []ooo.LifecycleKind{ooo.SubscriptionWasRemoved, ooo.ReauthorizationRequired} {
				h := ooo.Hint{ID: annID, Kind: ooo.HintSubscription, Subject: string(event), Nonce: string(event)}
				if err := w.store.LeaveHints(w.t.Context(), false, h); err != nil {
					w.t.Fatal(err)
				}
			}
		}, "patch sub-1, patch sub-1, create", "sub-2", 1},
		"the clock of who left it is an hour ahead": {func(w *world) {
			w.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintSubscription, At: time.Now().Add(time.Hour)})
		}, "patch sub-1", "sub-1", 0},
		"the clock of who left it is an hour behind": {func(w *world) {
			w.forget()
			w.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintSubscription, At: time.Now().Add(-time.Hour)})
		}, "patch sub-1, create", "sub-2", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			covered(t, func(t *testing.T, w *world) {
				pass(time.Hour)
				tt.happens(w)
				pass(time.Minute)
				if got := w.story(); got != tt.want {
					t.Errorf("calls = %s, want %s", got, tt.want)
				}
				w.settled(tt.id, tt.reads)
			})
		})
	}
}

func TestAStoppedMailboxIsUncoveredAndRemoved(t *testing.T) {
	tests := map[string]struct {
		prepare func(w *world)
		want    string
	}{
		"it is deleted":         {func(*world) {}, "delete sub-1"},
		"it is gone already":    {func(w *world) { w.forget() }, "delete sub-1"},
		"Graph is away a while": {func(w *world) { w.failFirst(2, ooo.ErrUnavailable) }, "delete sub-1, delete sub-1, delete sub-1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			covered(t, func(t *testing.T, w *world) {
				tt.prepare(w)
				w.monitor(annID, false)
				pass(time.Minute)
				if got := w.story(); got != tt.want || len(w.graph) != 0 {
					t.Errorf("calls = %s with %d left in Graph, want %s and none", got, len(w.graph), tt.want)
				}
				if w.store.Record(t, annID) != nil {
					t.Errorf("record = %+v, want none", w.store.Record(t, annID))
				}
			})
		})
	}
}

func TestMailboxesFollowTheSettings(t *testing.T) {
	fixed := func(secrets ...string) func(*subscribe.Config) {
		return func(cfg *subscribe.Config) {
			cfg.Keys = func(context.Context) (ooo.ClientStateKeys, error) { return ooo.NewClientStateKeys(secrets...), nil }
		}
	}
	moved := subscribe.URLs{Notification: "https://new.example/x", Lifecycle: want.Lifecycle}
	other := subscribe.URLs{Notification: "https://new.example/x", Lifecycle: "https://new.example/y"}
	tests := map[string]struct {
		urls   *subscribe.URLs
		edit   func(*subscribe.Config)
		within time.Duration
		want   string
	}{
		"another resource":        {&want.URLs, func(cfg *subscribe.Config) { cfg.Resources = []string{messages} }, time.Minute, "create, delete sub-1"},
		"no public URL any more":  {&subscribe.URLs{}, nil, time.Minute, "delete sub-1"},
		"no public URL yet":       {nil, nil, time.Hour, ""},
		"another public URL":      {&moved, nil, time.Minute, "patch sub-1"},
		"another lifecycle URL":   {&other, nil, 7 * time.Minute, "patch sub-1, create, delete sub-1"},
		"a secret that is gone":   {&want.URLs, fixed("other"), time.Minute, "create, delete sub-1"},
		"a secret that is second": {&want.URLs, fixed("newer", "secret"), time.Minute, ""},
		"nothing new":             {&want.URLs, nil, time.Hour, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			covered(t, func(t *testing.T, w *world) {
				if w.urls = tt.urls; tt.edit == nil {
					tt.edit = func(*subscribe.Config) {}
				}
				uncovered := false
				w.set(func() {
					w.fail = func(what string) error { // before each call
						uncovered = uncovered || what == "delete sub-1" && len(w.graph) == 1 && tt.urls.Notification != ""
						return nil
					}
				})
				_, stop := w.start(tt.edit)
				defer stop()
				pass(tt.within)
				if got := w.story(); got != tt.want || uncovered {
					t.Errorf("calls = %q, uncovered %t, want %q and always covered", got, uncovered, tt.want)
				}
			})
		})
	}
}

func TestAPublicURLMayMoveAtRunTime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.urls = nil
		for i := range 300 {
			w.monitor(idOf(fmt.Sprint(i)), true)
		}
		s, stop := w.start()
		defer stop()
		pass(time.Minute)
		s.SetURLs(want.URLs)
		pass(time.Minute)
		if got := w.story(); strings.Count(got, "create") != 300 {
			t.Errorf("creations = %d, want 300", strings.Count(got, "create"))
		}
		s.SetURLs(subscribe.URLs{Notification: "https://new.example/x", Lifecycle: "https://new.example/y"})
		pass(7 * time.Minute)
		if got := w.story(); strings.Count(got, "patch") != 300 || strings.Count(got, "create") != 300 || strings.Count(got, "delete") != 300 {
			t.Errorf("%d patches, %d creations, %d deletions, want all 300 moved and replaced within minutes",
				strings.Count(got, "patch"), strings.Count(got, "create"), strings.Count(got, "delete"))
		}
	})
}

func TestResourceDataNamesPropertiesOfItsKind(t *testing.T) {
	all := []string{events, messages, "/users/{id}/contacts", "/users/{id}/messages?$filter=isRead eq false", "/users/{id}/events?$select=id"}
	starting(t, func(*world) {}, func(t *testing.T, w *world) {
		pass(time.Minute)
		want := []string{"events?$select=id,showAs,isAllDay,start,end", "messages?$select=id,receivedDateTime", "contacts?$select=id,lastModifiedDateTime",
			"messages?$filter=isRead eq false&$select=id,receivedDateTime", "events?$select=id"}
		for i, r := range w.requests {
			if r.Resource != "/users/"+string(annID)+"/"+want[i] || r.Certificate.ID != "c1" || time.Until(r.ExpiresAt) > 24*time.Hour {
				t.Errorf("request = %s until %v, want %s for a day at most", r.Resource, r.ExpiresAt, want[i])
			}
		}
	}, func(cfg *subscribe.Config) {
		cfg.Resources, cfg.Lifetime = all, 72*time.Hour
		cfg.Certificate = func() (ooo.Certificate, error) { return ooo.Certificate{ID: "c1"}, nil }
	})
}

func TestRedisAwayOnlyDelays(t *testing.T) {
	starting(t, func(w *world) {
		w.single = true
		w.fail = func(string) error { // Redis goes away while Graph makes it
			w.store.SetAway(true)
			return nil
		}
	}, func(t *testing.T, w *world) {
		pass(time.Minute)
		w.store.SetAway(false)
		w.set(func() { w.fail = func(string) error { return nil } })
		pass(time.Minute)
		if got := w.story(); got != "create" {
			t.Errorf("calls = %s, want one creation whose record is saved later", got)
		}
		w.settled("sub-1", 1)
	})
}

func TestNothingBeginsOutOfTime(t *testing.T) {
	covered(t, func(t *testing.T, w *world) {
		w.registry.SetLate(true)
		w.hint("")
		pass(time.Hour)
		if got := w.story(); got != "" {
			t.Errorf("calls while the ownership is not confirmed = %s, want none", got)
		}
		w.registry.SetLate(false)
		pass(time.Second)
		if got := w.story(); got != "patch sub-1" {
			t.Errorf("calls then = %s, want what is waiting", got)
		}
		w.set(func() {
			w.single = true
			w.fail = func(what string) error {
				w.registry.SetLate(what == "delete sub-1") // in the middle of a step
				return nil
			}
		})
		w.change(func(s *ooo.Subscription) { s.KeyTag = "withdrawn" })
		pass(time.Hour)
		if got := w.story(); got != "create, delete sub-1" {
			t.Errorf("calls = %s, want the step to end there", got)
		}
		w.registry.SetLate(false)
		pass(time.Second)
		w.settled("sub-2", 1)
	})
}

func TestTheBudgetKeepsAPartForTheUncovered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.took = time.Second
		for i := range 400 {
			w.monitor(idOf(fmt.Sprint(i)), true)
		}
		w.share = 0.5
		_, stop := w.start()
		defer stop()
		pass(time.Minute)
		_, at := w.timed()
		for i := range at {
			within := 0
			for _, later := range at[i:] {
				if later.Sub(at[i]) < 20*time.Second {
					within++
				}
			}
			if within > 245 { // of 500 for all
				t.Fatalf("%d writes within 20 s, want no more than the half of 485", within)
			}
		}
		if len(at) != 400 {
			t.Errorf("%d creations in a minute, want 400", len(at))
		}
		for i := range 400 { // all at once
			w.registry.Hint(ooo.Hint{ID: idOf(fmt.Sprint(i)), Kind: ooo.HintSubscription, Reason: "not listed"})
		}
		pass(2 * time.Second)
		w.story()
		for i := range 6 {
			w.monitor(idOf(fmt.Sprint("new", i)), true)
		}
		pass(1100 * time.Millisecond) // a call takes a second
		if got := strings.Count(w.story(), "create"); got != 6 {
			t.Errorf("%d of 6 new mailboxes are covered at once, want all before the others are examined", got)
		}
		pass(time.Minute)
		if hints, _ := w.store.Hints(t.Context()); len(hints) != 0 {
			t.Errorf("%d hints left, want none", len(hints))
		}
	})
}

func TestFewWritesAreInFlightAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.took = 5 * time.Second
		for i := range 200 {
			w.monitor(idOf(fmt.Sprint(i)), true)
		}
		_, stop := w.start()
		defer stop()
		pass(time.Minute)
		if made := len(w.made); w.peak != 48 || made != 200 {
			t.Errorf("%d writes with %d in flight, want 200 with 48 at most", made, w.peak)
		}
	})
}

func TestNotificationsAreNotedNowAndThen(t *testing.T) {
	covered(t, func(t *testing.T, w *world) {
		saves := len(w.store.Saves())
		began := time.Now()
		for range 40 { // of 30 s
			w.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintRead, ResourceTag: ooo.ResourceTag(events)})
			pass(30 * time.Second)
		}
		if got := len(w.store.Saves()) - saves; got != 2 {
			t.Errorf("%d saves in 20 minutes of notifications, want 2", got)
		}
		if at := w.sub(annID).NotifiedAt; at.Before(began.Add(10 * time.Minute)) {
			t.Errorf("spoke at %v after %v, want it at most 10 minutes old", at, began)
		}
	})
}
