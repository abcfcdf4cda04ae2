package subscribe

import (
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
)

// URLs are where Graph sends notifications. Without a notification URL there are no
// subscriptions at all.
type URLs struct {
	Notification, Lifecycle string
}

// Settings are what the subscriptions of each mailbox should look like.
type Settings struct {
	URLs
	Resources   []string // templates with {id}
	Keys        ooo.ClientStateKeys
	Certificate ooo.Certificate // that resource data is encrypted for; zero: none is asked for
}

// Action is what to do next for one mailbox.
type Action string

const (
	Nothing        Action = "nothing"
	Create         Action = "create"
	Replace        Action = "replace"         // create another one, then delete this one
	Renew          Action = "renew"           // patch its expiry, and its URL and certificate if they differ
	Delete         Action = "delete"          // from Graph and from the record
	DeleteReplaced Action = "delete replaced" // delete the one it has replaced from Graph
	Drop           Action = "drop"            // from the record alone: Graph has none
	Remove         Action = "remove record"   // of a mailbox that is no longer monitored
)

// Reason says why; it is a log field and a metric label.
type Reason string

const (
	Settled        Reason = "settled"
	NewResource    Reason = "no subscription yet"
	Expired        Reason = "expired"
	RemovedByGraph Reason = "removed by Graph"
	RetryDue       Reason = "retry after a failure"
	AnswerLost     Reason = "answer to its creation lost"
	RenewalDue     Reason = "expires soon"
	Emergency      Reason = "about to expire"
	Examined       Reason = "asked whether it lives"
	URLChanged     Reason = "PUBLIC_URL changed"
	LifecycleMoved Reason = "lifecycle URL changed"
	DataChanged    Reason = "resource data switched on or off"
	KeyDropped     Reason = "clientState no longer accepted"
	KeyRotated     Reason = "clientState key rotated"
	Superseded     Reason = "replaced by another"
	NotMonitored   Reason = "no longer monitored"
	NotWanted      Reason = "resource no longer wanted"
	Unlisted       Reason = "in Graph but in no record"
	Waiting        Reason = "waiting after a failure"
)

// Step is one thing to do for a mailbox, and why.
type Step struct {
	Action       Action
	Reason       Reason
	Subscription ooo.Subscription // the one it is about; of a new one, Resource and Failures
	Next         time.Time        // with Nothing: when to plan again; zero: never by itself
}

// Plan says what to do next for m, by what is recorded of it. It is called again after
// each step, until there is nothing to do. hints ask whether live subscriptions still
// exist: those that Graph has not confirmed since are asked for by id.
//
// What is wanted is made first and what is not wanted goes last, so that a mailbox
// that could be covered always is.
func Plan(m *ooo.Mailbox, want Settings, hints []ooo.Hint, now time.Time) Step {
	rest := Step{Action: Nothing, Reason: Settled}
	if m.ID.Unresolved() {
		return rest
	}
	monitored, covered := len(m.Addresses) > 0, true
	if monitored && want.Notification != "" {
		for _, resource := range want.Resources {
			s := find(m, resource)
			step := cover(s, want, hints, now)
			if step.Action != Nothing {
				return step
			}
			covered = covered && s.State == ooo.SubscriptionLive && s.ExpiresAt.After(now)
			rest = sooner(rest, step)
		}
	}
	for _, s := range m.Subscriptions {
		reason := NotWanted
		switch {
		case !monitored:
			reason = NotMonitored
		case want.Notification == "":
		case slices.Contains(want.Resources, s.Resource):
			continue
		case !covered && s.State == ooo.SubscriptionLive && s.ExpiresAt.After(now):
			continue // until what takes its place is there
		}
		step := end(s, want, reason, now)
		if step.Action != Nothing {
			return step
		}
		rest = sooner(rest, step)
	}
	if !monitored && len(m.Subscriptions) == 0 {
		return Step{Action: Remove, Reason: NotMonitored}
	}
	return rest
}

// find returns the subscription of m to a resource; a new one if there is none.
func find(m *ooo.Mailbox, resource string) ooo.Subscription {
	for _, s := range m.Subscriptions {
		if s.Resource == resource {
			return s
		}
	}
	return ooo.Subscription{Resource: resource}
}

// sooner returns the one of two idle steps that ends first.
func sooner(a, b Step) Step {
	if a.Next.IsZero() || !b.Next.IsZero() && b.Next.Before(a.Next) {
		return b
	}
	return a
}

// searches is how often a subscription is asked for again whose answer was lost and
// that nobody wants any more: after that a sweep finds it.
const searches = 5

// end says how to get rid of s.
func end(s ooo.Subscription, want Settings, reason Reason, now time.Time) Step {
	step := func(a Action, r Reason) Step { return Step{Action: a, Reason: r, Subscription: s} }
	switch {
	case s.RetryAt.After(now):
		return Step{Action: Nothing, Reason: Waiting, Next: s.RetryAt}
	case s.Replaces != "":
		return step(DeleteReplaced, reason)
	case s.ID != "" && (s.State == ooo.SubscriptionCreating || s.ExpiresAt.After(now)):
		return step(Delete, reason)
	case s.ID == "" && s.State == ooo.SubscriptionCreating && s.Failures < searches && s.NotificationURL == want.Notification:
		return step(Create, AnswerLost) // Graph names the one that it has
	}
	return step(Drop, reason)
}

// cover says what one wanted resource needs.
func cover(s ooo.Subscription, want Settings, hints []ooo.Hint, now time.Time) Step {
	emergency := !s.RenewAt.After(now) && s.ExpiresAt.Sub(now) < s.ExpiresAt.Sub(s.RenewAt)/2
	step := func(a Action, r Reason) Step { return Step{Action: a, Reason: r, Subscription: s} }
	waits := s.RetryAt.After(now)
	if s.ErrorKind == ooo.SubscriptionErrorHandshake && s.ID == "" && s.NotificationURL != want.Notification {
		waits = false // another URL, another chance
	}
	switch {
	case s.State == "":
		return step(Create, NewResource)
	case waits:
		return Step{Action: Nothing, Reason: Waiting, Next: s.RetryAt}
	case s.State == ooo.SubscriptionRemoved:
		return step(Create, RemovedByGraph)
	case s.State == ooo.SubscriptionCreating && s.ID != "": // found since
		return step(Renew, AnswerLost)
	case s.State == ooo.SubscriptionCreating:
		return step(Create, AnswerLost)
	case s.ID == "":
		return step(Create, RetryDue)
	case !s.ExpiresAt.After(now):
		return step(Create, Expired)
	case s.NotificationURL != want.Notification:
		return step(Renew, URLChanged)
	case asked(s, hints, now):
		return step(Renew, Examined)
	case !want.Keys.Accepts(s.KeyTag):
		return step(Replace, KeyDropped)
	case (s.CertificateID == "") != (want.Certificate.ID == "") && !emergency:
		return step(Replace, DataChanged)
	case s.Replaces != "" && s.RenewAt.After(now): // it may refuse to go: renewal comes first
		return step(DeleteReplaced, Superseded)
	case s.RenewAt.After(now):
		return Step{Action: Nothing, Reason: Settled, Next: s.RenewAt}
	case emergency:
		return step(Renew, Emergency)
	case s.LifecycleURL != want.Lifecycle:
		return step(Replace, LifecycleMoved)
	case s.KeyTag != want.Keys.Tag():
		return step(Replace, KeyRotated)
	}
	return step(Renew, RenewalDue)
}
