package due

import (
	"math/rand/v2"
	"time"
)

// Doubling returns the wait after so many failures in a row (1 for the first):
// from first, doubling up to most.
func Doubling(failures int, first, most time.Duration) time.Duration {
	wait := most
	if shift := max(failures, 1) - 1; shift < 30 && first <= most>>shift {
		wait = first << shift
	}
	return wait
}

// Backoff is Doubling less up to a fifth by chance, so that what failed together
// does not come back together.
func Backoff(failures int, first, most time.Duration) time.Duration {
	wait := Doubling(failures, first, most)
	return wait - rand.N(wait/5+1)
}

// NextTick returns the first of due+interval, due+2·interval, … after now. Ticks
// count from when a user was due, not from when it was read, so that the cadence
// does not drift; ticks that were missed are left out.
func NextTick(due, now time.Time, interval time.Duration) time.Time {
	next := due.Add(interval)
	if behind := now.Sub(next); behind >= 0 {
		next = next.Add((behind/interval + 1) * interval)
	}
	return next
}
