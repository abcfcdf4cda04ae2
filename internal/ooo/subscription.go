package ooo

import (
	"strings"
	"time"
)

// SubscriptionState is the state of a subscription at Graph.
type SubscriptionState string

const (
	SubscriptionCreating SubscriptionState = "creating" // being requested, or its owner was lost meanwhile
	SubscriptionLive     SubscriptionState = "live"
	SubscriptionFailed   SubscriptionState = "failed"  // Graph refused or did not answer; will be retried
	SubscriptionRemoved  SubscriptionState = "removed" // Graph reported that it removed it
)

// Subscription is a mailbox's subscription to one resource.
type Subscription struct {
	// Resource is the template from the settings, with {id} for the object id. It is
	// unique within one mailbox.
	Resource string            `json:"resource"`
	ID       SubscriptionID    `json:"id,omitempty"` // empty while none is known
	State    SubscriptionState `json:"state"`
	Error    string            `json:"error,omitempty"` // why the last step failed, also of one that is still live; a sentence

	NotificationURL string                `json:"notificationUrl,omitempty"`
	LifecycleURL    string                `json:"lifecycleUrl,omitempty"`
	KeyTag          string                `json:"keyTag,omitempty"`        // of the secret that its clientState was derived with
	CertificateID   string                `json:"certificateId,omitempty"` // of the certificate that encrypts resource data; empty: no resource data
	CreatedAt       time.Time             `json:"createdAt,omitzero"`
	RenewedAt       time.Time             `json:"renewedAt,omitzero"`  // when Graph last confirmed it
	ExpiresAt       time.Time             `json:"expiresAt,omitzero"`  // as Graph returned it
	RenewAt         time.Time             `json:"renewAt,omitzero"`    // jittered, chosen once per lifetime
	NotifiedAt      time.Time             `json:"spokeAt,omitzero"`    // when it last notified, saved every 10 min at most; name kept for existing data
	RetryAt         time.Time             `json:"retryAt,omitzero"`    // after a failure: earliest time of the next attempt
	Failures        int                   `json:"failures,omitempty"`  // consecutive
	ErrorKind       SubscriptionErrorKind `json:"errorKind,omitempty"` // why the last step failed; empty: it succeeded

	// Replaces is the live subscription that this one replaces. It is deleted once this one
	// is live.
	Replaces SubscriptionID `json:"replaces,omitempty"`
}

// SubscriptionErrorKind is why a step failed, as far as planning depends on it.
type SubscriptionErrorKind string

const (
	SubscriptionErrorThrottled   SubscriptionErrorKind = "throttled"   // Graph asked to wait
	SubscriptionErrorQuota       SubscriptionErrorKind = "quota"       // Graph accepts no more subscriptions
	SubscriptionErrorDenied      SubscriptionErrorKind = "denied"      // consent or access policy
	SubscriptionErrorHandshake   SubscriptionErrorKind = "handshake"   // Graph could not reach PUBLIC_URL
	SubscriptionErrorRejected    SubscriptionErrorKind = "rejected"    // such as a resource that Graph does not support
	SubscriptionErrorMailbox     SubscriptionErrorKind = "mailbox"     // missing mailbox or user
	SubscriptionErrorUnavailable SubscriptionErrorKind = "unavailable" // Graph is unreachable or busy, or Exchange failed
)

// ResourcePath returns the Graph resource for one user.
func ResourcePath(template string, id ObjectID) string {
	return strings.ReplaceAll(template, "{id}", string(id))
}

// SubscriptionRequest asks Graph for a new subscription or for a change of a live one, of
// which only ExpiresAt, NotificationURL and Certificate can change. Zero values leave them
// as they are.
type SubscriptionRequest struct {
	Resource        string // path that contains the object id
	ChangeType      string // such as "created,updated,deleted"
	NotificationURL string // Graph validates it before it answers
	LifecycleURL    string
	ClientState     string // at most 128 characters; never logged
	ExpiresAt       time.Time
	Certificate     Certificate // zero: no resource data
}

// Certificate encrypts resource data.
type Certificate struct {
	ID     string // the same on all replicas; at most 128 characters
	Base64 string // X.509 in DER
}

// GraphSubscription is a subscription as Graph returns it. Graph returns neither the
// clientState nor when the subscription was created.
type GraphSubscription struct {
	ID              SubscriptionID
	Resource        string
	NotificationURL string
	ExpiresAt       time.Time
}

// LifecycleKind is the lifecycleEvent of a lifecycle notification.
type LifecycleKind string

const (
	ReauthorizationRequired LifecycleKind = "reauthorizationRequired"
	SubscriptionWasRemoved  LifecycleKind = "subscriptionRemoved"
	NotificationsMissed     LifecycleKind = "missed"
)
