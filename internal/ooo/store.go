package ooo

import "time"

// Change is what a look at a user found, to be recorded in one atomic step.
type Change struct {
	Revision    int64 // of the record that the decision was made on
	Setting     Setting
	Fingerprint string // of Setting
	Decision    Decision
	At          time.Time // by the shared clock
	Trace       string    // a traceparent: what the delivery of the change goes on with; empty: nothing
}

// Started says what a start request met.
type Started struct {
	Key     Key
	Already bool // monitored before: nothing is sent anew
	Found   bool // the directory object is known
	User    User // the record as it stands now
}

// Parcel is a recorded state on its way to the mediator.
type Parcel struct {
	Key       Key
	Address   string // spelled as the mediator spelled it
	State     State
	Sequence  int64
	WebhookID string    // the same for every try of this sequence number
	ChangedAt time.Time // when the state was decided
	Attempt   int       // 1 for the first
	Source    Source    // what the change was noticed by
	MarkedAt  time.Time // when a notification announced it; zero if none did
	Trace     string    // of the change; empty if there is none
}

// Receipt is how an attempt to deliver a [Parcel] ended.
type Receipt struct {
	Parcel Parcel
	State  DeliveryState // Delivered, Refused or Pending (will be tried again)
	Error  string        // a sentence; empty when delivered
	Next   time.Time     // of the next attempt, unless delivered
	Floor  bool          // Next is a Retry-After: marks don't cut it short
}
