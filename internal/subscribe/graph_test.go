package subscribe_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// fakeGraph is a Graph with subscriptions in memory.
type fakeGraph struct {
	graphMu        sync.Mutex
	subscriptions  map[ooo.SubscriptionID]ooo.GraphSubscription // guarded by graphMu, as all below
	clientStates   map[ooo.SubscriptionID]string
	requests       []ooo.SubscriptionRequest // to create or patch
	calls          []string                  // such as "create", "patch sub-1"
	callTimes      []time.Time               // when each call ended
	created        int
	onePerResource bool          // refuse a second subscription with 409
	maxLifetime    time.Duration // refuse longer lifetimes; 0: no limit
	grantLimit     time.Duration // shorten longer lifetimes; 0: no limit
	latency        time.Duration
	inFlight, peak int
	fail           func(call string) error
	pages          []page // of the next list, instead of the real one
	link           string // to the next page
}

// page is an answer to a list request.
type page struct {
	ids  []ooo.SubscriptionID
	next string // link to the next page; empty: a new one, if there is a next page
	err  error
}

func newGraph() *fakeGraph {
	return &fakeGraph{subscriptions: map[ooo.SubscriptionID]ooo.GraphSubscription{},
		clientStates: map[ooo.SubscriptionID]string{}, fail: always(nil)}
}

func (g *fakeGraph) set(change func()) {
	g.graphMu.Lock()
	defer g.graphMu.Unlock()
	change()
}

// takeCalls returns the calls since the last takeCalls or takeTimedCalls.
func (g *fakeGraph) takeCalls() string {
	calls, _ := g.takeTimedCalls()
	return strings.Join(calls, ", ")
}

// takeTimedCalls is takeCalls with the time of each call.
func (g *fakeGraph) takeTimedCalls() (calls []string, times []time.Time) {
	g.set(func() {
		calls, times = g.calls, g.callTimes
		g.calls, g.callTimes = nil, nil
	})
	return calls, times
}

// loseAll makes Graph lose all subscriptions without a notification.
func (g *fakeGraph) loseAll() { g.set(func() { clear(g.subscriptions) }) }

// The errors of calls that get no answer. Graph carries out those with errAnswerLost.
var (
	errUnanswered = fmt.Errorf("%w: no answer", ooo.ErrUnavailable)
	errAnswerLost = errors.New("the answer is lost")
)

// failBy makes calls fail as fail says from now on.
func (g *fakeGraph) failBy(fail func(call string) error) { g.set(func() { g.fail = fail }) }

func always(err error) func(call string) error { return func(string) error { return err } }

// failWith makes the next calls of a kind, or all next calls if that is empty, fail with errs
// in this order; nil lets a call succeed.
func (g *fakeGraph) failWith(kind string, errs ...error) {
	g.failBy(func(call string) (err error) {
		if len(errs) > 0 && (kind == "" || kind == call) {
			err, errs = errs[0], errs[1:]
		}
		return err
	})
}

// addStray adds a subscription that is in no record.
func (g *fakeGraph) addStray(id ooo.SubscriptionID, resource string, edits ...func(*ooo.GraphSubscription)) {
	s := ooo.GraphSubscription{
		ID: id, Resource: resource, NotificationURL: hook, ExpiresAt: time.Now().Add(30 * time.Minute)}
	for _, edit := range edits {
		edit(&s)
	}
	g.set(func() { g.subscriptions[id] = s })
}

// listed returns the subscriptions that have not expired. The caller must hold graphMu.
func (g *fakeGraph) listed() map[ooo.SubscriptionID]ooo.GraphSubscription {
	all := maps.Clone(g.subscriptions)
	maps.DeleteFunc(all, func(_ ooo.SubscriptionID, s ooo.GraphSubscription) bool { return !s.ExpiresAt.After(time.Now()) })
	return all
}

// call carries out a call after its latency. A caller that gives up in between gets no
// answer.
func (g *fakeGraph) call(ctx context.Context, call string, do func() (ooo.GraphSubscription, error)) (ooo.GraphSubscription, error) {
	g.set(func() { g.inFlight++; g.peak = max(g.peak, g.inFlight) })
	select {
	case <-time.After(g.latency):
	case <-ctx.Done():
	}
	g.graphMu.Lock()
	defer g.graphMu.Unlock()
	g.inFlight--
	g.calls, g.callTimes = append(g.calls, call), append(g.callTimes, time.Now())
	failure := g.fail(call)
	if failure != nil && !errors.Is(failure, errAnswerLost) {
		return ooo.GraphSubscription{}, failure
	}
	s, err := do()
	if err == nil && (failure != nil || ctx.Err() != nil) {
		return ooo.GraphSubscription{}, errUnanswered
	}
	return s, err
}

// granted returns the expiry that Graph grants.
func (g *fakeGraph) granted(requested time.Time) (time.Time, error) {
	if g.maxLifetime > 0 && time.Until(requested) > g.maxLifetime {
		return requested, fmt.Errorf("%w: %w", ooo.ErrRejected, &ooo.LifetimeTooLong{Max: g.maxLifetime})
	}
	if latest := time.Now().Add(g.grantLimit); g.grantLimit > 0 && latest.Before(requested) {
		return latest, nil
	}
	return requested, nil
}

func (g *fakeGraph) CreateSubscription(ctx context.Context, r ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	g.set(func() { g.requests = append(g.requests, r) })
	return g.call(ctx, "create", func() (s ooo.GraphSubscription, err error) {
		s = ooo.GraphSubscription{Resource: r.Resource, NotificationURL: r.NotificationURL}
		for id, other := range g.listed() {
			if g.onePerResource && other.Resource == r.Resource {
				return s, &ooo.Duplicate{ID: id}
			}
		}
		if s.ExpiresAt, err = g.granted(r.ExpiresAt); err != nil {
			return s, err
		}
		g.created++
		s.ID = ooo.SubscriptionID("sub-" + strconv.Itoa(g.created))
		g.subscriptions[s.ID], g.clientStates[s.ID] = s, r.ClientState
		return s, nil
	})
}

func (g *fakeGraph) PatchSubscription(ctx context.Context, id ooo.SubscriptionID, p ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	g.set(func() { g.requests = append(g.requests, p) })
	return g.call(ctx, "patch "+string(id), func() (s ooo.GraphSubscription, err error) {
		s, ok := g.listed()[id]
		if !ok {
			return s, ooo.ErrSubscriptionGone
		}
		if s.ExpiresAt, err = g.granted(p.ExpiresAt); err != nil {
			return s, err
		}
		if p.NotificationURL != "" {
			s.NotificationURL = p.NotificationURL
		}
		g.subscriptions[id] = s
		return s, nil
	})
}

func (g *fakeGraph) DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error {
	_, err := g.call(ctx, "delete "+string(id), func() (s ooo.GraphSubscription, err error) {
		if _, ok := g.listed()[id]; !ok {
			return s, ooo.ErrSubscriptionGone
		}
		delete(g.subscriptions, id)
		return s, nil
	})
	return err
}

// SubscriptionPage returns all subscriptions on one page, unless pages are set. Then each call
// takes one of them, and must have the link of the last that was no error.
func (g *fakeGraph) SubscriptionPage(ctx context.Context, link string) (found []ooo.GraphSubscription, next string, err error) {
	_, err = g.call(ctx, "list", func() (s ooo.GraphSubscription, err error) {
		if len(g.pages) == 0 {
			g.pages = []page{{ids: slices.Sorted(maps.Keys(g.subscriptions))}}
		}
		if link != g.link {
			return s, fmt.Errorf("page %q requested, want %q", link, g.link)
		}
		p := g.pages[0]
		if g.pages = g.pages[1:]; p.err != nil {
			return s, p.err
		}
		for _, id := range p.ids {
			found = append(found, g.subscriptions[id])
		}
		if len(g.pages) > 0 {
			next = cmp.Or(p.next, fmt.Sprint("page ", len(g.pages)))
		}
		g.link = next
		return s, nil
	})
	return found, next, err
}
