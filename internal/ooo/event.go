package ooo

import "time"

// EventKind is what a history entry tells.
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

	// NotificationID and NotifiedAt tell of the notification that announced it.
	NotificationID string    `json:"notificationId,omitempty"`
	NotifiedAt     time.Time `json:"notifiedAt,omitzero"`

	Attempt   int    `json:"attempt,omitempty"`
	WebhookID string `json:"webhookId,omitempty"`
	Detail    string `json:"detail,omitempty"` // a sentence: an error, a reason
}
