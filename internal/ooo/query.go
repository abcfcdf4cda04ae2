package ooo

import "errors"

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
	FilterFailed      Filter = "failed"      // the last step of a subscription failed, even if it is live
	FilterUncovered   Filter = "uncovered"   // can be read, or was not read yet, but lacks a live subscription
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
