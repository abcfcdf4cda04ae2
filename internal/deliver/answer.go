package deliver

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

const (
	// First and longest wait after a refusal and after another failure.
	refusedFirst, refusedMost = 5 * time.Second, 15 * time.Minute
	failedFirst, failedMost   = time.Second, time.Minute
	// retryAfterMost bounds a wait that the mediator asks for: a wrong clock there must
	// not block the deliveries of a user for a day. See also [dueTime.update].
	retryAfterMost = time.Hour
)

// Answer is the result of a call.
type Answer struct {
	code   int           // 0: no answer
	after  time.Duration // Retry-After; 0: none
	body   []byte
	unsent bool  // the request was held back: the mediator has received nothing
	err    error // why there is no answer; never contains a secret
}

// problem returns what went wrong.
func (a Answer) problem() error {
	if a.err != nil {
		return a.err
	}
	return fmt.Errorf("the mediator answered %d %s", a.code, http.StatusText(a.code))
}

// refused reports whether the mediator does not accept the state. It answers 403 while its voice
// mail server is down, so that is no refusal.
func (a Answer) refused() bool {
	return slices.Contains([]int{400, 401, 404, 405, 410, 422}, a.code)
}

// result is what an answer means for an address. It is zero if nothing was sent.
type result struct {
	state     ooo.DeliveryState // delivered, refused, or pending: it is retried
	problem   string            // empty if it was delivered
	failures  int               // of this kind in a row, including this one
	wait      time.Duration     // until the next attempt
	throttled bool              // the mediator asked for the wait, and a newer state waits too
}

// result returns what the answer means for address, which is as of the beginning of the
// attempt.
func (a Answer) result(address *ooo.Address) result {
	switch {
	case a.unsent:
		return result{}
	case a.code/100 == 2:
		return result{state: ooo.DeliveryDelivered}
	}
	refused, refusedBefore := a.refused(), address.Delivery.State == ooo.DeliveryRefused
	r := result{problem: a.problem().Error(), failures: 1}
	if refused == refusedBefore { // each kind of failure starts with its own first wait
		r.failures += address.Delivery.Failures
	}
	if refused {
		r.state, r.wait = ooo.DeliveryRefused, schedule.Doubling(r.failures, refusedFirst, refusedMost)
	} else {
		r.state, r.wait = ooo.DeliveryPending, schedule.Backoff(r.failures, failedFirst, failedMost)
	}
	if a.after > 0 {
		// A refusal is about this state: a newer state need not wait.
		r.wait, r.throttled = a.after, !refused
	}
	return r
}
