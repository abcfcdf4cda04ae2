package ooo

import (
	"errors"
	"time"
)

// ErrBadCursor means that a cursor is not one that a page of users came with.
var ErrBadCursor = errors.New("cursor is not one that a page of users came with: leave it out to begin with the first")

// Filter picks users by their state.
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
	FilterUncovered   Filter = "uncovered"   // a resource has no living subscription
)

// Filters lists all filters.
var Filters = []Filter{
	FilterAll, FilterAway, FilterPresent, FilterUnknown, FilterPending,
	FilterUndelivered, FilterRefused, FilterFailed, FilterUncovered,
}

// Query asks for monitored users by address.
type Query struct {
	Text      string // part of the address or the name, in any letter case; empty: any
	Filter    Filter // empty: Everyone
	Resources int    // how many subscriptions each mailbox should have
	Limit     int    // at most so many users; 0: only count
	Cursor    string // of the page before; empty: from the start
}

// Page is the answer to a [Query].
type Page struct {
	Users  []User
	Cursor string // of the next page; empty on the last
	Total  int    // users that match, on all pages
	// Counts says how many users match the text and each filter.
	Counts map[Filter]int
}

// FeedEntry is an entry of the feed: an entry of one history, with the address it belongs to.
type FeedEntry struct {
	Event
	Address string
	Name    string
}

// Replica is a process of this service that is alive.
type Replica struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	SeenAt  time.Time `json:"seenAt"` // by the clock of Redis
	Load    Load      `json:"load"`
}

// Load is what one process did in a short span of time. It is kept for an hour,
// so its names are short.
type Load struct {
	Span      time.Duration `json:"s"`
	Reads     int           `json:"r,omitempty"`   // of mailboxes
	Late      time.Duration `json:"lag,omitempty"` // how long after it was due the latest read began
	Calls     int           `json:"c,omitempty"`   // of Graph
	Throttled int           `json:"t,omitempty"`   // those that Graph answered with 429
	// Delivered counts the states that the mediator acknowledged, by buckets of how long
	// after the change it did.
	Delivered map[int]int `json:"d,omitempty"`
}

// LoadAt is a [Load] of one process at a time.
type LoadAt struct {
	At      time.Time
	Replica string
	Load
}

// EventKind is what a history entry records.
type EventKind string

const (
	EventStarted      EventKind = "started"      // monitoring started
	EventStopped      EventKind = "stopped"      // monitoring stopped: in the feed alone, for the history goes with the address
	EventChanged      EventKind = "changed"      // a new state, with its sequence number
	EventNotification EventKind = "notification" // the notification that announced a change
	EventUnknown      EventKind = "unknown"      // the mailbox can't be read
	EventKnown        EventKind = "known"        // it can be read again
	EventResend       EventKind = "resend"       // the state gets a new sequence number on request
	EventDelivered    EventKind = "delivered"    // the mediator acknowledged a sequence number
	EventRefused      EventKind = "refused"      // the mediator refused it
	EventFailed       EventKind = "failed"       // an attempt failed and will be repeated
	EventOvertaken    EventKind = "overtaken"    // a newer state came first, this one is not sent
)

// Event is an entry of a user's history.
type Event struct {
	At       time.Time `json:"at"`
	Kind     EventKind `json:"kind"`
	Source   Source    `json:"source,omitempty"`
	Sequence int64     `json:"sequence,omitempty"`
	Away     *bool     `json:"outOfOffice,omitempty"`

	// NotificationID and NotifiedAt are those of the notification that announced it.
	NotificationID string    `json:"notificationId,omitempty"`
	NotifiedAt     time.Time `json:"notifiedAt,omitzero"`

	Attempt   int    `json:"attempt,omitempty"`
	WebhookID string `json:"webhookId,omitempty"`
	Detail    string `json:"detail,omitempty"` // a sentence: an error, a reason
}
