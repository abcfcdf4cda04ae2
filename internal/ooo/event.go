package ooo

import "time"

// Source is what triggered a read of a mailbox. It is a history field and a metric label.
type Source string

const (
	SourcePoll         Source = "poll"         // the regular read
	SourceNotification Source = "notification" // a change notification or lifecycle event
	SourceWindow       Source = "window"       // the edge of a scheduled window
	SourceRequest      Source = "request"      // the mediator or an operator
	SourceSubscription Source = "subscription" // a subscription was created: Graph does not announce earlier changes
	SourcePresence     Source = "presence"     // the user's presence changed
)

// EventKind is what a history entry records.
type EventKind string

const (
	EventStarted      EventKind = "started"      // monitoring started
	EventStopped      EventKind = "stopped"      // monitoring stopped: only in the feed, because the history is deleted with the address
	EventChanged      EventKind = "changed"      // a new state, with its sequence number
	EventNotification EventKind = "notification" // the notification that announced a change
	EventUnknown      EventKind = "unknown"      // the mailbox can't be read; not if it is throttled briefly
	EventKnown        EventKind = "known"        // it can be read again
	EventResend       EventKind = "resend"       // the state got a new sequence number on request
	EventDelivered    EventKind = "delivered"    // the mediator acknowledged a sequence number
	EventRefused      EventKind = "refused"      // the mediator refused a sequence number
	EventFailed       EventKind = "failed"       // the first attempt of several in a row failed; it will be retried
	EventOvertaken    EventKind = "overtaken"    // a newer state superseded this one before it was delivered; it may have been sent
)

// HistoryLength is how many of its newest events the history of an address keeps at least.
const HistoryLength = 200

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
	Detail    string `json:"detail,omitempty"` // an error or a reason, for people
}

// FeedEntry is an entry of the feed: an entry of one history, with the address it belongs to.
type FeedEntry struct {
	Event
	Address string
	Name    string
}
