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

// Doubling returns how long to wait after a number of failures in a row: first after one
// failure, twice as long after each further one, but at most limit.
func Doubling(failures int, first, limit time.Duration) time.Duration {
	if shift := max(failures, 1) - 1; first <= limit>>shift {
		return first << shift
	}
	return limit
}

// Backoff returns [Doubling] shortened by up to a fifth at random, so that what failed at the
// same time is not retried at the same time.
func Backoff(failures int, first, limit time.Duration) time.Duration {
	wait := Doubling(failures, first, limit)
	return wait - rand.N(wait/5+1)
}

// Sleep waits for d or until ctx ends, and reports whether ctx is still alive.
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

// Retry calls try with [Backoff] in between until try returns nil or ctx ends, and reports
// whether try returned nil. The number passed to try is that of the current attempt, from 1.
func Retry(ctx context.Context, first, limit time.Duration, try func(attempt int) error) bool {
	for attempt := 1; try(attempt) != nil; attempt++ {
		if !Sleep(ctx, Backoff(attempt, first, limit)) {
			return false
		}
	}
	return true
}

// RetryAfter parses a Retry-After header (RFC 9110, section 10.2.3): seconds, possibly with a
// fraction, or an HTTP date, which is relative to now. The wait is clamped to shortest and
// longest; it is 0 if the header is empty or malformed.
func RetryAfter(header string, now time.Time, shortest, longest time.Duration) time.Duration {
	header = strings.TrimSpace(header)
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), shortest), longest)
	}
	seconds, err := strconv.ParseFloat(header, 64) // infinite if the number is too large
	if errors.Is(err, strconv.ErrSyntax) || math.IsNaN(seconds) {
		return 0
	}
	return time.Duration(min(max(seconds, shortest.Seconds()), longest.Seconds()) * float64(time.Second))
}
