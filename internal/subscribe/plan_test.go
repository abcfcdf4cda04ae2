package subscribe_test

import (
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

const (
	events = "/users/{id}/events"
	hook   = "https://monitor.example/graph/notifications"
)

var want = subscribe.Settings{Resources: []string{events}, NotificationURL: hook, LifecycleURL: "https://monitor.example/graph/lifecycle", Keys: keys}

var keys, rotated = ooo.NewClientStateKeys("secret"), ooo.NewClientStateKeys("newer", "secret")

// with is want with other secrets.
func with(keys ooo.ClientStateKeys) subscribe.Settings {
	other := want
	other.Keys = keys
	return other
}

// live is a subscription as it is most of the time, changed by the given edits.
func live(edits ...func(*ooo.Subscription)) ooo.Subscription {
	s := ooo.Subscription{
		Resource: events, ObjectID: "oid", ID: "sub-1", State: ooo.SubscriptionLive, NotificationURL: hook, KeyTag: keys.Tag(),
		CreatedAt: now.Add(-time.Hour), ExpiresAt: now.Add(48 * time.Hour), RenewAt: now.Add(24 * time.Hour),
	}
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func user(subs ...ooo.Subscription) ooo.User {
	return ooo.User{Key: "k", Active: true, Person: ooo.Person{ID: "oid"}, Subscriptions: subs}
}

func left(subs ...ooo.Subscription) ooo.User {
	u := user(subs...)
	u.Active = false
	return u
}

func told(u ooo.User, id ooo.SubscriptionID, kind ooo.LifecycleKind) ooo.User {
	u.Lifecycle = append(u.Lifecycle, ooo.Lifecycle{SubscriptionID: id, Kind: kind})
	return u
}

func TestPlan(t *testing.T) {
	creating := live(func(s *ooo.Subscription) { s.ID, s.State = "", ooo.SubscriptionCreating })
	failed := live(func(s *ooo.Subscription) { s.ID, s.State = "", ooo.SubscriptionFailed })
	waiting := live(func(s *ooo.Subscription) {
		s.ID, s.State, s.RetryAt = "", ooo.SubscriptionFailed, now.Add(time.Minute)
	})
	tests := map[string]struct {
		user   ooo.User
		want   subscribe.Settings
		action subscribe.Action
		reason subscribe.Reason
		next   time.Time
	}{
		"a new user is covered":                          {user(), want, subscribe.Create, subscribe.NewResource, time.Time{}},
		"a user who is not found yet waits":              {ooo.User{Active: true}, want, subscribe.Nothing, subscribe.Settled, time.Time{}},
		"a covered user is left alone until renewal":     {user(live()), want, subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},
		"renewal is due":                                 {user(live(func(s *ooo.Subscription) { s.RenewAt = now })), want, subscribe.Renew, subscribe.RenewalDue, time.Time{}},
		"a failed renewal waits":                         {user(live(func(s *ooo.Subscription) { s.RenewAt = now; s.RetryAt = now.Add(time.Second) })), want, subscribe.Nothing, subscribe.Settled, now.Add(time.Second)},
		"an expired one is made anew":                    {user(live(func(s *ooo.Subscription) { s.ExpiresAt = now; s.RenewAt = now })), want, subscribe.Create, subscribe.Expired, time.Time{}},
		"one that Graph lost is made anew":               {user(live(func(s *ooo.Subscription) { s.ID, s.State = "", ooo.SubscriptionRemoved })), want, subscribe.Create, subscribe.RemovedByGraph, time.Time{}},
		"one that Graph says it removed is made anew":    {told(user(live()), "sub-1", ooo.SubscriptionWasRemoved), want, subscribe.Create, subscribe.RemovedByGraph, time.Time{}},
		"reauthorization is a renewal":                   {told(user(live()), "sub-1", ooo.ReauthorizationRequired), want, subscribe.Renew, subscribe.Reauthorization, time.Time{}},
		"an event about another subscription is nothing": {told(user(live()), "sub-9", ooo.SubscriptionWasRemoved), want, subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},
		"missed needs no new subscription":               {told(user(live()), "sub-1", ooo.NotificationsMissed), want, subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},
		"a lost answer is looked for":                    {user(creating), want, subscribe.Find, subscribe.NoAnswer, time.Time{}},
		"a failure is tried again":                       {user(failed), want, subscribe.Create, subscribe.RetryDue, time.Time{}},
		"a failure waits its time":                       {user(waiting), want, subscribe.Nothing, subscribe.Settled, now.Add(time.Minute)},
		"another public URL needs another one":           {user(live(func(s *ooo.Subscription) { s.NotificationURL = "https://old.example/x" })), want, subscribe.Delete, subscribe.URLChanged, time.Time{}},
		"another directory object needs another one":     {user(live(func(s *ooo.Subscription) { s.ObjectID = "old" })), want, subscribe.Delete, subscribe.ObjectChanged, time.Time{}},
		"a secret that is no longer accepted":            {user(live()), with(ooo.NewClientStateKeys("other")), subscribe.Delete, subscribe.KeyDropped, time.Time{}},
		"an older secret is kept until renewal":          {user(live()), with(rotated), subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},
		"an older secret is replaced at renewal":         {user(live(func(s *ooo.Subscription) { s.RenewAt = now })), with(rotated), subscribe.Delete, subscribe.KeyRotated, time.Time{}},
		"a resource no longer wanted is deleted":         {user(live(func(s *ooo.Subscription) { s.Resource = "/users/{id}/messages" })), want, subscribe.Delete, subscribe.NotWanted, time.Time{}},
		"without a public URL nothing stays":             {user(live()), subscribe.Settings{Resources: want.Resources}, subscribe.Delete, subscribe.NotWanted, time.Time{}},
		"without a public URL nothing is made":           {user(), subscribe.Settings{Resources: want.Resources}, subscribe.Nothing, subscribe.Settled, time.Time{}},
		"a user who left is uncovered":                   {left(live()), want, subscribe.Delete, subscribe.UserLeft, time.Time{}},
		"an expired one of a user who left is dropped":   {left(live(func(s *ooo.Subscription) { s.ExpiresAt = now })), want, subscribe.Drop, subscribe.UserLeft, time.Time{}},
		"a lost answer of a user who left is looked for": {left(creating), want, subscribe.Find, subscribe.NoAnswer, time.Time{}},
		"a failure of a user who left is dropped":        {left(failed), want, subscribe.Drop, subscribe.UserLeft, time.Time{}},
		"a user who left and has nothing is forgotten":   {left(), want, subscribe.Forget, subscribe.UserLeft, time.Time{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := subscribe.Plan(tt.user, tt.want, now)
			if got.Action != tt.action || got.Reason != tt.reason || !got.Next.Equal(tt.next) {
				t.Errorf("Plan = %s (%s) next %v, want %s (%s) next %v", got.Action, got.Reason, got.Next, tt.action, tt.reason, tt.next)
			}
		})
	}
}

func TestPlanLooksAtEveryResource(t *testing.T) {
	both := want
	both.Resources = []string{events, "/users/{id}/messages"}
	if got := subscribe.Plan(user(live()), both, now); got.Action != subscribe.Create || got.Subscription.Resource != both.Resources[1] {
		t.Errorf("Plan = %s %s, want create of the second resource", got.Action, got.Subscription.Resource)
	}
	soon := live(func(s *ooo.Subscription) {
		s.Resource, s.ID, s.RenewAt = both.Resources[1], "sub-2", now.Add(time.Minute)
	})
	if got := subscribe.Plan(user(live(), soon), both, now); !got.Next.Equal(now.Add(time.Minute)) {
		t.Errorf("Next = %v, want the earlier renewal of the two, %v", got.Next, now.Add(time.Minute))
	}
}
