package redisstore_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// recordSuite is the part of the suite about users and what is found of them.
var recordSuite = map[string]func(t *testing.T, s store){
	"a record comes back as it was written": func(t *testing.T, s store) {
		started, err := s.Start(t.Context(), " Ann@Contoso.example ", person("ann"))
		if err != nil || started.Already || !started.Found {
			t.Fatalf("Start = %+v, %v, want a new, found user", started, err)
		}
		window := ooo.Setting{
			Status: ooo.Scheduled, ExternalAudience: "all", InternalReply: "in", ExternalReply: "<p>out</p>",
			Start: s.now().Add(-time.Hour).Truncate(time.Second), End: s.now().Add(time.Hour).Truncate(time.Second),
		}
		if got := s.read(started.Key, window); got != 1 {
			t.Errorf("sequence = %d, want 1", got)
		}
		u := s.user(started.Key)
		if u.Address != "Ann@Contoso.example" || u.Person != person("ann") || !u.Active || u.Condition != ooo.Watching {
			t.Errorf("User = %+v, want ann, watched, spelled as given", u)
		}
		if u.Setting == nil || u.Setting.Fingerprint() != window.Fingerprint() || u.State == nil || *u.State != (ooo.State{Away: true, Message: "out"}) {
			t.Errorf("Setting = %+v, State = %+v, want what was read", u.Setting, u.State)
		}
		if u.Sequence != 1 || u.ChangedAt.IsZero() || u.Delivery.State != ooo.DeliveryPending {
			t.Errorf("Sequence = %d, ChangedAt = %v, Delivery = %+v, want 1, a time, pending", u.Sequence, u.ChangedAt, u.Delivery)
		}
		edge := s.claimAt(ooo.WindowQueue)
		if !edge.Equal(window.End) {
			t.Errorf("window queue is due at %v, want %v", edge, window.End)
		}
	},
	"how a user stands is what its record says": func(t *testing.T, s store) {
		key := s.start("ann")
		for _, setting := range []ooo.Setting{{}, off, on} {
			if setting.Status != "" {
				s.read(key, setting)
			}
			u := s.user(key)
			want := ooo.User{Key: key, Address: u.Address, Active: true, Person: ooo.Person{ID: u.Person.ID},
				Sequence: u.Sequence, Revision: u.Revision, State: u.State}
			if got, err := s.Standing(t.Context(), key); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Standing = %+v, %v, want %+v", got, err, want)
			}
		}
		if _, err := s.Standing(t.Context(), ooo.KeyOf("bob@contoso.example")); !errors.Is(err, ooo.ErrNotMonitored) {
			t.Errorf("Standing of a stranger = %v, want ErrNotMonitored", err)
		}
	},
	"starting again keeps the state and takes over the spelling": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		started, err := s.Start(t.Context(), "ANN@contoso.example", ooo.Person{})
		if err != nil || !started.Already || !started.Found {
			t.Fatalf("Start = %+v, %v, want it known", started, err)
		}
		if u := s.user(key); u.Address != "ANN@contoso.example" || u.Sequence != 1 || u.State == nil {
			t.Errorf("User = %+v, want the state kept and the new spelling", u)
		}
		if got := s.claims(ooo.ReadQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want nothing due", got)
		}
	},
	"a user who is not found yet is identified by the reader": func(t *testing.T, s store) {
		started, err := s.Start(t.Context(), "ann@contoso.example", ooo.Person{})
		if err != nil || started.Found {
			t.Fatalf("Start = %+v, %v, want it not found", started, err)
		}
		if got := s.claims(ooo.SubscribeQueue, long); len(got) != 0 {
			t.Errorf("subscribe queue = %+v, want nothing before it is found", got)
		}
		c := s.claim(ooo.ReadQueue, started.Key, long)
		if c.ObjectID != "" {
			t.Errorf("ObjectID = %q, want none", c.ObjectID)
		}
		s.must(s.Identify(t.Context(), c, person("ann")))
		s.done(c, s.now())
		if c = s.claim(ooo.ReadQueue, started.Key, long); c.ObjectID != "id-ann" {
			t.Errorf("ObjectID = %q, want id-ann", c.ObjectID)
		}
		s.claim(ooo.SubscribeQueue, started.Key, long)
	},
	"only changes get a sequence number": func(t *testing.T, s store) {
		key := s.start("ann")
		for i, step := range []struct {
			setting  ooo.Setting
			sequence int64
		}{
			{off, 1}, {ooo.Setting{Status: ooo.Disabled, ExternalReply: "new"}, 1}, {on, 2}, {off, 3},
		} {
			if got := s.read(key, step.setting); got != step.sequence {
				t.Errorf("sequence after step %d = %d, want %d", i, got, step.sequence)
			}
		}
		if got, want := s.kinds(key), "started changed changed changed"; got != want {
			t.Errorf("history = %s, want %s", got, want)
		}
	},
	"an unchanged user's claim carries the fingerprint": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key})
		s.must(err)
		if c := s.claim(ooo.ReadQueue, key, long); c.Fingerprint != on.Fingerprint() {
			t.Errorf("Fingerprint = %q, want %q", c.Fingerprint, on.Fingerprint())
		}
	},
	"a record that moved on refuses a decision made before": func(t *testing.T, s store) {
		key := s.start("ann")
		before := s.user(key).Revision
		s.read(key, on)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key})
		s.must(err)
		c := s.claim(ooo.ReadQueue, key, long)
		if _, err := s.Record(t.Context(), c, ooo.Change{Revision: before, Setting: off}); !errors.Is(err, ooo.ErrStale) {
			t.Errorf("Record = %v, want ErrStale", err)
		}
	},
	"a notification after the poll has seen a change is late": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, off)
		look := func(source ooo.Source, setting *ooo.Setting) (time.Duration, bool) {
			t.Helper()
			_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key, Source: source, ID: "n1", Urgent: true})
			s.must(err)
			c := s.claim(ooo.ReadQueue, key, long)
			defer func() { s.done(c, s.now().Add(time.Hour)) }()
			if setting != nil {
				s.look(c, *setting)
				return 0, false
			}
			late, known, err := s.Announced(t.Context(), c)
			s.must(err)
			return late, known
		}
		if _, known := look(ooo.SourceNotification, nil); known {
			t.Error("Announced = true before the poll saw anything, want false")
		}
		look("", &on) // the poll sees a change
		if late, known := look(ooo.SourceNotification, nil); !known || late < 0 || late > time.Minute {
			t.Errorf("Announced = %v, %t, want it late by a moment", late, known)
		}
		if _, known := look(ooo.SourceNotification, nil); known {
			t.Error("Announced = true a second time, want false")
		}
		look(ooo.SourceNotification, &off) // announced first
		if _, known := look(ooo.SourceNotification, nil); known {
			t.Error("Announced = true of what a notification had announced, want false")
		}
	},
	"unknown keeps the state and is told once": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		for range 2 {
			_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key})
			s.must(err)
			c := s.claim(ooo.ReadQueue, key, long)
			s.must(s.Unknown(t.Context(), c, "denied", s.now()))
			s.done(c, s.now().Add(time.Hour))
		}
		u := s.user(key)
		if u.Condition != ooo.Unknown || u.Reason != "denied" || u.State == nil || !u.State.Away {
			t.Errorf("User = %+v, want unknown with the last state", u)
		}
		if got := s.read(key, on); got != 1 {
			t.Errorf("sequence = %d, want no new state", got)
		}
		if u := s.user(key); u.Condition != ooo.Watching || u.Reason != "" {
			t.Errorf("Condition = %s (%s), want watching", u.Condition, u.Reason)
		}
		if got, want := s.kinds(key), "started changed unknown known"; got != want {
			t.Errorf("history = %s, want %s", got, want)
		}
	},
	"the edge of a window is no reading of an unreadable mailbox": func(t *testing.T, s store) {
		key := s.start("ann")
		soon := s.now().Add(500 * time.Millisecond)
		window := ooo.Setting{Status: ooo.Scheduled, Start: soon, End: soon.Add(time.Hour), ExternalReply: "Away"}
		s.read(key, window)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key})
		s.must(err)
		c := s.claim(ooo.ReadQueue, key, long)
		s.must(s.Unknown(t.Context(), c, "denied", s.now()))
		s.done(c, s.now().Add(time.Hour))
		edge := s.claim(ooo.WindowQueue, key, long)
		if got := s.look(edge, window); got != 2 {
			t.Errorf("sequence = %d, want the window to open", got)
		}
		if u := s.user(key); u.Condition != ooo.Unknown || u.Reason != "denied" || !u.State.Away {
			t.Errorf("User = %+v, want it away and still unknown", u)
		}
	},
	"a stop takes the user out of everything but the cover": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		held := s.claim(ooo.SubscribeQueue, key, long)
		s.must(s.SaveSubscription(t.Context(), held, ooo.Subscription{Resource: "r", ID: "sub"}))
		s.done(held, s.now().Add(time.Hour))
		s.must(s.Stop(t.Context(), key))
		if err := s.Stop(t.Context(), key); !errors.Is(err, ooo.ErrNotMonitored) {
			t.Errorf("second Stop = %v, want ErrNotMonitored", err)
		}
		for _, q := range []ooo.Queue{ooo.ReadQueue, ooo.WindowQueue, ooo.DeliverQueue} {
			if got := s.claims(q, long); len(got) != 0 {
				t.Errorf("Claim in %s = %+v, want nothing", q, got)
			}
		}
		c := s.claim(ooo.SubscribeQueue, key, long)
		if u := s.user(key); u.Active || len(u.Subscriptions) != 1 {
			t.Errorf("User = %+v, want it inactive with its subscription", u)
		}
		s.must(s.DropSubscription(t.Context(), c, "r"))
		s.must(s.Forget(t.Context(), c))
		s.done(c, time.Time{})
		if _, err := s.User(t.Context(), key); !errors.Is(err, ooo.ErrNotMonitored) {
			t.Errorf("User = %v, want ErrNotMonitored", err)
		}
		if _, err := s.History(t.Context(), key, 10); !errors.Is(err, ooo.ErrNotMonitored) {
			t.Errorf("History = %v, want ErrNotMonitored", err)
		}
	},
	"a reader that was overtaken by a stop writes nothing": func(t *testing.T, s store) {
		key := s.start("ann")
		c := s.claim(ooo.ReadQueue, key, long)
		s.must(s.Stop(t.Context(), key))
		if _, err := s.Record(t.Context(), c, ooo.Change{Revision: 1, Setting: on}); !errors.Is(err, ooo.ErrStale) {
			t.Errorf("Record = %v, want ErrStale", err)
		}
		s.done(c, s.now())
		if got := s.claims(ooo.ReadQueue, long); len(got) != 0 {
			t.Errorf("Claim = %+v, want the user gone", got)
		}
	},
	"started again before it was forgotten, a user begins anew": func(t *testing.T, s store) {
		key := s.start("ann")
		s.read(key, on)
		first := s.deliverable(key)
		s.ends(first, ooo.DeliveryDelivered, 0, false)
		held := s.claim(ooo.SubscribeQueue, key, long)
		s.must(s.Stop(t.Context(), key))
		s.start("ann")
		s.must(s.Forget(t.Context(), held)) // planned before the start: must not take the record
		s.done(held, time.Time{})
		if u := s.user(key); !u.Active || u.State != nil || u.Condition != ooo.Pending {
			t.Errorf("User = %+v, want it pending", u)
		}
		s.read(key, on)
		if again := s.deliverable(key).WebhookID; again == first.WebhookID {
			t.Errorf("webhook-id = %s again, want another", again)
		}
		s.claim(ooo.SubscribeQueue, key, long)
	},
	"users come page by page in the order of addresses": func(t *testing.T, s store) {
		var addresses []string
		for i := range 25 {
			addresses = append(addresses, fmt.Sprintf("user%02d@contoso.example", (i*7)%25))
		}
		s.must(s.StartAll(t.Context(), addresses))
		var got []string
		for cursor, pages := "", 0; ; pages++ {
			users, next, err := s.Users(t.Context(), 10, cursor)
			s.must(err)
			for _, u := range users {
				got = append(got, u.Address)
			}
			if cursor = next; next == "" {
				if pages != 2 {
					t.Errorf("pages = %d, want 3", pages+1)
				}
				break
			}
		}
		for i, address := range got {
			if want := fmt.Sprintf("user%02d@contoso.example", i); address != want {
				t.Errorf("user %d = %s, want %s", i, address, want)
			}
		}
		monitored, depths, err := s.Depths(t.Context())
		if len(got) != 25 || monitored != 25 || err != nil || len(depths) != len(ooo.Queues) || depths[0].Users != 25 {
			t.Errorf("%d users, Depths = %d, %+v, %v, want 25 everywhere", len(got), monitored, depths, err)
		}
	},
	"a subscription shows when it last spoke": func(t *testing.T, s store) {
		key := s.start("ann")
		c := s.claim(ooo.SubscribeQueue, key, long)
		for _, resource := range []string{"/users/{id}/events", "/users/{id}/messages", "/users/{id}/contacts"} {
			s.must(s.SaveSubscription(t.Context(), c, ooo.Subscription{Resource: resource, ID: ooo.SubscriptionID(resource)}))
		}
		began := s.now().Truncate(time.Millisecond)
		for _, resource := range []string{"/users/{id}/messages", "/users/{id}/events", "/users/{id}/messages", "forged"} {
			_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: key, Source: ooo.SourceNotification, Spoke: ooo.ResourceTag(resource)})
			s.must(err)
		}
		for _, sub := range s.user(key).Subscriptions {
			if silent := sub.Resource == "/users/{id}/contacts"; silent != sub.SpokeAt.Before(began) {
				t.Errorf("%s spoke at %v, want it silent: %t", sub.Resource, sub.SpokeAt, silent)
			}
		}
	},
	"subscriptions and lifecycle events are kept until they are done with": func(t *testing.T, s store) {
		key := s.start("ann")
		removed := ooo.Lifecycle{SubscriptionID: "sub-1", Kind: ooo.SubscriptionWasRemoved, At: s.now().Truncate(time.Millisecond)}
		s.must(s.Heard(t.Context(), key, removed, removed))
		c := s.claim(ooo.SubscribeQueue, key, long)
		s.must(s.SaveSubscription(t.Context(), c, ooo.Subscription{Resource: "r", ID: "sub-1", State: ooo.SubscriptionLive, Failures: 2}))
		u := s.user(key)
		if len(u.Lifecycle) != 1 || u.Lifecycle[0] != removed || len(u.Subscriptions) != 1 || u.Subscriptions[0].Failures != 2 {
			t.Fatalf("User = %+v, want one event and one subscription", u)
		}
		again := removed
		again.At = removed.At.Add(time.Second)
		s.must(s.Heard(t.Context(), key, again))
		s.must(s.ClearLifecycle(t.Context(), c, removed))
		if got := s.user(key).Lifecycle; len(got) != 1 || !got[0].At.Equal(again.At) {
			t.Errorf("Lifecycle = %+v, want the one that came meanwhile", got)
		}
		s.must(s.ClearLifecycle(t.Context(), c, again))
		for i := range 100 {
			s.must(s.Heard(t.Context(), key, ooo.Lifecycle{SubscriptionID: ooo.SubscriptionID(fmt.Sprint(i)), Kind: ooo.NotificationsMissed, At: s.now()}))
		}
		if got := len(s.user(key).Lifecycle); got != 32 {
			t.Errorf("%d events are kept, want 32 at most", got)
		}
		if err := s.Heard(t.Context(), ooo.KeyOf("bob@contoso.example"), removed); err != nil {
			t.Errorf("Heard of nobody = %v, want nil", err)
		}
	},
}

// claimAt returns when the next user of q is due.
func (s store) claimAt(q ooo.Queue) time.Time {
	s.t.Helper()
	b, err := s.Claim(s.t.Context(), q, 500, long)
	s.must(err)
	monitored, _, err := s.Depths(s.t.Context())
	s.must(err)
	if len(b.Claims) != 0 || monitored == 0 {
		s.t.Fatalf("Claim in %s = %+v, want nothing due yet", q, b)
	}
	return s.Soonest(q)
}
