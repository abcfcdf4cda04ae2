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
