package subscribe

import (
	"sync"
	"time"
)

// Graph takes 500 subscription writes per 20 s of one app in a tenant. All replicas
// together make fewer in any 20 s, because Graph counts by its own clock: a burst of
// 25 and 23 a second, at most 485.
const (
	WriteRate  = 23 // a second
	WriteBurst = 25
)

// priority orders steps: who is not covered comes before who will not be, and both
// before tidiness.
type priority int

const (
	urgent priority = iota
	normal
	tidy
	priorities int = iota
)

// kept is the part of the burst that a step leaves to more urgent ones.
var kept = [priorities]float64{urgent: 0, normal: 0.3, tidy: 0.6}

func (s Step) priority() priority {
	switch {
	case s.Action == Create || s.Action == Drop || s.Action == Remove || s.Reason == Emergency:
		return urgent
	case s.Action == Renew && s.Reason != Examined || s.Reason == KeyDropped: // whose notifications are rejected
		return normal
	}
	return tidy
}

// calls reports whether the step is a call of Graph, and so in the budget.
func (s Step) calls() bool { return s.Action != Nothing && s.Action != Drop && s.Action != Remove }

// budget is this replica's share of the writes: a bucket that fills at a steady rate.
type budget struct {
	share func() float64

	mu     sync.Mutex
	tokens float64   // guarded by mu
	at     time.Time // when tokens was right; guarded by mu
}

// take takes one write and returns 0, or returns how long to wait before asking again.
func (b *budget) take(p priority) time.Duration {
	share := min(max(b.share(), 0.01), 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	now, rate, burst := time.Now(), WriteRate*share, max(WriteBurst*share, 1)
	b.tokens = min(b.tokens+max(now.Sub(b.at).Seconds(), 0)*rate, burst)
	b.at = now
	if need := 1 + kept[p]*(burst-1); b.tokens < need {
		return time.Duration((need-b.tokens)/rate*float64(time.Second)) + time.Millisecond
	}
	b.tokens--
	return 0
}
