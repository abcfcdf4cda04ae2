package ooo

import (
	"strings"
	"time"
)

// SubscriptionState is the state of a subscription at Graph.
type SubscriptionState string

const (
	SubscriptionCreating SubscriptionState = "creating" // asked for, answer not recorded
	SubscriptionLive     SubscriptionState = "live"
	SubscriptionFailed   SubscriptionState = "failed"  // Graph refused or was out of reach; tried again
	SubscriptionRemoved  SubscriptionState = "removed" // Graph said it took it away
)

// Subscription is a mailbox' subscription to one resource.
type Subscription struct {
	// Resource is the template from the settings, with {id} for the object id. It is
	// the key within one mailbox.
	Resource string            `json:"resource"`
	ID       SubscriptionID    `json:"id,omitempty"` // empty while Graph has none that we know of
	State    SubscriptionState `json:"state"`
	Error    string            `json:"error,omitempty"` // why Failed, a sentence

	NotificationURL string                `json:"notificationUrl,omitempty"`
	LifecycleURL    string                `json:"lifecycleUrl,omitempty"`
	KeyTag          string                `json:"keyTag,omitempty"`        // of the secret that its clientState was derived with
	CertificateID   string                `json:"certificateId,omitempty"` // of the certificate that resource data is encrypted for; empty: none is sent
	CreatedAt       time.Time             `json:"createdAt,omitzero"`
	RenewedAt       time.Time             `json:"renewedAt,omitzero"`  // when Graph confirmed it last
	ExpiresAt       time.Time             `json:"expiresAt,omitzero"`  // as Graph returned it
	RenewAt         time.Time             `json:"renewAt,omitzero"`    // chosen once per life, jittered
	NotifiedAt      time.Time             `json:"spokeAt,omitzero"`    // when a notification came of it last; saved now and then
	RetryAt         time.Time             `json:"retryAt,omitzero"`    // not before, after a failure
	Failures        int                   `json:"failures,omitempty"`  // in a row
	ErrorKind       SubscriptionErrorKind `json:"errorKind,omitempty"` // why the last step failed; empty: it did not

	// Replaces is the live one that this one takes the place of: it is deleted once
	// this one is there.
	Replaces SubscriptionID `json:"replaces,omitempty"`
}

// SubscriptionErrorKind is why a step failed: what Plan needs to know of an error.
type SubscriptionErrorKind string

const (
	SubscriptionErrorThrottled   SubscriptionErrorKind = "throttled"   // RetryAt is a wait that Graph asked for
	SubscriptionErrorQuota       SubscriptionErrorKind = "quota"       // the number of subscriptions is used up
	SubscriptionErrorDenied      SubscriptionErrorKind = "denied"      // consent or access policy
	SubscriptionErrorHandshake   SubscriptionErrorKind = "handshake"   // Graph could not reach PUBLIC_URL
	SubscriptionErrorRejected    SubscriptionErrorKind = "rejected"    // such as a resource that Graph doesn't take
	SubscriptionErrorMailbox     SubscriptionErrorKind = "mailbox"     // there is none, or the user is gone
	SubscriptionErrorUnavailable SubscriptionErrorKind = "unavailable" // Graph is out of reach, busy, or Exchange failed
)

// ResourcePath returns the Graph resource for one user.
func ResourcePath(template string, id ObjectID) string {
	return strings.ReplaceAll(template, "{id}", string(id))
}

// SubscriptionRequest is what a new subscription asks of Graph, or the change of a
// living one: of that ExpiresAt, NotificationURL and Certificate. Zero values leave it
// as it is.
type SubscriptionRequest struct {
	Resource        string // a path, with the object id in it
	ChangeType      string // such as "created,updated,deleted"
	NotificationURL string // Graph validates it before it answers
	LifecycleURL    string
	ClientState     string // at most 128 characters; never logged
	ExpiresAt       time.Time
	Certificate     Certificate // zero: no resource data
}

// Certificate is what resource data is encrypted for.
type Certificate struct {
	ID     string // the same on all replicas; at most 128 characters
	Base64 string // X.509 in DER
}

// GraphSubscription is a subscription as Graph returns it. Graph does not return the
// clientState.
type GraphSubscription struct {
	ID              SubscriptionID
	Resource        string
	NotificationURL string
	LifecycleURL    string
	ExpiresAt       time.Time
}

// LifecycleKind is a lifecycle notification's lifecycleEvent.
type LifecycleKind string

const (
	ReauthorizationRequired LifecycleKind = "reauthorizationRequired"
	SubscriptionWasRemoved  LifecycleKind = "subscriptionRemoved"
	NotificationsMissed     LifecycleKind = "missed"
)
