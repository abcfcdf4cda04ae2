package subscribe_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

func TestNewMailboxIsCovered(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		r := f.requests[0]
		if r.Resource != "/users/"+string(annID)+"/events" || r.ChangeType != "created,updated,deleted" {
			t.Errorf("requested %s of %s, want all changes of the user's events", r.ChangeType, r.Resource)
		}
		if r.NotificationURL != hook || r.LifecycleURL != want.Lifecycle || len(r.ClientState) > 128 {
			t.Errorf("request = %+v, want both URLs and a short clientState", r)
		}
		if left := time.Until(r.ExpiresAt); left > lifetime || left < lifetime-2*time.Second {
			t.Errorf("requested lifetime = %v, want %v", left, lifetime)
		}
		s := f.sub(annID)
		if s.KeyTag != keys.Tag() || !s.ExpiresAt.Equal(r.ExpiresAt) || s.RenewedAt.IsZero() {
			t.Errorf("record = %+v, want what Graph returned", s)
		}
		if first := f.store.Saves()[1].Record.Subscriptions[0]; first.State != ooo.SubscriptionCreating || first.ID != "" {
			t.Errorf("first record = %+v, want creating", first)
		}
		f.expect("sub-1", 0)
		advance(lifetime / 2)
		if got := f.takeCalls(); got != "" {
			t.Errorf("calls before the renewal is due = %s, want none", got)
		}
	})
}

func TestRenewalAtTwoThirdsOfGrantedLifetime(t *testing.T) {
	const granted = 45 * time.Minute
	withUncovered(t, func(f *fixture) { f.grantLimit = granted }, func(t *testing.T, f *fixture) {
		advance(5 * granted)
		calls, times := f.takeTimedCalls()
		if len(calls) < 8 || len(calls) > 9 {
			t.Fatalf("%d calls in five lifetimes, want one creation and 7 or 8 renewals", len(calls))
		}
		for i := 1; i < len(times); i++ {
			if after := times[i].Sub(times[i-1]); calls[i] != "patch sub-1" || after < granted*56/100 || after > granted*67/100 {
				t.Errorf("%s after %v of %v, want a renewal at two thirds, up to a tenth earlier", calls[i], after, granted)
			}
		}
		f.expect("sub-1", 1)
	})
}

func TestEventsOfCoveredMailbox(t *testing.T) {
	type test struct {
		event func(f *fixture)
		calls string
		id    ooo.SubscriptionID // empty: nothing is left
		reads int
	}
	tests := map[string]test{
		"check, it exists":  {func(f *fixture) { f.hint("not listed") }, "patch sub-1", "sub-1", 0},
		"check, it is gone": {func(f *fixture) { f.loseAll(); f.hint(string(ooo.SubscriptionWasRemoved)) }, "patch sub-1, create", "sub-2", 1},
		"reauthorize five times": {func(f *fixture) {
			for range 5 {
				f.hint(string(ooo.ReauthorizationRequired))
				advance(time.Second)
			}
		}, "patch sub-1", "sub-1", 0},
		"check, Graph unavailable at first": {func(f *fixture) {
			f.failWith("", ooo.ErrUnavailable, ooo.ErrUnavailable)
			f.hint(string(ooo.ReauthorizationRequired))
		}, "patch sub-1, patch sub-1, patch sub-1", "sub-1", 0},
		"removed and reauthorize received by other replicas": {func(f *fixture) {
			f.hint("not listed")
			advance(time.Second)
			f.loseAll()
			for _, event := range []ooo.LifecycleKind{ooo.SubscriptionWasRemoved, ooo.ReauthorizationRequired} {
				h := ooo.Hint{ID: annID, Kind: ooo.HintSubscription, Subject: string(event), Nonce: string(event)}
				must.NoError(f.t, f.store.LeaveHints(f.t.Context(), false, h))
			}
		}, "patch sub-1, patch sub-1, create", "sub-2", 1},
		"check that fails five times, gone, creation fails": { // with the first wait again
			func(f *fixture) {
				f.failWith("", ooo.ErrUnavailable, ooo.ErrUnavailable, ooo.ErrUnavailable, ooo.ErrUnavailable, ooo.ErrUnavailable, nil, ooo.ErrUnavailable)
				f.loseAll()
				f.hint(string(ooo.SubscriptionWasRemoved))
			}, strings.Repeat("patch sub-1, ", 6) + "create, create", "sub-2", 1},
		"check that fails four times, and then in another way": {func(f *fixture) { // with its first wait
			f.failWith("", ooo.ErrUnavailable, ooo.ErrUnavailable, ooo.ErrUnavailable, ooo.ErrUnavailable, ooo.ErrSubscriptionDenied)
			f.hint("not listed")
		}, strings.Repeat("patch sub-1, ", 5) + "patch sub-1", "sub-1", 0},
		"reauthorize right after the creation": {func(f *fixture) {
			f.loseAll()
			f.hint("not listed")
			advance(time.Second)
			f.hint(string(ooo.ReauthorizationRequired))
		}, "patch sub-1, create, patch sub-2", "sub-2", 1},
		"check from a clock an hour ahead": {func(f *fixture) {
			f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintSubscription, At: time.Now().Add(time.Hour)})
		}, "patch sub-1", "sub-1", 0},
		"check from a clock an hour behind": {func(f *fixture) {
			f.loseAll()
			f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintSubscription, At: time.Now().Add(-time.Hour)})
		}, "patch sub-1, create", "sub-2", 1},

		// Redis came back with data from before the subscription was recorded, and was read by
		// the sweep before its owner restored it.
		"stray that the owner knows": {func(f *fixture) {
			f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintStray, Subject: "sub-1"})
		}, "", "sub-1", 0},

		"stray that is being replaced": {func(f *fixture) {
			f.failWith("create", errUnanswered)
			f.edit(func(s *ooo.Subscription) { // as an owner leaves it that dies after five failures
				s.ID, s.State, s.Replaces = "", ooo.SubscriptionCreating, "sub-1"
				s.Failures, s.ErrorKind = 5, ooo.SubscriptionErrorUnavailable
			})
			f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintStray, Subject: "sub-1"})
		}, "create, create, delete sub-1", "sub-2", 1},

		"limit of lifetimes at the renewal": {func(f *fixture) {
			f.set(func() { f.maxLifetime = lifetime / 3 })
			f.edit(func(s *ooo.Subscription) { s.RenewAt = time.Now() })
		}, "patch sub-1, patch sub-1", "sub-1", 0},

		"replacement, creation fails once": {func(f *fixture) {
			f.failWith("create", ooo.ErrUnavailable)
			f.dropKey()
		}, "create, create, delete sub-1", "sub-2", 1},
		"replacement, deletion fails once": {func(f *fixture) {
			f.failWith("delete sub-1", ooo.ErrUnavailable)
			f.dropKey()
		}, "create, delete sub-1, delete sub-1", "sub-2", 1},
		"replacement, one per resource, creation fails once after deletion": {func(f *fixture) {
			f.set(func() { f.onePerResource = true })
			f.failWith("create", nil, ooo.ErrUnavailable)
			f.dropKey()
		}, "create, delete sub-1, create, create", "sub-2", 1},

		"monitoring stops, it is gone": {func(f *fixture) {
			f.loseAll()
			f.monitor(annID, false)
		}, "delete sub-1", "", 0},
		"monitoring stops and starts, answer to the deletion lost": {func(f *fixture) {
			f.failWith("delete sub-1", errAnswerLost)
			f.monitor(annID, false)
			advance(time.Second)
			f.monitor(annID, true)
		}, "delete sub-1, patch sub-1, create", "sub-2", 1},
		"monitoring stops, and starts during the deletion": {func(f *fixture) {
			f.failBy(func(call string) error {
				if call != "delete sub-1" {
					return nil
				}
				f.monitor(annID, true)
				advance(time.Second)
				return errAnswerLost
			})
			f.monitor(annID, false)
		}, "delete sub-1, patch sub-1, create", "sub-2", 1},
		"monitoring stops, Graph unavailable at first": {func(f *fixture) {
			f.failWith("", ooo.ErrUnavailable, ooo.ErrUnavailable)
			f.monitor(annID, false)
		}, "delete sub-1, delete sub-1, delete sub-1", "", 0},
	}
	eachCovered(t, tests, func(t *testing.T, f *fixture, tt test) {
		advance(15 * time.Minute)
		tt.event(f)
		advance(2 * time.Minute)
		if got := f.takeCalls(); got != tt.calls {
			t.Errorf("calls = %s, want %s", got, tt.calls)
		}
		f.expect(tt.id, tt.reads)
	})
}

func TestSettingsChange(t *testing.T) {
	secrets := func(secrets ...string) func(*subscribe.Config) {
		return func(cfg *subscribe.Config) {
			cfg.Keys = func(context.Context) (ooo.ClientStateKeys, error) { return ooo.NewClientStateKeys(secrets...), nil }
		}
	}
	public := func(urls *subscribe.URLs) func(*subscribe.Config) {
		return func(cfg *subscribe.Config) { cfg.URLs = func() *subscribe.URLs { return urls } }
	}
	type test struct {
		edit func(*subscribe.Config)
		want string
	}
	tests := map[string]test{
		"resource changed":   {func(cfg *subscribe.Config) { cfg.Resources = []string{messages} }, "create, delete sub-1"},
		"public URL removed": {public(&subscribe.URLs{}), "delete sub-1"},
		"public URL unknown": {public(nil), ""},
		"secret removed":     {secrets("other"), "create, delete sub-1"},
		"secret rotated":     {secrets("newer", "secret"), ""},
		"public URL changed, and resource data switched on": {func(cfg *subscribe.Config) {
			public(&subscribe.URLs{Notification: "https://new.example/x", Lifecycle: want.Lifecycle})(cfg)
			cfg.Certificate = func() ooo.Certificate { return ooo.Certificate{ID: "c1"} }
		}, "patch sub-1, create, delete sub-1"},
	}
	eachCovered(t, tests, func(t *testing.T, f *fixture, tt test) {
		uncovered := false
		f.failBy(func(call string) error { // called before each call
			uncovered = uncovered || call == "delete sub-1" && len(f.subscriptions) == 1 && tt.want != "delete sub-1"
			return nil
		})
		defer f.start(tt.edit)()
		advance(time.Minute)
		if got := f.takeCalls(); got != tt.want || uncovered || f.store.Record(t, annID) == nil {
			t.Errorf("calls = %q, uncovered %t, want %q, always covered, and a record", got, uncovered, tt.want)
		}
	})
}

func TestPublicURLChangesAtRunTime(t *testing.T) {
	const size = 150
	inBubble(t, func(t *testing.T, f *fixture) {
		var urls atomic.Pointer[subscribe.URLs]
		f.monitorMany(size)
		defer f.start(func(cfg *subscribe.Config) { cfg.URLs = urls.Load })()
		advance(time.Minute)
		urls.Store(&want.URLs)
		advance(8 * time.Second) // for 186 writes
		if n := strings.Count(f.takeCalls(), "create"); n != size {
			t.Errorf("creations = %d, want %d", n, size)
		}
		urls.Store(&subscribe.URLs{Notification: "https://new.example/x", Lifecycle: "https://new.example/y"})
		advance(7 * time.Minute)
		got := f.takeCalls()
		patched, created, deleted := strings.Count(got, "patch"), strings.Count(got, "create"), strings.Count(got, "delete")
		if patched != size || created != size || deleted != size {
			t.Errorf("%d patches, %d creations, %d deletions, want %d of each within minutes", patched, created, deleted, size)
		}
	})
}

func TestResourceData(t *testing.T) {
	all := []string{events, messages, "/users/{id}/contacts", "/users/{id}/messages?$filter=isRead eq false", "/users/{id}/events?$select=id"}
	var certificate atomic.Value
	certificate.Store("c1")
	withUncovered(t, func(*fixture) {}, func(t *testing.T, f *fixture) {
		advance(time.Minute)
		want := []string{"events?$select=id,showAs,isAllDay,start,end", "messages?$select=id,receivedDateTime", "contacts?$select=id,lastModifiedDateTime",
			"messages?$filter=isRead eq false&$select=id,receivedDateTime", "events?$select=id"}
		if len(f.requests) != len(want) {
			t.Fatalf("%d requests, want %d", len(f.requests), len(want))
		}
		for i, r := range f.requests {
			if r.Resource != "/users/"+string(annID)+"/"+want[i] || r.Certificate.ID != "c1" || time.Until(r.ExpiresAt) > 24*time.Hour {
				t.Errorf("request = %s until %v, want %s for a day at most", r.Resource, r.ExpiresAt, want[i])
			}
		}
		f.takeCalls()
		certificate.Store("c2")
		advance(time.Minute)
		f.edit(func(s *ooo.Subscription) { s.RenewAt = time.Now() })
		advance(time.Minute)
		if got, id := f.takeCalls(), f.sub(annID).ID; got != "patch "+string(id) {
			t.Errorf("calls after a change of the certificate = %s, want only the renewal of %s", got, id)
		}
		if sent, saved := f.requests[len(want)].Certificate.ID, f.sub(annID).CertificateID; sent != "c2" || saved != "c2" {
			t.Errorf("certificate = %s sent, %s saved, want c2", sent, saved)
		}
		certificate.Store("")
		advance(time.Minute)
		f.edit(func(s *ooo.Subscription) { s.RenewAt, s.RenewedAt = time.Now(), time.Now().Add(-1000*time.Hour) }) // about to expire
		advance(time.Minute)
		if n := strings.Count(f.takeCalls(), "create"); n != len(all) {
			t.Errorf("%d subscriptions were replaced after resource data was switched off, want all %d", n, len(all))
		}
	}, func(cfg *subscribe.Config) {
		cfg.Resources, cfg.Lifetime = all, 72*time.Hour
		cfg.Certificate = func() ooo.Certificate { return ooo.Certificate{ID: certificate.Load().(string)} }
	})
}

func TestNoCallWithoutConfirmedOwnership(t *testing.T) {
	withCovered(t, func(t *testing.T, f *fixture) {
		f.registry.SetLate(true)
		f.hint("")
		advance(time.Minute)
		if got := f.takeCalls(); got != "" {
			t.Errorf("calls without confirmed ownership = %s, want none", got)
		}
		f.registry.SetLate(false)
		advance(time.Second)
		if got := f.takeCalls(); got != "patch sub-1" {
			t.Errorf("calls after confirmation = %s, want the pending one", got)
		}
		f.set(func() { f.onePerResource = true })
		f.failBy(func(call string) error {
			f.registry.SetLate(call == "delete sub-1") // in the middle of a step
			return nil
		})
		f.dropKey()
		advance(time.Minute)
		if got := f.takeCalls(); got != "create, delete sub-1" {
			t.Errorf("calls = %s, want none after the delete", got)
		}
		f.registry.SetLate(false)
		advance(time.Second)
		f.expect("sub-2", 1)
	})
}

func TestNotificationTimeIsSavedRarely(t *testing.T) {
	withUncovered(t, func(*fixture) {}, func(t *testing.T, f *fixture) {
		advance(time.Second)
		f.takeCalls()
		began := time.Now()
		f.SetWait(t.Context(), ooo.SubscriptionWait, time.Hour) // delays only steps that call Graph
		f.monitor(idOf("bob"), true)
		advance(time.Second)
		saves := len(f.store.Saves())
		for range 40 {
			f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintRead, ResourceTag: ooo.ResourceTag(events)})
			advance(30 * time.Second)
		}
		if got := len(f.store.Saves()) - saves; got != 2 {
			t.Errorf("%d saves in 20 minutes of notifications, want 2", got)
		}
		subs := f.store.Record(t, annID).Subscriptions
		if at, other := subs[0].NotifiedAt, subs[1].NotifiedAt; at.Before(began.Add(10*time.Minute)) || !other.IsZero() {
			t.Errorf("last notifications = %v and %v, began at %v, want the first at most 10 minutes old, no other", at, other, began)
		}
		if got := f.takeCalls(); got != "" {
			t.Errorf("calls while Graph asks to wait = %s, want none", got)
		}
	}, func(cfg *subscribe.Config) { cfg.Resources = []string{events, messages} })
}
