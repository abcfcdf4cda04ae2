package ooo

import "time"

// Queue names one of the durable due queues. They share one meaning: a user is
// in a queue once, with the time at which it is due.
type Queue string

const (
	ReadQueue      Queue = "read"      // read the mailbox
	WindowQueue    Queue = "window"    // a scheduled window opens or closes: decide by the clock
	DeliverQueue   Queue = "deliver"   // tell the mediator
	SubscribeQueue Queue = "subscribe" // make, renew or delete subscriptions
)

// Queues lists all queues.
var Queues = []Queue{ReadQueue, WindowQueue, DeliverQueue, SubscribeQueue}

// DirectoryPause names the wait that Graph asked for when somebody was looked up:
// it is about the directory alone.
const DirectoryPause = "directory"

// PresencePause names the wait that Graph asked for when presence was swept.
const PresencePause = "presence"

// Source says what made us look at a user. It is a history field and a metric
// label.
type Source string

const (
	SourcePoll         Source = "poll"         // the regular read
	SourceNotification Source = "notification" // a change or lifecycle notification
	SourceWindow       Source = "window"       // the edge of a scheduled window
	SourceRequest      Source = "request"      // a monitor request or an operator
	SourceSubscription Source = "subscription" // a subscription was made: what happened before is not announced
	SourcePresence     Source = "presence"     // the presence of the user turned
)

// Mark asks for a look at a user.
type Mark struct {
	Key    Key
	At     time.Time // zero: now
	Source Source
	ID     string // of the notification, for the history; may be empty
	Trace  string // a traceparent: what the look goes on with; empty: nothing

	// Spoke is the tag of the resource whose subscription sent the notification
	// (see [ResourceTag]); empty if none did.
	Spoke string

	// Urgent claims come before all that are merely overdue.
	Urgent bool
}

// Claim is the right to work on a user in one queue until its lease ends.
type Claim struct {
	Queue Queue
	Key   Key
	Token string    // proves the claim to Done, Extend and every write
	Due   time.Time // when it was due: the next regular due time counts from here

	Source   Source    // of the mark that made it due; SourcePoll if none did
	SourceID string    // Mark.ID
	Trace    string    // Mark.Trace
	MarkedAt time.Time // when it was marked; zero if it was not
	// Lead is how much sooner the mark made it due than it was anyway.
	Lead     time.Duration
	Failures int // failed tries in a row before this one

	// Asked is when the lease began to run, by the clock of this process; zero: when
	// the claim was asked for.
	Asked time.Time
	// Parcel is what is to be delivered, where the attempt is noted already.
	Parcel *Parcel

	ObjectID    ObjectID // empty until found in the directory
	Fingerprint string   // of the last setting read; empty if a look must be recorded
}

// Batch is what a claim call returns.
type Batch struct {
	Claims []Claim
	Now    time.Time // the clock that replicas share, when the claims were made
	Next   time.Time // when the next one is due; zero if the queue is empty
	Hold   time.Time // Graph asked the whole app to wait until then; zero if not
}

// Finished says how a claim ended and when its user is due again.
type Finished struct {
	Claim Claim
	Next  time.Time // zero: see Every

	// Every says, where Next is zero, that the user is due again at its own place
	// in each interval of this length: at most that long from now, and just that
	// long after the last time if nothing came between. If it is zero too, the
	// user leaves the queue unless marked meanwhile.
	Every time.Duration
	// From, with Every, is the earliest time; zero: any.
	From time.Time

	// Failed adds to Claim.Failures of the next claim; otherwise they are reset.
	Failed bool
	// Again says that nothing was found out: Claim.Failures stay as they are.
	Again bool
	// NotBefore holds marks back too: a wait that the other side asked for.
	NotBefore time.Time
	// Read says that the mailbox was read with success; it moves User.CheckedAt.
	Read bool
}
