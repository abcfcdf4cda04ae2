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

// with is want with edits.
func with(edits ...func(*subscribe.Settings)) subscribe.Settings {
	other := want
	for _, edit := range edits {
		edit(&other)
	}
	return other
}

func secrets(keys ooo.ClientStateKeys) func(*subscribe.Settings) {
	return func(s *subscribe.Settings) { s.Keys = keys }
}

func certificate(id string) func(*subscribe.Settings) {
	return func(s *subscribe.Settings) { s.Certificate = ooo.Certificate{ID: id} }
}

func resources(of ...string) func(*subscribe.Settings) {
	return func(s *subscribe.Settings) { s.Resources = of }
}

// live is a subscription as it is most of the time, changed by the given edits.
func live(edits ...func(*ooo.Subscription)) ooo.Subscription {
	s := ooo.Subscription{
		Resource: events, ObjectID: "oid", ID: "sub-1", State: ooo.SubscriptionLive, NotificationURL: hook, LifecycleURL: want.LifecycleURL, KeyTag: keys.Tag(),
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

func other(subs ...ooo.Subscription) ooo.User {
	u := user(subs...)
	u.CoveredBy = "owner"
	return u
}

func told(u ooo.User, id ooo.SubscriptionID, kind ooo.LifecycleKind) ooo.User {
	u.Lifecycle = append(u.Lifecycle, ooo.Lifecycle{SubscriptionID: id, Kind: kind})
	return u
}

func TestPlan(t *testing.T) {
	type sub = ooo.Subscription
	creating := live(func(s *sub) { s.ID, s.State = "", ooo.SubscriptionCreating })
	// failed is one that Graph did not make, for a reason, a while or just now.
	failed := func(why ooo.Trouble, wait time.Duration) sub {
		return live(func(s *sub) {
			s.ID, s.State, s.Trouble, s.RetryAt = "", ooo.SubscriptionFailed, why, now.Add(wait)
		})
	}
	due := func(s *sub) { s.RenewAt = now }
	messages := "/users/{id}/messages"
	never := time.Time{}
	noURL := with(func(s *subscribe.Settings) { s.NotificationURL = "" })
	tests := map[string]struct {
		user   ooo.User
		want   subscribe.Settings
		action subscribe.Action
		reason subscribe.Reason
		next   time.Time
	}{
		"a new user is covered":                      {user(), want, subscribe.Create, subscribe.NewResource, never},
		"a user who is not found yet waits":          {ooo.User{Active: true}, want, subscribe.Nothing, subscribe.Settled, never},
		"a covered user is left alone until renewal": {user(live()), want, subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},

		"renewal is due":                         {user(live(due)), want, subscribe.Renew, subscribe.RenewalDue, never},
		"a failed renewal waits":                 {user(live(due, func(s *sub) { s.RetryAt = now.Add(time.Second) })), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Second)},
		"one that is about to expire":            {user(live(func(s *sub) { s.RenewAt, s.ExpiresAt = now.Add(-time.Hour), now.Add(10*time.Minute) })), want, subscribe.Renew, subscribe.Emergency, never},
		"an expired one is made anew":            {user(live(due, func(s *sub) { s.ExpiresAt = now })), want, subscribe.Create, subscribe.Expired, never},
		"one that Graph lost (404) is made anew": {user(live(func(s *sub) { s.ID, s.State = "", ooo.SubscriptionRemoved })), want, subscribe.Create, subscribe.RemovedByGraph, never},

		"one that Graph says it removed is made anew":    {told(user(live()), "sub-1", ooo.SubscriptionWasRemoved), want, subscribe.Create, subscribe.RemovedByGraph, never},
		"reauthorization is a renewal":                   {told(user(live()), "sub-1", ooo.ReauthorizationRequired), want, subscribe.Renew, subscribe.Reauthorization, never},
		"an event about another subscription is nothing": {told(user(live()), "sub-9", ooo.SubscriptionWasRemoved), want, subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},
		"missed needs no new subscription":               {told(user(live()), "sub-1", ooo.NotificationsMissed), want, subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},

		"a lost answer is asked for again":             {user(creating), want, subscribe.Create, subscribe.NoAnswer, never},
		"a failure is tried again":                     {user(failed(ooo.TroubleUnavailable, 0)), want, subscribe.Create, subscribe.RetryDue, never},
		"Exchange's error (ExtensionError) waits":      {user(failed(ooo.TroubleUnavailable, time.Second)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Second)},
		"a wait that Graph asked for":                  {user(failed(ooo.TroubleThrottled, time.Minute)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"no consent or no policy (403) waits":          {user(failed(ooo.TroubleDenied, time.Minute)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"a used up quota (403) waits":                  {user(failed(ooo.TroubleQuota, time.Minute)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"an unsupported resource waits":                {user(failed(ooo.TroubleRejected, time.Hour)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Hour)},
		"a failure that waited is tried, whatever why": {user(failed(ooo.TroubleRejected, 0)), want, subscribe.Create, subscribe.RetryDue, never},

		"another public URL is patched":                        {user(live(func(s *sub) { s.NotificationURL = "https://old.example/x" })), want, subscribe.Renew, subscribe.URLChanged, never},
		"a lifecycle URL that can't follow waits for its time": {user(live(func(s *sub) { s.LifecycleURL = "https://old.example/y" })), want, subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},
		"a lifecycle URL that can't follow is replaced then":   {user(live(due, func(s *sub) { s.LifecycleURL = "https://old.example/y" })), want, subscribe.Replace, subscribe.LifecycleMoved, never},
		"what replaced another takes it away":                  {user(live(func(s *sub) { s.Former = "sub-0" })), want, subscribe.DeleteFormer, subscribe.Superseded, never},
		"another directory object needs another one":           {user(live(func(s *sub) { s.ObjectID = "old" })), want, subscribe.Replace, subscribe.ObjectChanged, never},
		"a secret that is no longer accepted":                  {user(live()), with(secrets(ooo.NewClientStateKeys("other"))), subscribe.Replace, subscribe.KeyDropped, never},
		"an older secret is kept until renewal":                {user(live()), with(secrets(rotated)), subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},
		"an older secret is replaced at renewal":               {user(live(due)), with(secrets(rotated)), subscribe.Replace, subscribe.KeyRotated, never},
		"about to expire, there is no time for tidiness":       {user(live(func(s *sub) { s.RenewAt, s.ExpiresAt = now.Add(-time.Hour), now.Add(time.Minute) })), with(secrets(rotated)), subscribe.Renew, subscribe.Emergency, never},
		"resource data is asked for now":                       {user(live()), with(certificate("c1")), subscribe.Replace, subscribe.DataChanged, never},
		"resource data is no longer asked for":                 {user(live(func(s *sub) { s.CertificateID = "c1" })), want, subscribe.Replace, subscribe.DataChanged, never},
		"another certificate is patched at renewal":            {user(live(due, func(s *sub) { s.CertificateID = "c0" })), with(certificate("c1")), subscribe.Renew, subscribe.RenewalDue, never},
		"another certificate waits for renewal":                {user(live(func(s *sub) { s.CertificateID = "c0" })), with(certificate("c1")), subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},
		"a resource no longer wanted makes way for the new":    {user(live()), with(resources(messages)), subscribe.Create, subscribe.NewResource, never},
		"it is kept while the new one can't be had":            {user(live(), failedFor(messages)), with(resources(messages)), subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"it is deleted once the new one is there":              {user(live(), live(func(s *sub) { s.Resource, s.ID = messages, "sub-2" })), with(resources(messages)), subscribe.Delete, subscribe.NotWanted, never},
		"without a public URL nothing stays":                   {user(live()), noURL, subscribe.Delete, subscribe.NotWanted, never},
		"without a public URL nothing is made":                 {user(), noURL, subscribe.Nothing, subscribe.Settled, never},
		"a user whose mailbox another one covers looks again":  {other(), want, subscribe.Nothing, subscribe.CoveredByOther, now.Add(10 * time.Minute)},
		"what such a user has is taken away":                   {other(live()), want, subscribe.Delete, subscribe.CoveredByOther, never},
		"without a URL it does not even look":                  {other(), noURL, subscribe.Nothing, subscribe.Settled, never},
		"a user who left is uncovered":                         {left(live()), want, subscribe.Delete, subscribe.UserLeft, never},
		"a user who left and whose subscription replaced one":  {left(live(func(s *sub) { s.Former = "sub-0" })), want, subscribe.DeleteFormer, subscribe.UserLeft, never},
		"an expired one of a user who left is dropped":         {left(live(func(s *sub) { s.ExpiresAt = now })), want, subscribe.Drop, subscribe.UserLeft, never},
		"a stop while creating: it is looked for":              {left(creating), want, subscribe.Find, subscribe.NoAnswer, never},
		"a failure of a user who left is dropped":              {left(failed(ooo.TroubleDenied, 0)), want, subscribe.Drop, subscribe.UserLeft, never},
		"a deletion that failed does not hold up the next":     {left(live(func(s *sub) { s.RetryAt = now.Add(time.Hour) }), live(func(s *sub) { s.Resource, s.ID = messages, "sub-2" })), want, subscribe.Delete, subscribe.UserLeft, never},
		"a user who left and has nothing is forgotten":         {left(), want, subscribe.Forget, subscribe.UserLeft, never},
		"a user who comes back before that is settled":         {user(live()), want, subscribe.Nothing, subscribe.Settled, now.Add(24 * time.Hour)},
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

// failedFor is a subscription to resource that could not be made a minute ago.
func failedFor(resource string) ooo.Subscription {
	return live(func(s *ooo.Subscription) {
		s.Resource, s.ID, s.State, s.RetryAt = resource, "", ooo.SubscriptionFailed, now.Add(time.Minute)
	})
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
