package graph

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/microsoftgraph/msgraph-sdk-go/models"

	"outlook-monitor/internal/ooo"
)

const (
	laneCount = 24 // calls with subscription writes in flight
	atOnce    = 4  // requests of a $batch on which Graph works at the same time
)

// change is one write of a subscription.
type change struct {
	method string
	id     ooo.SubscriptionID   // none: a creation
	ask    *models.Subscription // nil: a deletion
	about  subject
	calls  bool // Graph calls our URL before it answers

	ready chan struct{} // closed when the change may go by itself or its batch is over
	own   bool          // which of the two
	left  bool          // its caller has left; guarded by lanes.mu
	in    *batch        // that it is part of; guarded by lanes.mu

	// What became of it in its batch, once ready is closed.
	got ooo.GraphSubscription
	err error
}

// batch is changes that go to Graph in one $batch. Its context ends with the time
// that a call may take, or when all callers have left.
type batch struct {
	ctx     context.Context
	cancel  context.CancelFunc
	changes []*change
	callers int  // that are still there; guarded by lanes.mu
	sent    bool // Graph may have it; guarded by lanes.mu
}

// lanes are the ways to Graph for subscription writes. While one is free, a write
// takes it and goes at once, by itself. While none is, writes wait for the next,
// and then go together. Nothing waits for time to pass.
type lanes struct {
	mu      sync.Mutex
	busy    int       // guarded by mu
	waiting []*change // oldest first; only while all are busy; guarded by mu
}

// write makes a change and returns the subscription as it is now. A caller that
// leaves while its change waits takes the change along.
func (c *Client) write(ctx context.Context, w *change) (ooo.GraphSubscription, error) {
	w.ready = make(chan struct{})
	if !c.lanes.enter(w) {
		select {
		case <-w.ready:
		case <-ctx.Done():
			if err := c.lanes.leave(w, ctx.Err()); err != nil {
				return ooo.GraphSubscription{}, err
			}
			<-w.ready
		}
		if !w.own {
			return w.got, w.err
		}
	}
	defer c.pass()
	return c.alone(ctx, w)
}

// alone makes a change in a call of its own.
func (c *Client) alone(ctx context.Context, w *change) (ooo.GraphSubscription, error) {
	ctx, cancel := context.WithTimeout(ctx, subscriptionTime)
	defer cancel()
	builder := c.subscriptionBuilder()
	var got models.Subscriptionable
	var err error
	switch w.method {
	case http.MethodPost:
		got, err = builder.Post(ctx, w.ask, nil)
	case http.MethodPatch:
		got, err = builder.BySubscriptionId(string(w.id)).Patch(ctx, w.ask, nil)
	default:
		err = builder.BySubscriptionId(string(w.id)).Delete(ctx, nil)
	}
	if err != nil {
		return ooo.GraphSubscription{}, because(sdkError(err), w.about)
	}
	return subscriptionOf(got), nil
}

// pass gives a lane that is free again to those who wait.
func (c *Client) pass() {
	if b := c.lanes.next(); b != nil {
		go c.together(b) // the last of its callers waits for it
	}
}

// enter lets a change go, or lets it wait.
func (l *lanes) enter(w *change) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy < laneCount {
		l.busy++
		return true
	}
	l.waiting = append(l.waiting, w)
	return false
}

// leave takes out a change whose caller has no more time. It returns nil if the
// caller has to stay until the change is ready, which is soon: the last of a
// batch ends it.
func (l *lanes) leave(w *change, cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	default:
	}
	if at := slices.Index(l.waiting, w); at >= 0 {
		l.waiting = slices.Delete(l.waiting, at, at+1)
		return notSent(cause)
	}
	b := w.in
	w.left = true
	if b.callers--; b.callers == 0 {
		b.cancel()
		return nil
	}
	return fmt.Errorf("%w: %w", ooo.ErrUnavailable, &unanswered{left: b.sent, cause: cause})
}

// seal returns those of some whose callers are still there: they go to Graph now.
func (l *lanes) seal(b *batch, some []*change) (going []*change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.sent = true
	for _, w := range some {
		if !w.left {
			going = append(going, w)
		}
	}
	return going
}

// next returns the batch that has the lane of the caller now. It returns nil if a
// single change has it, or nobody.
func (l *lanes) next() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	some := l.take()
	switch len(some) {
	case 0:
		l.busy--
		return nil
	case 1:
		some[0].own = true
		close(some[0].ready)
		return nil
	}
	b := &batch{changes: some, callers: len(some)}
	b.ctx, b.cancel = context.WithTimeout(context.Background(), subscriptionTime)
	for _, w := range some {
		w.in = b
	}
	return b
}

// take takes the changes that go next out of those that wait: the oldest, and
// others of its kind. What makes Graph call our URL may take twenty seconds, so it
// goes only with its like, and no more of it than Graph works on at once. Of the
// rest, so many more go as it takes to get all who wait into the lanes there are:
// a long batch takes Graph several rounds. Two changes of one subscription never
// go together, because Graph keeps no order. The caller holds mu.
func (l *lanes) take() (some []*change) {
	if len(l.waiting) == 0 {
		return nil
	}
	calls, most := l.waiting[0].calls, atOnce
	if !calls {
		most = min(max(most, (len(l.waiting)+laneCount-1)/laneCount), mostInBatch)
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(w *change) bool {
		same := func(o *change) bool { return w.id != "" && o.id == w.id }
		if len(some) == most || w.calls != calls || slices.ContainsFunc(some, same) {
			return false
		}
		some = append(some, w)
		return true
	})
	return some
}
