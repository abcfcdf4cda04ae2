package ooo

import "time"

// Replica is a process of this service, as it reported itself.
type Replica struct {
	ID      string    `json:"id"` // its life
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
