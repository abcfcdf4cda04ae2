package ooo

import (
	"errors"
	"time"
)

// ErrBadCursor means that a cursor did not come from a page of users.
var ErrBadCursor = errors.New("invalid cursor: use the one of the previous page, or leave it out to start with the first page")

// Filter selects users by their state.
type Filter string

const (
	FilterAll         Filter = "all"
	FilterAway        Filter = "away"        // out of office
	FilterPresent     Filter = "office"      // in the office
	FilterUnknown     Filter = "unknown"     // can't be read
	FilterPending     Filter = "pending"     // not read yet
	FilterUndelivered Filter = "undelivered" // the newest state is on its way to the mediator
	FilterRefused     Filter = "refused"     // the mediator refused the newest state
	FilterFailed      Filter = "failed"      // a subscription failed
	FilterUncovered   Filter = "uncovered"   // a resource has no live subscription
)

// Filters lists all filters.
var Filters = []Filter{
	FilterAll, FilterAway, FilterPresent, FilterUnknown, FilterPending,
	FilterUndelivered, FilterRefused, FilterFailed, FilterUncovered,
}

// Query asks for monitored users, ordered by address.
type Query struct {
	Text      string // part of the address or the name, in any letter case; empty: all users
	Filter    Filter // empty: FilterAll
	Resources int    // how many subscriptions each mailbox should have
	Limit     int    // maximum number of users; 0: only count
	Cursor    string // of the previous page; empty: the first page
}

// Page is the answer to a [Query].
type Page struct {
	Users  []User
	Cursor string         // of the next page; empty on the last
	Total  int            // matching users, on all pages
	Counts map[Filter]int // users that match the text, by filter
}

// FeedEntry is an entry of the feed: an entry of one history, with the address it belongs to.
type FeedEntry struct {
	Event
	Address string
	Name    string
}

// Replica is a process of this service, as it reported itself.
type Replica struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	SeenAt  time.Time `json:"seenAt"` // by the Redis clock
	Load    Load      `json:"load"`
}

// Load is what one process did in a short span of time. Redis keeps it for an hour, so its
// JSON names are short.
type Load struct {
	Span      time.Duration `json:"s"`
	Reads     int           `json:"r,omitempty"`   // of mailboxes
	Late      time.Duration `json:"lag,omitempty"` // the longest delay of a read
	Throttled int           `json:"t,omitempty"`   // calls that Graph answered with 429
	// Delivered counts the states that the mediator acknowledged, by buckets of the time from
	// the change to the acknowledgement.
	Delivered map[int]int `json:"d,omitempty"`
}

// EventKind is what a history entry records.
type EventKind string

const (
	EventStarted      EventKind = "started"      // monitoring started
	EventStopped      EventKind = "stopped"      // monitoring stopped: only in the feed, because the history is deleted with the address
	EventChanged      EventKind = "changed"      // a new state, with its sequence number
	EventNotification EventKind = "notification" // the notification that announced a change
	EventUnknown      EventKind = "unknown"      // the mailbox can't be read
	EventKnown        EventKind = "known"        // it can be read again
	EventResend       EventKind = "resend"       // the state got a new sequence number on request
	EventDelivered    EventKind = "delivered"    // the mediator acknowledged a sequence number
	EventRefused      EventKind = "refused"      // the mediator refused a sequence number
	EventFailed       EventKind = "failed"       // an attempt failed and will be retried
	EventOvertaken    EventKind = "overtaken"    // a newer state superseded this one before it was delivered
)

// Event is an entry of an address's history.
type Event struct {
	At       time.Time `json:"at"`
	Kind     EventKind `json:"kind"`
	Source   Source    `json:"source,omitempty"`
	Sequence int64     `json:"sequence,omitempty"`
	Away     *bool     `json:"outOfOffice,omitempty"`

	// NotificationID and NotifiedAt identify the notification that announced the change.
	NotificationID string    `json:"notificationId,omitempty"`
	NotifiedAt     time.Time `json:"notifiedAt,omitzero"`

	Attempt   int    `json:"attempt,omitempty"`
	WebhookID string `json:"webhookId,omitempty"`
	Detail    string `json:"detail,omitempty"` // a sentence: an error, a reason
}
