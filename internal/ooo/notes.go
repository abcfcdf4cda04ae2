package ooo

import "time"

// Wish reports whether an address is to be monitored: what was asked for last. It is
// also the index from an address to its mailbox. Whoever is asked writes it, by
// compare and swap; the owner of the mailbox carries out what it says.
type Wish struct {
	Address string    `json:"address"` // as the mediator spells it
	On      bool      `json:"on"`
	Person  Person    `json:"person,omitzero"` // zero: unresolved
	Start   string    `json:"start"`           // random; new whenever monitoring starts again
	Nonce   string    `json:"nonce"`           // random; new with every write
	At      time.Time `json:"at"`              // when it was written; later than that of the wish before it
}

// Requester is who asked for an address to be monitored or not.
type Requester string

const (
	Mediator Requester = "mediator" // decides how the address is spelled
	Operator Requester = "operator"
)

// Record returns the id of the record that the wish is about.
func (w Wish) Record() RecordID {
	if w.Person.ID != "" {
		return RecordID(w.Person.ID)
	}
	return UnresolvedID(w.Address)
}

// HintKind is what a hint asks the owner of a mailbox to do.
type HintKind string

const (
	HintRead         HintKind = "read"         // read it now: a notification came, or some were missed
	HintCheck        HintKind = "check"        // read it now, cutting an error's wait short, but no Retry-After
	HintSubscription HintKind = "subscription" // ask Graph for each subscription by id, and make again what is gone
	HintResend       HintKind = "resend"       // deliver the present state again
	HintWish         HintKind = "wish"         // the wish of an address changed
	HintCarry        HintKind = "carry"        // an address left another record for this one
	HintStray        HintKind = "stray"        // Graph lists a subscription that no record has: adopt or delete it
)

// Hint asks the owner of a mailbox for work. Hints of the same mailbox, kind and
// subject coalesce: the last one stays. Only the owner removes one, by compare,
// after work that began after it saw the hint.
type Hint struct {
	ID   RecordID `json:"-"`
	Kind HintKind `json:"-"`
	// Subject is the folded address of a resend, a wish or a carry, the subscription of a
	// stray, the lifecycle event that led to a subscription hint; else empty.
	Subject string    `json:"-"`
	SeenAt  time.Time `json:"-"`     // when its owner saw it, by the owner's clock
	Nonce   string    `json:"nonce"` // random; new with every write

	// For the history and the metrics.
	At             time.Time      `json:"at"` // when it was left, by the clock of whoever did
	Source         Source         `json:"source,omitempty"`
	Reason         string         `json:"reason,omitempty"` // such as a lifecycle event's name
	NotificationID string         `json:"notification,omitempty"`
	SubscriptionID SubscriptionID `json:"subscription,omitempty"`
	ResourceTag    string         `json:"tag,omitempty"`   // of the subscription that a notification came from, see [ResourceTag]
	Trace          string         `json:"trace,omitempty"` // a traceparent

	// Carry is the address of a HintCarry as it left the other record, and CarryState what
	// that record said of its mailbox, so that its delivery goes on where it was.
	Carry      *Address `json:"carry,omitempty"`
	CarryState *State   `json:"carryState,omitempty"`
}

// Source says what made us read a mailbox. It is a history field and a metric
// label.
type Source string

const (
	SourcePoll         Source = "poll"         // the regular read
	SourceNotification Source = "notification" // a change notification or lifecycle event
	SourceWindow       Source = "window"       // the edge of a scheduled window
	SourceRequest      Source = "request"      // the mediator or an operator
	SourceSubscription Source = "subscription" // a subscription was made: what happened before is not announced
	SourcePresence     Source = "presence"     // the presence of the user changed
)
