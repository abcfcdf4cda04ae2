package ooo

import "time"

// HintKind is what a hint asks the owner of a mailbox to do. Package mailbox carries out
// wishes; the Hinted methods of the workers choose their kinds: poll takes read and check,
// subscribe takes subscription and stray (and read, to record when a subscription last
// notified), deliver takes resend.
//
// A hint asks for work once. What must outlast a restart, or a move of the address to another
// mailbox, belongs in the [Wish].
type HintKind string

const (
	HintRead         HintKind = "read"         // read it now: a notification came, or some were missed
	HintCheck        HintKind = "check"        // read it now; cuts short the backoff after an error, but not a Retry-After
	HintSubscription HintKind = "subscription" // look each subscription up in Graph by id, and recreate the missing ones
	HintResend       HintKind = "resend"       // deliver the current state again
	HintWish         HintKind = "wish"         // the wish of an address changed
	HintMove         HintKind = "carry"        // an address moved here from another record; value kept for existing data
	HintStray        HintKind = "stray"        // Graph lists a subscription that no record has: delete it
)

// Hint asks the owner of a mailbox for work. Hints with the same mailbox, kind and subject
// coalesce: the last one stays. Only the owner removes a hint, by compare-and-delete, and
// only after work that started after it saw the hint.
type Hint struct {
	ID   RecordID `json:"-"`
	Kind HintKind `json:"-"`
	// Subject is the folded address of a resend, wish or move hint, the id of a stray
	// subscription, or the lifecycle event behind a subscription hint; otherwise empty.
	Subject string    `json:"-"`
	SeenAt  time.Time `json:"-"`     // when its owner saw it, by the owner's clock
	Nonce   string    `json:"nonce"` // random; changes with every write

	// For the history and the metrics.
	At             time.Time      `json:"at"` // when it was written, by the writer's clock
	Source         Source         `json:"source,omitempty"`
	Reason         string         `json:"reason,omitempty"` // such as a lifecycle event's name
	NotificationID string         `json:"notification,omitempty"`
	SubscriptionID SubscriptionID `json:"subscription,omitempty"`
	ResourceTag    string         `json:"tag,omitempty"`   // of the subscription that the notification came from, see [ResourceTag]
	Trace          string         `json:"trace,omitempty"` // a traceparent

	// Moved is the address of a HintMove as it left the other record, and MovedState that
	// record's last state, so that the delivery continues where it was.
	Moved          *Address  `json:"carry,omitempty"`
	MovedState     *State    `json:"carryState,omitempty"`
	MovedChangedAt time.Time `json:"carryChanged,omitzero"`  // when that state last changed
	MovedUnknown   bool      `json:"carryUnknown,omitempty"` // the history of the address says that it is unknown
}
