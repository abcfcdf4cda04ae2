package ooo

import (
	"hash/fnv"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Partitions is how many parts the records are spread over. It is part of the
// schema: changing it orphans every record.
const Partitions = 64

// RecordID names a record: the object id of a mailbox or, for an address that is
// not resolved yet, "@" and the folded address.
type RecordID string

// UnresolvedID returns the id of the record of an address that is not resolved.
func UnresolvedID(address string) RecordID { return RecordID("@" + FoldAddress(address)) }

// Unresolved reports whether the record is that of an address without a mailbox.
func (id RecordID) Unresolved() bool { return strings.HasPrefix(string(id), "@") }

// LogValue implements [slog.LogValuer]: a log names mailboxes, and never an address.
func (id RecordID) LogValue() slog.Value {
	if id.Unresolved() {
		return slog.StringValue("unresolved")
	}
	return slog.StringValue(string(id))
}

// ObjectID returns the mailbox' object id; empty if the record is unresolved.
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

// Mailbox is the record of one monitored mailbox: who it is, what its setting
// says, under which addresses it is monitored and which subscriptions it has. The
// owner of its partition keeps it in memory and alone writes it. An address that
// is not resolved yet has such a record too, with nothing but itself in it.
type Mailbox struct {
	ID      RecordID `json:"id"`
	Version int64    `json:"-"` // one more for each save; the fence compares it
	Person  Person   `json:"person"`

	Condition Condition `json:"condition"`
	Reason    string    `json:"reason,omitempty"` // why Unknown; a sentence without personal data
	// ErrorKind is why Unknown, for those who branch on it. Whoever sets Reason sets it.
	ErrorKind ReadErrorKind `json:"errorKind,omitempty"`
	Setting   *Setting      `json:"setting,omitempty"` // last read, see [Policy.Apply]; nil until then
	State     *State        `json:"state,omitempty"`   // last decided; nil until then
	Policy    string        `json:"policy,omitempty"`  // tag of the policy that Setting and State were decided under
	ChangedAt time.Time     `json:"changedAt,omitzero"`
	CheckedAt time.Time     `json:"checkedAt,omitzero"` // when it was last read with success, as of this save

	// ReadFailures counts reads in a row that gave no setting. ReadRetryAt is the
	// earliest time of the next read: a Retry-After, which nothing cuts short, if
	// ReadThrottled is set, and a wait after a failure otherwise. Only waits longer
	// than the poll interval are saved.
	ReadFailures  int       `json:"readFailures,omitempty"`
	ReadRetryAt   time.Time `json:"readRetryAt,omitzero"`
	ReadThrottled bool      `json:"readThrottled,omitempty"`

	Addresses     []Address      `json:"addresses"`     // by folded spelling
	Subscriptions []Subscription `json:"subscriptions"` // by resource
}

// Address is one address under which a mailbox is monitored, and what the mediator
// knows of it.
type Address struct {
	Spelling string    `json:"spelling"` // as the mediator spells it
	Start    string    `json:"start"`    // [Wish.Start] of the wish that is carried out
	Nonce    string    `json:"nonce"`    // [Wish.Nonce] of the wish that is carried out
	WishedAt time.Time `json:"wishedAt"` // [Wish.At] of it

	Sequence   int64     `json:"sequence,omitempty"` // of the newest state: one more for each change and resend; 0: none
	QueuedAt   time.Time `json:"queuedAt,omitzero"`  // when that state was recorded
	Source     Source    `json:"source,omitempty"`   // what it was noticed by
	NotifiedAt time.Time `json:"notifiedAt,omitzero"`
	Trace      string    `json:"trace,omitempty"` // a traceparent: what the delivery goes on with; empty: nothing
	Delivery   Delivery  `json:"delivery"`
}

// Folded returns the form in which the address is compared.
func (a *Address) Folded() string { return FoldAddress(a.Spelling) }

// Queue gives the present state of the mailbox a new sequence number and webhook
// id, so that it is delivered. Attempts that wait after a failure begin at once,
// except after a Retry-After.
func (a *Address) Queue(webhookID string, source Source, now time.Time) {
	a.Sequence++
	a.QueuedAt, a.Source, a.NotifiedAt, a.Trace = now, source, time.Time{}, ""
	d := &a.Delivery
	d.State, d.WebhookID, d.Attempts, d.Failures, d.Error = DeliveryPending, webhookID, 0, 0, ""
	if !d.Throttled {
		d.NextAttemptAt = time.Time{}
	}
}

// Undelivered reports whether the mediator has yet to acknowledge the newest state.
func (a *Address) Undelivered() bool { return a.Sequence > a.Delivery.Sequence }

// DeliveryState is how far the newest state got.
type DeliveryState string

const (
	DeliveryNone      DeliveryState = "none"
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryRefused   DeliveryState = "refused"
)

// Delivery is how far the newest state of an address got on its way to the
// mediator.
type Delivery struct {
	State     DeliveryState `json:"state"`
	Sequence  int64         `json:"sequence,omitempty"` // the last one that the mediator acknowledged
	WebhookID string        `json:"webhookId,omitempty"`
	Attempts  int           `json:"attempts,omitempty"` // for the newest state
	// Failures counts the attempts in a row that ended like the last one: refused, or
	// failed in another way.
	Failures int `json:"failures,omitempty"`
	// InFlightSince is when an attempt began whose result is not recorded: it may still
	// be under way at the mediator. Zero: there is none.
	InFlightSince    time.Time `json:"begunAt,omitzero"`
	InFlightSequence int64     `json:"begunSequence,omitempty"` // of the state that it sends
	DeliveredAt      time.Time `json:"deliveredAt,omitzero"`
	NextAttemptAt    time.Time `json:"nextAttemptAt,omitzero"` // not before, after a failure
	Throttled        bool      `json:"throttled,omitempty"`    // NextAttemptAt is a Retry-After: nothing cuts it short
	Error            string    `json:"error,omitempty"`        // of the last attempt; never a body or an address
}

// Clone returns a copy that shares nothing that is ever changed in place.
func (m *Mailbox) Clone() *Mailbox {
	c := *m
	c.Addresses = slices.Clone(m.Addresses)
	c.Subscriptions = slices.Clone(m.Subscriptions)
	if m.State != nil {
		c.State = new(*m.State)
	}
	if m.Setting != nil {
		c.Setting = new(*m.Setting)
	}
	return &c
}

// Address returns the address that matches, whatever its letter case; nil if the
// mailbox is not monitored under it.
func (m *Mailbox) Address(address string) *Address {
	folded := FoldAddress(address)
	for i := range m.Addresses {
		if m.Addresses[i].Folded() == folded {
			return &m.Addresses[i]
		}
	}
	return nil
}

// Summary returns the short row that lists, searches and counts go by.
func (m *Mailbox) Summary(a *Address) Summary {
	s := Summary{
		Address: a.Spelling, Name: m.Person.DisplayName, ID: m.ID, Condition: m.Condition, Delivery: a.Delivery.State,
		NotFound: m.ErrorKind == ReadErrorNotInDirectory,
	}
	if m.State != nil {
		s.Away = new(m.State.Away)
	}
	if a.Delivery.State == DeliveryPending {
		s.PendingSince = a.QueuedAt
	}
	for _, sub := range m.Subscriptions {
		switch sub.State {
		case SubscriptionLive:
			s.Live++
			if s.CoveredUntil.IsZero() || sub.ExpiresAt.Before(s.CoveredUntil) {
				s.CoveredUntil = sub.ExpiresAt
			}
		case SubscriptionFailed:
			s.Failed = true
		}
	}
	return s
}

// Summary is one monitored address in a line.
type Summary struct {
	Address      string
	Name         string
	ID           RecordID
	Condition    Condition
	NotFound     bool  // the directory has no such user
	Away         *bool // nil: not known
	Delivery     DeliveryState
	PendingSince time.Time // when the state was recorded that is still to be delivered; zero: none is
	Live         int       // subscriptions
	CoveredUntil time.Time // when the first of the live ones ends
	Failed       bool      // one subscription at least is failed
}
