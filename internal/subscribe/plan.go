package subscribe

import (
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
)

// Settings are what each user's cover should look like.
type Settings struct {
	Resources       []string // templates with {id}
	NotificationURL string   // empty: no subscriptions at all
	LifecycleURL    string
	Keys            ooo.ClientStateKeys
}

// Action is what to do next for one user.
type Action string

const (
	Nothing Action = "nothing"
	Create  Action = "create"
	Find    Action = "find"   // look whether Graph made what it was asked for
	Renew   Action = "renew"  // move its expiry
	Delete  Action = "delete" // take it from Graph and from the record
	Drop    Action = "drop"   // take it from the record alone
	Forget  Action = "forget" // the user left and nothing is left over
)

// Reason says why; it is a log field and a metric label.
type Reason string

const (
	Settled         Reason = "settled"
	NewResource     Reason = "not covered yet"
	Expired         Reason = "expired"
	RemovedByGraph  Reason = "removed by Graph"
	RetryDue        Reason = "tried again after a failure"
	NoAnswer        Reason = "the answer to its creation was lost"
	RenewalDue      Reason = "expires soon"
	Reauthorization Reason = "reauthorization required"
	UserLeft        Reason = "monitoring was stopped"
	NotWanted       Reason = "its resource is no longer asked for"
	URLChanged      Reason = "PUBLIC_URL changed"
	KeyDropped      Reason = "its clientState is no longer accepted"
	KeyRotated      Reason = "its clientState is to be replaced"
	ObjectChanged   Reason = "the address belongs to another directory object"
	NeverMade       Reason = "never made"
)

// Step is one thing to do for a user, and why.
type Step struct {
	Action       Action
	Reason       Reason
	Subscription ooo.Subscription // the one it is about; of a new one, Resource and Failures
	Next         time.Time        // with Nothing: when to plan again; zero: never by itself
}

// Plan says what to do next for u, by what is recorded of it. It is called again
// after each step, until there is nothing to do.
func Plan(u ooo.User, want Settings, now time.Time) Step {
	if !u.Active {
		for _, s := range u.Subscriptions {
			return part(s, UserLeft, now)
		}
		return Step{Action: Forget, Reason: UserLeft}
	}
	for _, s := range u.Subscriptions {
		switch {
		case !slices.Contains(want.Resources, s.Resource), want.NotificationURL == "":
			return part(s, NotWanted, now)
		case s.ID != "" && s.NotificationURL != want.NotificationURL:
			return part(s, URLChanged, now)
		case u.Person.ID != "" && s.ObjectID != u.Person.ID:
			return part(s, ObjectChanged, now)
		case s.ID != "" && !want.Keys.Accepts(s.KeyTag):
			return part(s, KeyDropped, now)
		case s.ID != "" && s.KeyTag != want.Keys.Tag() && !s.RenewAt.After(now):
			return part(s, KeyRotated, now) // it can't be patched
		}
	}
	if want.NotificationURL == "" || u.Person.ID == "" {
		return Step{Action: Nothing, Reason: Settled}
	}
	next := time.Time{}
	for _, resource := range want.Resources {
		i := slices.IndexFunc(u.Subscriptions, func(s ooo.Subscription) bool { return s.Resource == resource })
		s := ooo.Subscription{Resource: resource}
		if i >= 0 {
			s = u.Subscriptions[i]
		}
		step := cover(s, u.Lifecycle, now)
		if step.Action != Nothing {
			return step
		}
		if next.IsZero() || step.Next.Before(next) {
			next = step.Next
		}
	}
	return Step{Action: Nothing, Reason: Settled, Next: next}
}

// part says how to get rid of s.
func part(s ooo.Subscription, reason Reason, now time.Time) Step {
	switch {
	case s.RetryAt.After(now):
		return Step{Action: Nothing, Reason: reason, Next: s.RetryAt}
	case s.ID != "" && s.State != ooo.SubscriptionRemoved && s.ExpiresAt.After(now):
		return Step{Action: Delete, Reason: reason, Subscription: s}
	case s.ID == "" && s.State == ooo.SubscriptionCreating:
		return Step{Action: Find, Reason: NoAnswer, Subscription: s}
	}
	return Step{Action: Drop, Reason: reason, Subscription: s}
}

// cover says what one wanted resource needs.
func cover(s ooo.Subscription, events []ooo.Lifecycle, now time.Time) Step {
	removed, reauthorize := heard(s.ID, events)
	step := func(a Action, r Reason) Step { return Step{Action: a, Reason: r, Subscription: s} }
	switch {
	case s.ID != "" && removed:
		return step(Create, RemovedByGraph)
	case s.RetryAt.After(now):
		return Step{Action: Nothing, Reason: Settled, Next: s.RetryAt}
	case s.State == "":
		return step(Create, NewResource)
	case s.State == ooo.SubscriptionRemoved:
		return step(Create, RemovedByGraph)
	case s.ID == "" && s.State == ooo.SubscriptionCreating:
		return step(Find, NoAnswer)
	case s.ID == "":
		return step(Create, RetryDue)
	case !s.ExpiresAt.After(now):
		return step(Create, Expired)
	case reauthorize:
		return step(Renew, Reauthorization)
	case !s.RenewAt.After(now):
		return step(Renew, RenewalDue)
	}
	return Step{Action: Nothing, Reason: Settled, Next: s.RenewAt}
}

// heard says what lifecycle notifications told of a subscription.
func heard(id ooo.SubscriptionID, events []ooo.Lifecycle) (removed, reauthorize bool) {
	for _, e := range events {
		if e.SubscriptionID == id {
			removed = removed || e.Kind == ooo.SubscriptionWasRemoved
			reauthorize = reauthorize || e.Kind == ooo.ReauthorizationRequired
		}
	}
	return removed, reauthorize
}
