package watch

import (
	"math/rand/v2"
	"sync"
	"time"
)

// line is the line of those who wait to be looked up in the directory. Who finds
// all desks taken is told when it will be its turn, as well as can be known, and
// is not in anybody's way until then: a crowd that came back again and again would
// cost Redis more than all reads do.
type line struct {
	desks int

	mu    sync.Mutex
	takes time.Duration // a look-up, by the last ones; guarded by mu
	end   time.Time     // when the last in line has its turn; guarded by mu
}

// How long a look-up takes at least, and how far ahead a turn can be told: who
// has to wait longer asks again.
const (
	leastTakes = 20 * time.Millisecond
	mostLine   = 30 * time.Second
)

// place returns when to come again.
func (l *line) place(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	takes := max(l.takes, leastTakes)
	if first := now.Add(takes); l.end.Before(first) {
		l.end = first
	}
	turn := l.end.Add(takes / time.Duration(l.desks))
	if turn.Sub(now) > mostLine { // too far ahead to tell
		return now.Add(mostLine/2 + rand.N(mostLine/2))
	}
	l.end = turn
	return turn
}

// served notes how long a look-up took.
func (l *line) served(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takes += (took - l.takes) / 8
}
