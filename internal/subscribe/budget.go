package subscribe

import (
	"sync"
	"time"
)

// Graph accepts 500 subscription writes per 20 s from one app in a tenant. All replicas
// together make fewer in any 20 s, because Graph counts by its own clock: a burst of 25
// and then 23 a second, at most 485.
const (
	writeRate  = 23 // a second
	writeBurst = 25
)

// priority orders steps: uncovered mailboxes come first, then mailboxes that would become
// uncovered, then cleanup.
type priority int

const (
	urgent priority = iota
	normal
	low
	priorities int = iota
)

// reserved is the part of the burst that a step leaves to more urgent steps.
var reserved = [priorities]float64{urgent: 0, normal: 0.3, low: 0.6}

func (s Step) priority() priority {
	switch {
	case s.Action == Create || s.Action == Drop || s.Action == RemoveRecord || s.Reason == Emergency:
		return urgent
	case s.Action == Renew && s.Reason != ExistenceCheck || s.Reason == KeyDropped: // its notifications are rejected
		return normal
	}
	return low
}

// callsGraph reports whether the step calls Graph, and so needs the budget.
func (s Step) callsGraph() bool {
	return s.Action != Nothing && s.Action != Drop && s.Action != RemoveRecord
}

// budget is this replica's share of the writes: a bucket that fills at a steady rate.
type budget struct {
	share func() float64

	mu      sync.Mutex
	tokens  float64   // as of updated; guarded by mu
	updated time.Time // guarded by mu
}

// take takes one write and returns 0, or returns how long to wait before asking again.
func (b *budget) take(p priority) time.Duration {
	share := min(max(b.share(), 0.01), 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	now, rate, burst := time.Now(), writeRate*share, max(writeBurst*share, 1)
	b.tokens = min(b.tokens+max(now.Sub(b.updated).Seconds(), 0)*rate, burst)
	b.updated = now
	if need := 1 + reserved[p]*(burst-1); b.tokens < need {
		return time.Duration((need-b.tokens)/rate*float64(time.Second)) + time.Millisecond
	}
	b.tokens--
	return 0
}
