package ooo

import (
	"hash/fnv"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Partitions is the number of partitions. It is part of the schema: changing it orphans
// every record.
const Partitions = 64

// RecordID identifies a record: the object id of a mailbox or, for an unresolved address,
// "@" and the folded address.
type RecordID string

// UnresolvedID returns the record id of an unresolved address.
func UnresolvedID(address string) RecordID { return RecordID("@" + FoldAddress(address)) }

// Unresolved reports whether the record is that of an unresolved address.
func (id RecordID) Unresolved() bool { return strings.HasPrefix(string(id), "@") }

// LogValue implements [slog.LogValuer]: logs contain object ids, and never an address.
func (id RecordID) LogValue() slog.Value {
	if id.Unresolved() {
		return slog.StringValue("unresolved")
	}
	return slog.StringValue(string(id))
}

// ObjectID returns the mailbox's object id; empty if the record is unresolved.
func (id RecordID) ObjectID() ObjectID {
	if id.Unresolved() {
		return ""
	}
	return ObjectID(id)
}

// Partition returns the partition that the record belongs to, 0 to Partitions-1.
func (id RecordID) Partition() int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32() % Partitions)
}

// Mailbox is the record of one monitored mailbox: its user, its setting and state, its
// monitored addresses and its subscriptions. The owner of its partition keeps it in memory,
// and only the owner writes it. An unresolved address has a record of its own, with no
// mailbox.
type Mailbox struct {
	ID      RecordID `json:"id"`
	Version int64    `json:"-"` // incremented by each save; the save script compares it
	Person  Person   `json:"person"`

	Condition Condition `json:"condition"`
	Reason    string    `json:"reason,omitempty"` // why the condition is Unknown; a sentence without personal data
	// ErrorKind is why the condition is Unknown, for code. It is set with Reason.
	ErrorKind ReadErrorKind `json:"errorKind,omitempty"`
	Setting   *Setting      `json:"setting,omitempty"`  // last read, see [Policy.Apply]; nil until then
	State     *State        `json:"state,omitempty"`    // last decided; nil until then
	Policy    string        `json:"policy,omitempty"`   // tag of the policy of Setting and State
	ChangedAt time.Time     `json:"changedAt,omitzero"` // when State last changed: away or not, or the text
	CheckedAt time.Time     `json:"checkedAt,omitzero"` // last successful read, as of this save

	// ReadFailures counts consecutive reads that returned no setting. ReadRetryAt is the
	// earliest time of the next read: the end of a Retry-After, which nothing cuts short, if
	// ReadThrottled is set, and the end of the backoff otherwise. Only waits longer than
	// POLL_INTERVAL are saved.
	ReadFailures  int       `json:"readFailures,omitempty"`
	ReadRetryAt   time.Time `json:"readRetryAt,omitzero"`
	ReadThrottled bool      `json:"readThrottled,omitempty"`
	// Unannounced means that no history has an [EventUnknown] for the present Condition.
	Unannounced bool `json:"unannounced,omitempty"`

	Addresses     []Address      `json:"addresses"`     // sorted by folded spelling
	Subscriptions []Subscription `json:"subscriptions"` // sorted by resource
}

// Address is one address under which a mailbox is monitored, and its delivery.
type Address struct {
	Spelling string    `json:"spelling"` // as the mediator spells it
	StartID  string    `json:"start"`    // StartID of the [Wish] that was carried out
	Nonce    string    `json:"nonce"`    // its Nonce
	WishedAt time.Time `json:"wishedAt"` // its At

	Sequence int64     `json:"sequence,omitempty"` // of the newest state; 0: there is none
	QueuedAt time.Time `json:"queuedAt,omitzero"`  // when that state was recorded: the age of an undelivered one is a metric, with an alarm
	Source   Source    `json:"source,omitempty"`   // what triggered the read or resend
	Trace    string    `json:"trace,omitempty"`    // traceparent for the delivery; empty: none
	Delivery Delivery  `json:"delivery"`
}

// Folded returns the folded address, see [FoldAddress].
func (a *Address) Folded() string { return FoldAddress(a.Spelling) }

// Queue gives the mailbox's current state a new sequence number and webhook id, so that it
// is delivered. It cuts short the backoff after a failure, but not a Retry-After.
func (a *Address) Queue(webhookID string, source Source, now time.Time) {
	a.Sequence++
	a.QueuedAt, a.Source = now, source
	d := &a.Delivery
	d.State, d.WebhookID, d.Attempts, d.Failures, d.Error = DeliveryPending, webhookID, 0, 0, ""
	if !d.Throttled {
		d.NextAttemptAt = time.Time{}
	}
}

// Undelivered reports whether the mediator has yet to acknowledge the newest state.
func (a *Address) Undelivered() bool { return a.Sequence > a.Delivery.Sequence }

// DeliveryState is the delivery state of an address's newest state.
type DeliveryState string

const (
	DeliveryNone      DeliveryState = "none"
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryRefused   DeliveryState = "refused"
)

// Delivery is the progress of delivering an address's newest state to the mediator.
type Delivery struct {
	State     DeliveryState `json:"state"`
	Sequence  int64         `json:"sequence,omitempty"` // the last that the mediator acknowledged
	WebhookID string        `json:"webhookId,omitempty"`
	Attempts  int           `json:"attempts,omitempty"` // for the newest state; 0: it was never sent
	// Failures counts the consecutive attempts that ended like the last one: refused, or
	// failed in another way.
	Failures int `json:"failures,omitempty"`
	// InFlightSince is when an attempt started whose result has not been recorded: the
	// mediator may still be processing it. Zero: no attempt is in flight. The JSON names of
	// this and the next field are kept for existing data.
	InFlightSince    time.Time `json:"begunAt,omitzero"`
	InFlightSequence int64     `json:"begunSequence,omitempty"` // of the state in flight
	DeliveredAt      time.Time `json:"deliveredAt,omitzero"`
	// NextAttemptAt is the earliest time of the next attempt, after a failure or a monitor
	// request. It is zero from the start of an attempt until then. If Throttled is set, it is
	// the end of a Retry-After, which nothing cuts short. A Retry-After that came with a
	// refusal is only about the refused state, and does not set Throttled.
	NextAttemptAt time.Time `json:"nextAttemptAt,omitzero"`
	Throttled     bool      `json:"throttled,omitempty"`
	Error         string    `json:"error,omitempty"` // of the last attempt; never a body or an address
}

// Monitored reports whether the mailbox has an address. The record of one that is no longer
// monitored stays until its subscriptions are deleted.
func (m *Mailbox) Monitored() bool { return len(m.Addresses) > 0 }

// Clone returns a copy with addresses and subscriptions of its own. It shares the setting and
// the state, which are replaced and never changed.
func (m *Mailbox) Clone() *Mailbox {
	c := *m
	c.Addresses = slices.Clone(m.Addresses)
	c.Subscriptions = slices.Clone(m.Subscriptions)
	return &c
}

// Address returns the address with the same folded spelling; nil if there is none.
func (m *Mailbox) Address(address string) *Address {
	folded := FoldAddress(address)
	for i := range m.Addresses {
		if m.Addresses[i].Folded() == folded {
			return &m.Addresses[i]
		}
	}
	return nil
}

// Summary returns the summary row for a. Lists are filtered, searched and counted by it.
func (m *Mailbox) Summary(a *Address) Summary {
	s := Summary{
		Address: a.Spelling, Name: m.Person.DisplayName, ID: m.ID, Condition: m.Condition, Delivery: a.Delivery.State,
		NotFound: m.ErrorKind == ReadErrorNotInDirectory,
	}
	if m.State != nil {
		s.Away = new(m.State.Away)
	}
	covered := true
	for _, sub := range m.Subscriptions {
		s.Failed = s.Failed || sub.State == SubscriptionFailed || sub.Error != ""
		if sub.State != SubscriptionLive {
			covered = false
			continue
		}
		s.Live++
		if s.CoveredUntil.IsZero() || sub.ExpiresAt.Before(s.CoveredUntil) {
			s.CoveredUntil = sub.ExpiresAt
		}
	}
	if !covered {
		s.CoveredUntil = time.Time{}
	}
	return s
}

// Summary is the summary row of one monitored address.
type Summary struct {
	Address      string
	Name         string
	ID           RecordID
	Condition    Condition
	NotFound     bool  // the directory has no such user
	Away         *bool // nil: not known
	Delivery     DeliveryState
	Live         int       // number of live subscriptions
	CoveredUntil time.Time // when the first subscription expires; zero: none, or not all are live
	Failed       bool      // the last step of a subscription failed
}

// Uncovered reports whether a mailbox that should have a subscription for each of so many
// resources lacks one. An unknown mailbox does not count: it may not exist, and has its
// own filter.
func (s Summary) Uncovered(resources int, now time.Time) bool {
	return resources > 0 && !s.ID.Unresolved() && s.Condition != Unknown && (s.Live < resources || !s.CoveredUntil.After(now))
}
