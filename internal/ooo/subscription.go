package ooo

import (
	"strings"
	"time"
)

// SubscriptionState is how a subscription stands with Graph.
type SubscriptionState string

const (
	SubscriptionCreating SubscriptionState = "creating" // asked for, answer not recorded
	SubscriptionLive     SubscriptionState = "live"
	SubscriptionFailed   SubscriptionState = "failed"  // Graph refused or was out of reach; tried again
	SubscriptionRemoved  SubscriptionState = "removed" // Graph said it took it away
)

// Subscription is one user's cover for one resource.
type Subscription struct {
	// Resource is the template from the settings, with {id} for the object id:
	// what the cover is for, and the key within one user.
	Resource string
	ObjectID ObjectID       // of the user when it was asked for
	ID       SubscriptionID // empty while Graph has none that we know of
	State    SubscriptionState
	Error    string // why Failed, a sentence

	NotificationURL string
	KeyTag          string // of the secret that its clientState was derived with
	CreatedAt       time.Time
	ExpiresAt       time.Time // as Graph returned it
	RenewAt         time.Time // chosen once per life, jittered
	RetryAt         time.Time // not before, after a failure
	Failures        int       // in a row
}

// ResourcePath returns the Graph resource for one user.
func ResourcePath(template string, id ObjectID) string {
	return strings.ReplaceAll(template, "{id}", string(id))
}

// SubscriptionRequest is what a new subscription asks of Graph.
type SubscriptionRequest struct {
	Resource        string // a path, with the object id in it
	ChangeType      string // such as "created,updated,deleted"
	NotificationURL string
	LifecycleURL    string
	ClientState     string // at most 128 characters; never logged
	ExpiresAt       time.Time
}

// GraphSubscription is a subscription as Graph returns it. Graph does not tell
// the clientState.
type GraphSubscription struct {
	ID              SubscriptionID
	Resource        string
	ChangeType      string
	NotificationURL string
	LifecycleURL    string
	ApplicationID   string
	ExpiresAt       time.Time
}

// LifecycleKind is a lifecycle notification's lifecycleEvent.
type LifecycleKind string

const (
	ReauthorizationRequired LifecycleKind = "reauthorizationRequired"
	SubscriptionWasRemoved  LifecycleKind = "subscriptionRemoved"
	NotificationsMissed     LifecycleKind = "missed"
)

// Lifecycle is a lifecycle event that was received for a user's subscription.
type Lifecycle struct {
	SubscriptionID SubscriptionID
	Kind           LifecycleKind
	At             time.Time
}
