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
	Certificate     ooo.Certificate // that resource data is encrypted for; zero: none is asked for
}

// Action is what to do next for one user.
type Action string

const (
	Nothing      Action = "nothing"
	Create       Action = "create"
	Replace      Action = "replace"       // make another one, then delete this one
	Find         Action = "find"          // look whether Graph made what it was asked for
	Renew        Action = "renew"         // patch its expiry, and its URL and certificate if they differ
	Delete       Action = "delete"        // take it from Graph and from the record
	DeleteFormer Action = "delete former" // take the one it has replaced from Graph
	Drop         Action = "drop"          // take it from the record alone
	Forget       Action = "forget"        // the user left and nothing is left over
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
	Emergency       Reason = "about to expire"
	Reauthorization Reason = "reauthorization required"
	URLChanged      Reason = "PUBLIC_URL changed"
	LifecycleMoved  Reason = "its lifecycle URL is no longer ours"
	DataChanged     Reason = "resource data was switched on or off"
	KeyDropped      Reason = "its clientState is no longer accepted"
	KeyRotated      Reason = "its clientState is to be replaced"
	ObjectChanged   Reason = "the address belongs to another directory object"
	Superseded      Reason = "replaced by another"
	UserLeft        Reason = "monitoring was stopped"
	NotWanted       Reason = "its resource is no longer asked for"
	CoveredByOther  Reason = "the mailbox is covered under another address"
	Successor       Reason = "kept until what is asked for is there"
	Waiting         Reason = "waits after a failure"
)

// Step is one thing to do for a user, and why.
type Step struct {
	Action       Action
	Reason       Reason
	Subscription ooo.Subscription // the one it is about; of a new one, Resource and Failures
	Next         time.Time        // with Nothing: when to plan again; zero: never by itself
}

// kept is the share of the write budget that the step leaves to others: who is
// not covered comes before who will not be, and both before tidiness.
func (s Step) kept() float64 {
	switch {
	case s.Action == Create || s.Reason == Emergency || s.Reason == ObjectChanged:
		return 0
	case s.Action == Renew:
		return 0.3
	}
	return 0.6
}

// Plan says what to do next for u, by what is recorded of it. It is called again
// after each step, until there is nothing to do.
//
// What is wanted is made first and what is not wanted goes last, so that a user
// who could be covered always is.
func Plan(u ooo.User, want Settings, now time.Time) Step {
	rest := Step{Action: Nothing, Reason: Settled}
	covered := true
	if u.Active && want.NotificationURL != "" && u.CoveredBy != "" {
		rest = Step{Action: Nothing, Reason: CoveredByOther, Next: now.Add(lookAgain)}
	}
	if u.Active && want.NotificationURL != "" && u.CoveredBy == "" && u.Person.ID != "" {
		for _, resource := range want.Resources {
			i := slices.IndexFunc(u.Subscriptions, func(s ooo.Subscription) bool { return s.Resource == resource })
			s := ooo.Subscription{Resource: resource}
			if i >= 0 {
				s = u.Subscriptions[i]
			}
			step := cover(s, u, want, now)
			if step.Action != Nothing {
				return step
			}
			covered = covered && s.State == ooo.SubscriptionLive && s.ExpiresAt.After(now)
			rest = sooner(rest, step)
		}
	}
	for _, s := range u.Subscriptions {
		reason := NotWanted
		switch {
		case !u.Active:
			reason = UserLeft
		case want.NotificationURL == "":
		case u.CoveredBy != "":
			reason = CoveredByOther
		case slices.Contains(want.Resources, s.Resource):
			continue
		case !covered && s.State == ooo.SubscriptionLive && s.ExpiresAt.After(now):
			rest = sooner(rest, Step{Action: Nothing, Reason: Successor, Next: s.ExpiresAt})
			continue
		}
		step := part(s, reason, now)
		if step.Action != Nothing {
			return step
		}
		rest = sooner(rest, step)
	}
	if !u.Active && len(u.Subscriptions) == 0 {
		return Step{Action: Forget, Reason: UserLeft}
	}
	return rest
}

// sooner returns the one of two idle steps that ends first.
func sooner(a, b Step) Step {
	if a.Next.IsZero() || !b.Next.IsZero() && b.Next.Before(a.Next) {
		return b
	}
	return a
}

// part says how to get rid of s.
func part(s ooo.Subscription, reason Reason, now time.Time) Step {
	step := func(a Action, r Reason) Step { return Step{Action: a, Reason: r, Subscription: s} }
	switch {
	case s.RetryAt.After(now):
		return Step{Action: Nothing, Reason: Waiting, Next: s.RetryAt}
	case s.Former != "":
		return step(DeleteFormer, reason)
	case s.ID != "" && s.State != ooo.SubscriptionRemoved && s.ExpiresAt.After(now):
		return step(Delete, reason)
	case s.ID == "" && s.State == ooo.SubscriptionCreating:
		return step(Find, NoAnswer)
	}
	return step(Drop, reason)
}

// cover says what one wanted resource needs.
func cover(s ooo.Subscription, u ooo.User, want Settings, now time.Time) Step {
	removed, reauthorize := heard(s.ID, u.Lifecycle)
	emergency := !s.RenewAt.After(now) && s.ExpiresAt.Sub(now) < s.ExpiresAt.Sub(s.RenewAt)/2
	step := func(a Action, r Reason) Step { return Step{Action: a, Reason: r, Subscription: s} }
	switch {
	case s.ID != "" && removed:
		return step(Create, RemovedByGraph)
	case s.State == "":
		return step(Create, NewResource)
	case s.RetryAt.After(now):
		return Step{Action: Nothing, Reason: Waiting, Next: s.RetryAt}
	case s.State == ooo.SubscriptionRemoved:
		return step(Create, RemovedByGraph)
	case s.ID == "" && s.State == ooo.SubscriptionCreating:
		return step(Create, NoAnswer)
	case s.ID == "":
		return step(Create, RetryDue)
	case !s.ExpiresAt.After(now):
		return step(Create, Expired)
	case s.ObjectID != u.Person.ID:
		return step(Replace, ObjectChanged)
	case s.NotificationURL != want.NotificationURL:
		return step(Renew, URLChanged)
	case reauthorize:
		return step(Renew, Reauthorization)
	case !want.Keys.Accepts(s.KeyTag):
		return step(Replace, KeyDropped)
	case (s.CertificateID == "") != (want.Certificate.ID == "") && !emergency:
		return step(Replace, DataChanged)
	case s.Former != "" && s.RenewAt.After(now): // it may refuse to go: renewal comes first
		return step(DeleteFormer, Superseded)
	case s.RenewAt.After(now):
		return Step{Action: Nothing, Reason: Settled, Next: s.RenewAt}
	case emergency:
		return step(Renew, Emergency)
	case s.LifecycleURL != want.LifecycleURL:
		return step(Replace, LifecycleMoved)
	case s.KeyTag != want.Keys.Tag():
		return step(Replace, KeyRotated)
	}
	return step(Renew, RenewalDue)
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
