package subscribe

import (
	"math/rand/v2"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
)

// URLs are where Graph sends notifications. Without a notification URL there are no
// subscriptions.
type URLs struct {
	Notification, Lifecycle string
}

// Settings say what the subscriptions of each mailbox should be.
type Settings struct {
	URLs
	Resources   []string // templates with {id}
	Keys        ooo.ClientStateKeys
	Certificate ooo.Certificate // encrypts resource data; zero: no resource data
}

// Action is what to do next for one mailbox.
type Action string

const (
	Nothing        Action = "nothing"
	Create         Action = "create"
	Replace        Action = "replace"         // create another subscription, then delete this one
	Renew          Action = "renew"           // patch the expiry, and the URL and certificate if they differ
	Delete         Action = "delete"          // from Graph and from the record
	DeleteReplaced Action = "delete replaced" // delete the subscription that this one replaces from Graph
	Drop           Action = "drop"            // from the record only: Graph has none
)

// Reason says why a step is needed; it is a log field and a metric label.
type Reason string

const (
	UpToDate           Reason = "up to date"
	NewResource        Reason = "no subscription yet"
	Expired            Reason = "expired"
	RemovedByGraph     Reason = "removed by Graph"
	RetryDue           Reason = "retry after a failure"
	CreationUnanswered Reason = "creation unanswered"
	RenewalDue         Reason = "expires soon"
	Emergency          Reason = "about to expire"
	ExistenceCheck     Reason = "existence check"
	URLChanged         Reason = "PUBLIC_URL changed"
	LifecycleChanged   Reason = "lifecycle URL changed"
	DataChanged        Reason = "resource data switched on or off"
	KeyDropped         Reason = "clientState no longer accepted"
	KeyRotated         Reason = "clientState key rotated"
	Superseded         Reason = "replaced by another"
	NotMonitored       Reason = "no longer monitored"
	NotWanted          Reason = "resource no longer wanted"
	Unrecorded         Reason = "in Graph but in no record"
	Waiting            Reason = "waiting after a failure"
)

// Step is one thing to do for a mailbox, and why.
type Step struct {
	Action       Action
	Reason       Reason
	Subscription ooo.Subscription // a new one has only its Resource
	Next         time.Time        // with Nothing: when to plan again; zero: when something changes
	stray        ooo.Hint         // about Subscription, with Unrecorded
}

// Plan returns the next step for m, given its record. It is called again after each
// step, until there is nothing to do. hints ask whether live subscriptions still exist:
// Plan checks those that Graph has not renewed since.
//
// Wanted subscriptions are created before unwanted ones are deleted, so that a mailbox
// stays covered.
func Plan(m *ooo.Mailbox, want Settings, hints []ooo.Hint, now time.Time) Step {
	chosen := Step{Action: Nothing, Reason: UpToDate}
	for _, step := range steps(m, want, hints, now) {
		if step.Action != Nothing {
			return step
		}
		if chosen.Next.IsZero() || step.Next.Before(chosen.Next) {
			chosen = step
		}
	}
	return chosen
}

// steps returns what each subscription of m needs, and each missing one, with those first that
// take precedence.
func steps(m *ooo.Mailbox, want Settings, hints []ooo.Hint, now time.Time) (steps []Step) {
	if m.ID.Unresolved() {
		return nil
	}
	wanted, removal := want.Resources, NotWanted
	switch {
	case !m.Monitored():
		wanted, removal = nil, NotMonitored
	case want.Notification == "":
		wanted = nil
	}
	isLive := func(s ooo.Subscription) bool { return s.State == ooo.SubscriptionLive && s.ExpiresAt.After(now) }
	covered := true
	for _, resource := range wanted {
		s := find(m, resource)
		steps = append(steps, planCover(s, want, hints, now))
		covered = covered && isLive(s)
	}
	for _, s := range m.Subscriptions {
		switch isWanted := slices.Contains(wanted, s.Resource); {
		case isWanted && isLive(s) && s.Replaces != "":
			steps = append(steps, planRemoval(s, Superseded, now))
		case !isWanted && (covered || !isLive(s)): // otherwise until those that take its place exist
			steps = append(steps, planRemoval(s, removal, now))
		}
	}
	return steps
}

// find returns the subscription of m to a resource, or a new one if there is none.
func find(m *ooo.Mailbox, resource string) ooo.Subscription {
	for _, s := range m.Subscriptions {
		if s.Resource == resource {
			return s
		}
	}
	return ooo.Subscription{Resource: resource}
}

// maxWait is longer than any wait after a failure. A wait that has more left was saved by a
// clock that was ahead, and has ended.
const maxWait = 2 * time.Hour

// waits reports whether the step that s needs has to wait after a failure.
func waits(s ooo.Subscription, now time.Time) bool {
	return s.RetryAt.After(now) && s.RetryAt.Before(now.Add(maxWait))
}

// planRemoval plans the removal of s, or of the subscription that it replaces. A sweep finds
// what a creation made that was not answered.
func planRemoval(s ooo.Subscription, reason Reason, now time.Time) Step {
	step := func(a Action, r Reason) Step { return Step{Action: a, Reason: r, Subscription: s} }
	switch {
	case waits(s, now):
		return Step{Action: Nothing, Reason: Waiting, Next: s.RetryAt}
	case s.Replaces != "":
		return step(DeleteReplaced, reason)
	case s.ID != "" && s.ExpiresAt.After(now):
		return step(Delete, reason)
	}
	return step(Drop, reason)
}

// planCover plans what the subscription to a wanted resource needs.
func planCover(s ooo.Subscription, want Settings, hints []ooo.Hint, now time.Time) Step {
	step := func(a Action, r Reason) Step { return Step{Action: a, Reason: r, Subscription: s} }
	newURL := s.ErrorKind == ooo.SubscriptionErrorHandshake && s.ID == "" && s.NotificationURL != want.Notification
	switch {
	case s.State == "":
		return step(Create, NewResource)
	case waits(s, now) && !newURL: // a new URL may work
		return Step{Action: Nothing, Reason: Waiting, Next: s.RetryAt}
	case s.State == ooo.SubscriptionRemoved:
		return step(Create, RemovedByGraph)
	case s.State == ooo.SubscriptionCreating:
		return step(Create, CreationUnanswered)
	case s.ID == "":
		return step(Create, RetryDue)
	case !s.ExpiresAt.After(now):
		return step(Create, Expired)
	}
	due := !s.RenewAt.After(now)
	emergency := !now.Before(after(s, emergencyPart))
	switch {
	case s.NotificationURL != want.Notification:
		return step(Renew, URLChanged)
	case !due && inDoubt(s, hints, now): // otherwise the renewal checks it
		return step(Renew, ExistenceCheck)
	case !want.Keys.Accepts(s.KeyTag):
		return step(Replace, KeyDropped)
	case !emergency && (s.CertificateID == "") != (want.Certificate.ID == ""):
		return step(Replace, DataChanged)
	case !due:
		return Step{Action: Nothing, Reason: UpToDate, Next: s.RenewAt}
	case emergency:
		return step(Renew, Emergency)
	case s.LifecycleURL != want.Lifecycle:
		return step(Replace, LifecycleChanged)
	case s.KeyTag != want.Keys.Tag():
		return step(Replace, KeyRotated)
	}
	return step(Renew, RenewalDue)
}

// A subscription is renewed after a part of its lifetime, or randomly up to a tenth of the
// lifetime earlier, so that those created together are not renewed together. If it needs
// something that can't be patched, it is replaced at that time instead. Half-way from there
// to its expiry is an emergency: then it is renewed as it is, because a replacement may
// keep failing. While a renewal fails, [job.failed] shortens the waits before it expires.
// After a change of the lifecycle URL, [lifecycleSpread] replaces it earlier.
//
// With two thirds, a lifetime of 4200 minutes is renewed after 1.6 to 1.9 days and leaves 23
// hours or more for retries; one of 45 minutes, the shortest, leaves 15 minutes.
const (
	renewalPart   = 2.0 / 3
	renewalSpread = 0.1
	emergencyPart = (1 + renewalPart) / 2
)

// after returns when a part of the lifetime of s has passed.
func after(s ooo.Subscription, part float64) time.Time {
	return s.RenewedAt.Add(time.Duration(part * float64(s.ExpiresAt.Sub(s.RenewedAt))))
}

// renewAt returns when to renew s. It is random, and so is saved in the record.
func renewAt(s ooo.Subscription) time.Time { return after(s, renewalPart-renewalSpread*rand.Float64()) }
