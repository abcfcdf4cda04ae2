package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// fakeGraph has subscriptions in memory.
type fakeGraph struct {
	graphMu  sync.Mutex
	graph    map[ooo.SubscriptionID]ooo.GraphSubscription // guarded by graphMu, as all below
	states   map[ooo.SubscriptionID]string                // clientStates, which Graph doesn't tell
	requests []ooo.SubscriptionRequest
	made     []string      // calls, such as "create", "patch sub-1"
	at       []time.Time   // of made
	number   int           // of the last subscription made
	single   bool          // one for each resource, or 409
	most     time.Duration // the longest life; what asks for more is refused; 0: no limit
	grant    time.Duration // the longest life; what asks for more gets less; 0: no limit
	took     time.Duration // of each call
	inFlight int
	peak     int // of inFlight
	fail     func(what string) error
	lost     func(what string) bool // it is carried out, but the answer is lost
	pages    []page                 // instead of the true list
}

// page is one answer to a listing.
type page struct {
	ids []ooo.SubscriptionID
	err error
}

func newGraph() *fakeGraph {
	return &fakeGraph{graph: map[ooo.SubscriptionID]ooo.GraphSubscription{}, states: map[ooo.SubscriptionID]string{},
		fail: func(string) error { return nil }, lost: func(string) bool { return false }}
}

func (g *fakeGraph) set(change func()) {
	g.graphMu.Lock()
	defer g.graphMu.Unlock()
	change()
}

// story returns the calls since the last look.
func (g *fakeGraph) story() string {
	made, _ := g.timed()
	return strings.Join(made, ", ")
}

// timed returns the calls since the last look and when they came.
func (g *fakeGraph) timed() (made []string, at []time.Time) {
	g.set(func() {
		made, at = g.made, g.at
		g.made, g.at = nil, nil
	})
	return made, at
}

// forget is Graph losing all subscriptions without a word.
func (g *fakeGraph) forget() { g.set(func() { clear(g.graph) }) }

// failFirst has the next n calls fail.
func (g *fakeGraph) failFirst(n int, err error) {
	g.set(func() {
		g.fail = func(string) error {
			if n--; n >= 0 {
				return err
			}
			return nil
		}
	})
}

// once has the first call of a kind fail.
func once(what string, err error) func(string) error {
	done := false
	return func(call string) error {
		if call != what || done {
			return nil
		}
		done = true
		return err
	}
}

var errLost = errors.Join(ooo.ErrUnavailable, ooo.ErrNoAnswer)

// listed are the living ones. The caller holds graphMu.
func (g *fakeGraph) listed() map[ooo.SubscriptionID]ooo.GraphSubscription {
	all := maps.Clone(g.graph)
	maps.DeleteFunc(all, func(_ ooo.SubscriptionID, s ooo.GraphSubscription) bool { return !s.ExpiresAt.After(time.Now()) })
	return all
}

// call carries out a call, which takes its time first. Whoever gives up meanwhile gets
// no answer.
func (g *fakeGraph) call(ctx context.Context, what string, do func() (ooo.GraphSubscription, error)) (ooo.GraphSubscription, error) {
	g.set(func() { g.inFlight++; g.peak = max(g.peak, g.inFlight) })
	select {
	case <-time.After(g.took):
	case <-ctx.Done():
	}
	g.graphMu.Lock()
	defer g.graphMu.Unlock()
	g.inFlight--
	g.made, g.at = append(g.made, what), append(g.at, time.Now())
	if err := g.fail(what); err != nil {
		return ooo.GraphSubscription{}, err
	}
	s, err := do()
	if err == nil && (g.lost(what) || ctx.Err() != nil) {
		return ooo.GraphSubscription{}, errLost
	}
	return s, err
}

// granted is the expiry that Graph returns.
func (g *fakeGraph) granted(asked time.Time) (time.Time, error) {
	if g.most > 0 && time.Until(asked) > g.most {
		return asked, fmt.Errorf("%w: %w", ooo.ErrRejected, &ooo.LifetimeTooLong{Max: g.most})
	}
	if most := time.Now().Add(g.grant); g.grant > 0 && most.Before(asked) {
		return most, nil
	}
	return asked, nil
}

func (g *fakeGraph) CreateSubscription(ctx context.Context, r ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	g.set(func() { g.requests = append(g.requests, r) })
	return g.call(ctx, "create", func() (s ooo.GraphSubscription, err error) {
		s = ooo.GraphSubscription{Resource: r.Resource, NotificationURL: r.NotificationURL, LifecycleURL: r.LifecycleURL}
		for id, other := range g.listed() {
			if g.single && other.Resource == r.Resource {
				return s, &ooo.Duplicate{ID: id}
			}
		}
		if s.ExpiresAt, err = g.granted(r.ExpiresAt); err != nil {
			return s, err
		}
		g.number++
		s.ID = ooo.SubscriptionID("sub-" + strconv.Itoa(g.number))
		g.graph[s.ID], g.states[s.ID] = s, r.ClientState
		return s, nil
	})
}

func (g *fakeGraph) PatchSubscription(ctx context.Context, id ooo.SubscriptionID, p ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
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
		g.graph[id] = s
		return s, nil
	})
}

func (g *fakeGraph) DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error {
	_, err := g.call(ctx, "delete "+string(id), func() (s ooo.GraphSubscription, err error) {
		if _, ok := g.listed()[id]; !ok {
			return s, ooo.ErrSubscriptionGone
		}
		delete(g.graph, id)
		return s, nil
	})
	return err
}

// SubscriptionPages lists a hundred a page. After an error it goes on where it was, as
// the client does.
func (g *fakeGraph) SubscriptionPages(ctx context.Context) iter.Seq2[[]ooo.GraphSubscription, error] {
	var pages []page
	g.set(func() {
		if pages = g.pages; pages != nil {
			return
		}
		for ids := range slices.Chunk(slices.Sorted(maps.Keys(g.graph)), 100) {
			pages = append(pages, page{ids: ids})
		}
		if len(pages) == 0 {
			pages = []page{{}}
		}
	})
	return func(yield func([]ooo.GraphSubscription, error) bool) {
		for _, p := range pages {
			var found []ooo.GraphSubscription
			_, err := g.call(ctx, "list", func() (s ooo.GraphSubscription, err error) {
				for _, id := range p.ids {
					found = append(found, g.graph[id])
				}
				return s, p.err
			})
			if !yield(found, err) {
				return
			}
		}
	}
}
