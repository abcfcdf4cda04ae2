package subscribe_test

import (
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
)

var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

const (
	events   = "/users/{id}/events"
	messages = "/users/{id}/messages"
	hook     = "https://monitor.example/graph/notifications"
)

var want = subscribe.Settings{
	Resources: []string{events}, Keys: keys,
	URLs: subscribe.URLs{Notification: hook, Lifecycle: "https://monitor.example/graph/lifecycle"},
}

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
		Resource: events, ID: "sub-1", State: ooo.SubscriptionLive, NotificationURL: hook, LifecycleURL: want.Lifecycle, KeyTag: keys.Tag(),
		CreatedAt: now.Add(-time.Hour), RenewedAt: now.Add(-time.Hour), ExpiresAt: now.Add(48 * time.Hour), RenewAt: now.Add(24 * time.Hour),
	}
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func monitored(subs ...ooo.Subscription) *ooo.Mailbox {
	return &ooo.Mailbox{ID: annID, Addresses: []ooo.Address{{Spelling: "ann@contoso.example"}}, Subscriptions: subs}
}

func left(subs ...ooo.Subscription) *ooo.Mailbox { return &ooo.Mailbox{ID: annID, Subscriptions: subs} }

func TestPlan(t *testing.T) {
	type sub = ooo.Subscription
	type edit = func(s *sub)
	creating := live(func(s *sub) { s.ID, s.State = "", ooo.SubscriptionCreating })
	// failed is one that Graph did not make, for a reason, a while or just now.
	failed := func(why ooo.SubscriptionErrorKind, wait time.Duration, edits ...edit) sub {
		return live(append([]edit{func(s *sub) {
			s.ID, s.State, s.ErrorKind, s.RetryAt = "", ooo.SubscriptionFailed, why, now.Add(wait)
		}}, edits...)...)
	}
	due := func(s *sub) { s.RenewAt = now }
	elsewhere := func(s *sub) { s.NotificationURL = "https://old.example/x" }
	noMessages := failed(ooo.SubscriptionErrorRejected, time.Minute, func(s *sub) { s.Resource = messages })
	liveMessages := live(func(s *sub) { s.Resource, s.ID = messages, "sub-2" })
	never, renewal := time.Time{}, now.Add(24*time.Hour)
	noURL := with(func(s *subscribe.Settings) { s.URLs = subscribe.URLs{} })
	both := with(resources(events, messages))
	tests := map[string]struct {
		mailbox *ooo.Mailbox
		want    subscribe.Settings
		action  subscribe.Action
		reason  subscribe.Reason
		next    time.Time
	}{
		"a new mailbox is covered":                      {monitored(), want, subscribe.Create, subscribe.NewResource, never},
		"an address that is not resolved yet waits":     {&ooo.Mailbox{ID: "@ann", Addresses: []ooo.Address{{}}}, want, subscribe.Nothing, subscribe.UpToDate, never},
		"a covered mailbox is left alone until renewal": {monitored(live()), want, subscribe.Nothing, subscribe.UpToDate, renewal},
		"each resource is looked at":                    {monitored(live()), both, subscribe.Create, subscribe.NewResource, never},
		"the earlier renewal counts": {monitored(live(), live(func(s *sub) { s.Resource, s.RenewAt = messages, now.Add(time.Hour) })), both,
			subscribe.Nothing, subscribe.UpToDate, now.Add(time.Hour)},

		"renewal is due":                           {monitored(live(due)), want, subscribe.Renew, subscribe.RenewalDue, never},
		"a failed renewal waits":                   {monitored(live(due, func(s *sub) { s.RetryAt = now.Add(time.Second) })), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Second)},
		"one that is about to expire":              {monitored(live(func(s *sub) { s.RenewAt, s.ExpiresAt = now.Add(-time.Hour), now.Add(10*time.Minute) })), want, subscribe.Renew, subscribe.Emergency, never},
		"an expired one is made again":             {monitored(live(due, func(s *sub) { s.ExpiresAt = now })), want, subscribe.Create, subscribe.Expired, never},
		"one that Graph lost (404) is made again":  {monitored(live(func(s *sub) { s.ID, s.State = "", ooo.SubscriptionRemoved })), want, subscribe.Create, subscribe.RemovedByGraph, never},
		"a lost answer is asked for again":         {monitored(creating), want, subscribe.Create, subscribe.CreationUnanswered, never},
		"a failure is retried":                     {monitored(failed(ooo.SubscriptionErrorUnavailable, 0)), want, subscribe.Create, subscribe.RetryDue, never},
		"a failure waits":                          {monitored(failed(ooo.SubscriptionErrorUnavailable, time.Second)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Second)},
		"a wait that Graph asked for":              {monitored(failed(ooo.SubscriptionErrorThrottled, time.Minute)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"a failed handshake waits":                 {monitored(failed(ooo.SubscriptionErrorHandshake, time.Minute)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"a failed handshake with another URL":      {monitored(failed(ooo.SubscriptionErrorHandshake, time.Minute, elsewhere)), want, subscribe.Create, subscribe.RetryDue, never},
		"any other failure waits whatever the URL": {monitored(failed(ooo.SubscriptionErrorDenied, time.Minute, elsewhere)), want, subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},

		"another public URL is patched":                        {monitored(live(elsewhere)), want, subscribe.Renew, subscribe.URLChanged, never},
		"a lifecycle URL that can't follow waits for its time": {monitored(live(func(s *sub) { s.LifecycleURL = "https://old.example/y" })), want, subscribe.Nothing, subscribe.UpToDate, renewal},
		"a lifecycle URL that can't follow is replaced then":   {monitored(live(due, func(s *sub) { s.LifecycleURL = "https://old.example/y" })), want, subscribe.Replace, subscribe.LifecycleChanged, never},
		"what replaced another deletes it":                     {monitored(live(func(s *sub) { s.Replaces = "sub-0" })), want, subscribe.DeleteReplaced, subscribe.Superseded, never},
		"a secret that is no longer accepted":                  {monitored(live()), with(secrets(ooo.NewClientStateKeys("other"))), subscribe.Replace, subscribe.KeyDropped, never},
		"an older secret is kept until renewal":                {monitored(live()), with(secrets(rotated)), subscribe.Nothing, subscribe.UpToDate, renewal},
		"an older secret is replaced at renewal":               {monitored(live(due)), with(secrets(rotated)), subscribe.Replace, subscribe.KeyRotated, never},
		"about to expire, there is no time for tidiness":       {monitored(live(func(s *sub) { s.RenewAt, s.ExpiresAt = now.Add(-time.Hour), now.Add(time.Minute) })), with(secrets(rotated)), subscribe.Renew, subscribe.Emergency, never},
		"resource data is asked for now":                       {monitored(live()), with(certificate("c1")), subscribe.Replace, subscribe.DataChanged, never},
		"resource data is no longer asked for":                 {monitored(live(func(s *sub) { s.CertificateID = "c1" })), want, subscribe.Replace, subscribe.DataChanged, never},
		"another certificate is patched at renewal":            {monitored(live(due, func(s *sub) { s.CertificateID = "c0" })), with(certificate("c1")), subscribe.Renew, subscribe.RenewalDue, never},
		"another certificate waits for renewal":                {monitored(live(func(s *sub) { s.CertificateID = "c0" })), with(certificate("c1")), subscribe.Nothing, subscribe.UpToDate, renewal},

		"a resource no longer wanted makes way for the new": {monitored(live()), with(resources(messages)), subscribe.Create, subscribe.NewResource, never},
		"it is kept while the new one can't be had":         {monitored(live(), noMessages), with(resources(messages)), subscribe.Nothing, subscribe.Waiting, now.Add(time.Minute)},
		"it is deleted once the new one is there":           {monitored(live(), liveMessages), with(resources(messages)), subscribe.Delete, subscribe.NotWanted, never},
		"without a public URL nothing stays":                {monitored(live()), noURL, subscribe.Delete, subscribe.NotWanted, never},
		"without a public URL nothing is made":              {monitored(), noURL, subscribe.Nothing, subscribe.UpToDate, never},
		"without a public URL nothing is looked for":        {monitored(creating), noURL, subscribe.Drop, subscribe.NotWanted, never},

		"monitoring stopped":                                 {left(live()), want, subscribe.Delete, subscribe.NotMonitored, never},
		"monitoring stopped while one replaces another":      {left(live(func(s *sub) { s.Replaces = "sub-0" })), want, subscribe.DeleteReplaced, subscribe.NotMonitored, never},
		"monitoring stopped and it has expired":              {left(live(func(s *sub) { s.ExpiresAt = now })), want, subscribe.Drop, subscribe.NotMonitored, never},
		"monitoring stopped while the answer was lost":       {left(creating), want, subscribe.Create, subscribe.CreationUnanswered, never},
		"it is not looked for without end":                   {left(live(func(s *sub) { s.ID, s.State, s.Failures = "", ooo.SubscriptionCreating, 5 })), want, subscribe.Drop, subscribe.NotMonitored, never},
		"monitoring stopped after a failure":                 {left(failed(ooo.SubscriptionErrorDenied, 0)), want, subscribe.Drop, subscribe.NotMonitored, never},
		"a deletion that failed does not hold up the next":   {left(live(func(s *sub) { s.RetryAt = now.Add(time.Hour) }), liveMessages), want, subscribe.Delete, subscribe.NotMonitored, never},
		"monitoring stopped and nothing is left":             {left(), want, subscribe.RemoveRecord, subscribe.NotMonitored, never},
		"monitored again before the subscription is deleted": {monitored(live()), want, subscribe.Nothing, subscribe.UpToDate, renewal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := subscribe.Plan(tt.mailbox, tt.want, nil, now)
			if got.Action != tt.action || got.Reason != tt.reason || !got.Next.Equal(tt.next) {
				t.Errorf("Plan = %s (%s) next %v, want %s (%s) next %v", got.Action, got.Reason, got.Next, tt.action, tt.reason, tt.next)
			}
		})
	}
}

func TestPlanExaminesWhatGraphHasNotConfirmedSince(t *testing.T) {
	tests := map[string]struct {
		sub   ooo.Subscription
		since time.Duration // of its last renewal
		want  subscribe.Reason
	}{
		"renewed before":         {live(), time.Second, subscribe.ExistenceCheck},
		"renewed at that moment": {live(), 0, subscribe.UpToDate},
		"renewed after":          {live(), -time.Second, subscribe.UpToDate},
		"a failure waits":        {live(func(s *ooo.Subscription) { s.RetryAt = now.Add(time.Second) }), time.Second, subscribe.Waiting},
		"an expired one":         {live(func(s *ooo.Subscription) { s.ExpiresAt = now }), time.Second, subscribe.Expired},
		"one that may be the answer that was lost": {live(func(s *ooo.Subscription) { s.State = ooo.SubscriptionCreating }), time.Second,
			subscribe.CreationUnanswered},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			hint := ooo.Hint{SeenAt: tt.sub.RenewedAt.Add(tt.since)}
			if got := subscribe.Plan(monitored(tt.sub), want, []ooo.Hint{hint}, now); got.Reason != tt.want {
				t.Errorf("Plan = %s (%s), want it %s", got.Action, got.Reason, tt.want)
			}
		})
	}
}

func TestCheckResources(t *testing.T) {
	tests := map[string]struct {
		resource    string
		plain, data bool // whether it works
	}{
		"events":                       {events, true, true},
		"messages":                     {messages, true, true},
		"messages of a folder":         {"/users/{id}/mailFolders('inbox')/messages", true, true},
		"contacts":                     {"/users/{id}/contacts", true, true},
		"a filter":                     {"/users/{id}/messages?$filter=isRead eq false", true, true},
		"own properties":               {"/users/{id}/events?$select=id", true, true},
		"both":                         {"/users/{id}/events?$filter=x&%24select=id", true, true},
		"what Graph does not support":  {"/users/{id}/events?$top=5", false, false},
		"an order":                     {"/users/{id}/events?$select=id&$orderby=start", false, false},
		"tasks":                        {"/users/{id}/todo/lists/1/tasks", true, false},
		"tasks with properties":        {"/users/{id}/todo/lists/1/tasks?$select=id", true, false},
		"another kind":                 {"/users/{id}/chats", true, false},
		"another kind with properties": {"/users/{id}/chats?$select=id", true, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for data, works := range map[bool]bool{false: tt.plain, true: tt.data} {
				if err := subscribe.CheckResources([]string{events, tt.resource}, data); (err == nil) != works {
					t.Errorf("CheckResources with data %t = %v, want it to work: %t", data, err, works)
				}
			}
		})
	}
}
