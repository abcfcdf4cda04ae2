package deliver

import (
	"time"

	"outlook-monitor/internal/ooo"
)

const (
	// abandonedTime is how long an attempt whose owner was lost may still be under way
	// at the mediator.
	abandonedTime = 12 * time.Second
	// Waits after a refusal and after another failure: the first and the longest one.
	refusedFirst, refusedMost = 5 * time.Second, 15 * time.Minute
	failedFirst, failedMost   = time.Second, time.Minute
	// retryAfterMost bounds a wait that the mediator asks for: an error of its clock
	// must not silence a user for a day.
	retryAfterMost = time.Hour
)

// dueTimes says when the newest state of an address may be sent. Times that were
// stored by another process go by its clock, so each is compared with the clock once,
// when it is first seen, and cut at the longest wait of its kind.
type dueTimes struct {
	sequence int64
	since    time.Time // when this state was first seen

	begun time.Time // of an attempt without a result
	freed time.Time // when that one can no longer be under way

	next  time.Time // [ooo.Delivery.NextAttemptAt]
	retry time.Time // when that time has come
}

// of returns the times that hold for an address; t are those that held before.
func (t dueTimes) of(a *ooo.Address, now time.Time) dueTimes {
	d := &a.Delivery
	if t.sequence != a.Sequence {
		t.sequence, t.since = a.Sequence, now
	}
	if !t.begun.Equal(d.BegunAt) {
		t.begun, t.freed = d.BegunAt, time.Time{}
		if !d.BegunAt.IsZero() {
			t.freed = now.Add(min(d.BegunAt.Add(abandonedTime).Sub(now), abandonedTime))
		}
	}
	if !t.next.Equal(d.NextAttemptAt) {
		t.next, t.retry = d.NextAttemptAt, now
		if !d.NextAttemptAt.IsZero() {
			longest := failedMost
			if d.Throttled || d.State == ooo.DeliveryRefused { // a refusal may come with a Retry-After too
				longest = retryAfterMost
			}
			t.retry = now.Add(min(d.NextAttemptAt.Sub(now), longest))
		}
	}
	return t
}

// at returns when the state is due.
func (t dueTimes) at() time.Time {
	at := t.since
	for _, other := range []time.Time{t.freed, t.retry} {
		if other.After(at) {
			at = other
		}
	}
	return at
}
