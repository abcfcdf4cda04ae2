package ooo

import (
	"errors"
	"time"
)

// ErrBadCursor means that a cursor is not one that a page of users came with.
var ErrBadCursor = errors.New("cursor is not one that a page of users came with: leave it out to begin with the first")

// Filter picks users by how they stand.
type Filter string

const (
	Everyone        Filter = "all"
	FilterAway      Filter = "away"      // out of office
	FilterPresent   Filter = "office"    // in the office
	FilterUnknown   Filter = "unknown"   // can't be read
	FilterPending   Filter = "pending"   // not read yet
	FilterUntold    Filter = "untold"    // the newest state is on its way to the mediator
	FilterRefused   Filter = "refused"   // the mediator refused the newest state
	FilterFailed    Filter = "failed"    // a subscription failed
	FilterUncovered Filter = "uncovered" // a resource has no living subscription
)

// Filters lists all filters.
var Filters = []Filter{
	Everyone, FilterAway, FilterPresent, FilterUnknown, FilterPending,
	FilterUntold, FilterRefused, FilterFailed, FilterUncovered,
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

// News is an entry of somebody's history that was written just now.
type News struct {
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
	// Delivered counts the states that the mediator acknowledged by how long after
	// the change it did: see [LoadBucket].
	Delivered map[int]int `json:"d,omitempty"`
}

// LoadAt is a [Load] of one process at a time.
type LoadAt struct {
	At      time.Time
	Replica string
	Load
}
