package subscribe_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"outlook-monitor/internal/ooo"
)

// call notes a call to Graph and says what becomes of it.
func (w *world) call(what string) error {
	w.calls, w.at = append(w.calls, what), append(w.at, time.Now())
	return w.fail(what)
}

// travel takes the time that a call takes to Graph.
func (w *world) travel() {
	w.mu.Lock()
	slow := w.slow
	w.mu.Unlock()
	if slow > 0 {
		time.Sleep(rand.N(slow))
	}
}

// granted is the expiry that Graph returns.
func (w *world) granted(asked time.Time) time.Time {
	if most := time.Now().Add(w.grant); w.grant > 0 && most.Before(asked) {
		return most
	}
	return asked
}

// failFirst has the next n calls fail.
func (w *world) failFirst(n int, err error) {
	w.set(func() {
		w.fail = func(string) error {
			if n--; n >= 0 {
				return err
			}
			return nil
		}
	})
}

// answer is what comes back of a call that was carried out.
func (w *world) answer(what string, s ooo.GraphSubscription) (ooo.GraphSubscription, error) {
	if w.lost(what) {
		return ooo.GraphSubscription{}, fmt.Errorf("%w: %w", ooo.ErrUnavailable, ooo.ErrNoAnswer)
	}
	return s, nil
}

func (w *world) CreateSubscription(_ context.Context, r ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	w.travel()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, r)
	if err := w.call("create"); err != nil {
		return ooo.GraphSubscription{}, err
	}
	if w.most > 0 && time.Until(r.ExpiresAt) > w.most {
		return ooo.GraphSubscription{}, fmt.Errorf("%w: %w", ooo.ErrRejected, &ooo.TooLong{Max: w.most})
	}
	for id, s := range w.graph {
		if w.single && s.Resource == r.Resource && s.ExpiresAt.After(time.Now()) {
			return ooo.GraphSubscription{}, &ooo.Duplicate{ID: id}
		}
	}
	w.number++
	s := ooo.GraphSubscription{
		ID: ooo.SubscriptionID("sub-" + strconv.Itoa(w.number)), Resource: r.Resource, ChangeType: r.ChangeType,
		NotificationURL: r.NotificationURL, LifecycleURL: r.LifecycleURL, ExpiresAt: w.granted(r.ExpiresAt),
	}
	w.graph[s.ID], w.states[s.ID] = s, r.ClientState
	return w.answer("create", s)
}

func (w *world) PatchSubscription(_ context.Context, id ooo.SubscriptionID, p ooo.SubscriptionPatch) (ooo.GraphSubscription, error) {
	w.travel()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.call("patch " + string(id)); err != nil {
		return ooo.GraphSubscription{}, err
	}
	s, ok := w.graph[id]
	switch {
	case !ok || !s.ExpiresAt.After(time.Now()):
		return ooo.GraphSubscription{}, ooo.ErrSubscriptionGone
	case w.most > 0 && time.Until(p.ExpiresAt) > w.most:
		return ooo.GraphSubscription{}, &ooo.TooLong{Max: w.most}
	}
	s.ExpiresAt = w.granted(p.ExpiresAt)
	if p.NotificationURL != "" {
		s.NotificationURL = p.NotificationURL
	}
	w.graph[id] = s
	return w.answer("patch "+string(id), s)
}

func (w *world) DeleteSubscription(_ context.Context, id ooo.SubscriptionID) error {
	w.travel()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.call("delete " + string(id)); err != nil {
		return err
	}
	if _, ok := w.graph[id]; !ok {
		return ooo.ErrSubscriptionGone
	}
	delete(w.graph, id)
	return nil
}

func (w *world) Subscriptions(context.Context) iter.Seq2[ooo.GraphSubscription, error] {
	w.travel()
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.call("list")
	all := slices.Collect(maps.Values(w.graph))
	return func(yield func(ooo.GraphSubscription, error) bool) {
		for _, s := range all {
			if err == nil && !yield(s, nil) {
				return
			}
		}
		if err != nil {
			yield(ooo.GraphSubscription{}, err)
		}
	}
}

// forget is Graph losing all subscriptions without a word.
func (w *world) forget() { w.set(func() { clear(w.graph) }) }
