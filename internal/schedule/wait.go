package schedule

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Doubling returns the wait after so many failures in a row (1 for the first):
// from first, doubling up to most.
func Doubling(failures int, first, most time.Duration) time.Duration {
	if shift := max(failures, 1) - 1; shift < 30 && first <= most>>shift {
		return first << shift
	}
	return most
}

// Backoff is Doubling less up to a fifth at random, so that what failed together does
// not come back together.
func Backoff(failures int, first, most time.Duration) time.Duration {
	wait := Doubling(failures, first, most)
	return wait - rand.N(wait/5+1)
}

// Sleep waits and reports whether ctx still lives.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// Retry calls try, with growing waits in between (see [Backoff]), until it returns nil
// or ctx ends, and reports whether it was nil. failures counts from 1, that of this try.
func Retry(ctx context.Context, first, most time.Duration, try func(failures int) error) bool {
	for failures := 1; try(failures) != nil; failures++ {
		if !Sleep(ctx, Backoff(failures, first, most)) {
			return false
		}
	}
	return true
}

// RetryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds, also with
// a fraction, or an HTTP date, which counts from now. The wait is brought within least
// and most. ok is false if there is none or it can't be read.
func RetryAfter(header string, now time.Time, least, most time.Duration) (wait time.Duration, ok bool) {
	header = strings.TrimSpace(header)
	seconds, err := strconv.ParseFloat(header, 64) // a number too long for it is infinite
	if (err == nil || errors.Is(err, strconv.ErrRange)) && !math.IsNaN(seconds) {
		seconds = min(max(seconds, least.Seconds()), most.Seconds())
		wait = time.Duration(seconds * float64(time.Second))
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	} else {
		return 0, false
	}
	return min(max(wait, least), most), true
}
