package subscribe

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// do carries out one step and records how it went. Its error is the store's:
// Graph's become part of the record.
func (s *Subscriber) do(ctx context.Context, clock due.Clock, keys ooo.ClientStateKeys, c ooo.Claim, user ooo.User, step Step) error {
	sub := step.Subscription
	var err error // Graph's
	switch step.Action {
	case Create:
		err = s.create(ctx, clock, keys, c, user, &sub)
	case Find:
		err = s.find(ctx, clock, &sub)
	case Renew:
		err = s.renew(ctx, clock, &sub)
	case Delete:
		if err = s.cfg.Graph.DeleteSubscription(ctx, sub.ID); err == nil || errors.Is(err, ooo.ErrSubscriptionGone) {
			s.log(ctx, c, user, step, nil)
			return s.cfg.Store.DropSubscription(ctx, c, sub.Resource)
		}
	case Drop:
		return s.cfg.Store.DropSubscription(ctx, c, sub.Resource)
	case Forget:
		return s.cfg.Store.Forget(ctx, c)
	}
	if errors.Is(err, ooo.ErrStale) || err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		s.fail(ctx, clock, &sub, err)
	}
	s.log(ctx, c, user, step, err)
	if errors.Is(err, errNotFound) && !user.Active {
		return s.cfg.Store.DropSubscription(ctx, c, sub.Resource)
	}
	if err := s.cfg.Store.SaveSubscription(ctx, c, sub); err != nil {
		return err
	}
	if heard := about(step.Subscription.ID, user.Lifecycle); err == nil && len(heard) > 0 {
		if err := s.cfg.Store.ClearLifecycle(ctx, c, heard...); err != nil {
			return err
		}
	}
	if err == nil && step.Action != Renew {
		_, err := s.cfg.Store.Mark(ctx, ooo.ReadQueue, ooo.Mark{Key: c.Key, Source: ooo.SourceSubscription})
		return err
	}
	return nil
}

func about(id ooo.SubscriptionID, events []ooo.Lifecycle) []ooo.Lifecycle {
	var heard []ooo.Lifecycle
	for _, e := range events {
		if id != "" && e.SubscriptionID == id {
			heard = append(heard, e)
		}
	}
	return heard
}

// create asks Graph for sub, having recorded that it does.
func (s *Subscriber) create(ctx context.Context, clock due.Clock, keys ooo.ClientStateKeys, c ooo.Claim, user ooo.User, sub *ooo.Subscription) error {
	failures := sub.Failures
	*sub = ooo.Subscription{
		Resource: sub.Resource, ObjectID: user.Person.ID, State: ooo.SubscriptionCreating, Failures: failures,
		NotificationURL: s.cfg.Settings.NotificationURL, KeyTag: keys.Tag(),
	}
	if err := s.cfg.Store.SaveSubscription(ctx, c, *sub); err != nil {
		return errors.Join(ooo.ErrStale, err) // without the note, no call
	}
	made, err := s.ask(ctx, clock, keys, user, *sub)
	if twin, ok := errors.AsType[*ooo.Duplicate](err); ok && twin.ID != "" {
		// One that we don't know of has the place. Its clientState can't be
		// changed, so it makes way; the read that follows covers the gap.
		if err := s.cfg.Graph.DeleteSubscription(ctx, twin.ID); err != nil && !errors.Is(err, ooo.ErrSubscriptionGone) {
			return err
		}
		made, err = s.ask(ctx, clock, keys, user, *sub)
	}
	if err != nil {
		return err
	}
	s.live(sub, made, clock())
	return nil
}

// ask makes the call, once more with a shorter life if Graph names its limit.
func (s *Subscriber) ask(ctx context.Context, clock due.Clock, keys ooo.ClientStateKeys, user ooo.User, sub ooo.Subscription) (ooo.GraphSubscription, error) {
	request := ooo.SubscriptionRequest{
		Resource:        ooo.ResourcePath(sub.Resource, user.Person.ID),
		ChangeType:      changes,
		NotificationURL: s.cfg.Settings.NotificationURL,
		LifecycleURL:    s.cfg.Settings.LifecycleURL,
		ClientState:     keys.Derive(user.Key, sub.Resource),
		ExpiresAt:       clock().Add(s.life(sub.Resource)),
	}
	made, err := s.cfg.Graph.CreateSubscription(ctx, request)
	if s.learn(sub.Resource, err) {
		request.ExpiresAt = clock().Add(s.life(sub.Resource))
		made, err = s.cfg.Graph.CreateSubscription(ctx, request)
	}
	return made, err
}

// life is how long a subscription to resource is asked for.
func (s *Subscriber) life(resource string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if most, ok := s.granted[resource]; ok {
		return min(most, s.cfg.Lifetime)
	}
	return s.cfg.Lifetime
}

// learn takes the limit out of Graph's answer and says whether there was a new
// one.
func (s *Subscriber) learn(resource string, err error) bool {
	limit, ok := errors.AsType[*ooo.TooLong](err)
	if !ok || limit.Max <= margin {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.granted[resource]
	s.granted[resource] = limit.Max - margin
	return !known || limit.Max-margin < before
}

// live notes what Graph granted. It is renewed at two thirds of that, up to a
// tenth earlier by chance so that what was made together is not renewed together.
func (s *Subscriber) live(sub *ooo.Subscription, made ooo.GraphSubscription, now time.Time) {
	if sub.ID != made.ID {
		sub.CreatedAt = now
	}
	life := max(made.ExpiresAt.Sub(now), 0)
	sub.ID, sub.ExpiresAt = made.ID, made.ExpiresAt
	sub.RenewAt = now.Add(life*2/3 - rand.N(life/10+1))
	sub.State, sub.Error, sub.Failures, sub.RetryAt = ooo.SubscriptionLive, "", 0, time.Time{}
}

func (s *Subscriber) renew(ctx context.Context, clock due.Clock, sub *ooo.Subscription) error {
	made, err := s.cfg.Graph.RenewSubscription(ctx, sub.ID, clock().Add(s.life(sub.Resource)))
	if s.learn(sub.Resource, err) {
		made, err = s.cfg.Graph.RenewSubscription(ctx, sub.ID, clock().Add(s.life(sub.Resource)))
	}
	if err == nil {
		s.live(sub, made, clock())
	}
	return err
}

// errNotFound means Graph never made what it was asked for.
var errNotFound = errors.New("Graph has no such subscription")

// find looks whether Graph made a subscription whose answer was lost, and takes
// it over. One that points elsewhere is not ours.
func (s *Subscriber) find(ctx context.Context, clock due.Clock, sub *ooo.Subscription) error {
	path := strings.TrimPrefix(ooo.ResourcePath(sub.Resource, sub.ObjectID), "/")
	for found, err := range s.cfg.Graph.Subscriptions(ctx) {
		if err != nil {
			return err
		}
		if strings.EqualFold(strings.TrimPrefix(found.Resource, "/"), path) &&
			found.NotificationURL == sub.NotificationURL && found.ExpiresAt.After(clock()) {
			s.live(sub, found, clock())
			return nil
		}
	}
	return errNotFound
}

// Waits between tries for one subscription.
const (
	firstWait  = 3 * time.Second
	firstGrant = 30 * time.Second // for what an administrator has to change
	mostWait   = 10 * time.Minute
)

// fail notes a failure in sub and when to try again.
func (s *Subscriber) fail(ctx context.Context, clock due.Clock, sub *ooo.Subscription, err error) {
	now := clock()
	if errors.Is(err, ooo.ErrSubscriptionGone) {
		sub.ID, sub.State = "", ooo.SubscriptionRemoved // the next plan makes it anew
		return
	}
	if errors.Is(err, errNotFound) {
		sub.State = ooo.SubscriptionFailed // the next plan makes it
		return
	}
	sub.Failures++
	sub.Error = err.Error()
	wait := due.Backoff(sub.Failures, firstWait, mostWait)
	throttled, isThrottled := errors.AsType[*ooo.Throttled](err)
	switch {
	case isThrottled:
		wait = throttled.After
		if throttled.Whole {
			if err := s.cfg.Store.Hold(ctx, now.Add(wait)); err != nil {
				s.cfg.Log.WarnContext(ctx, "the wait that Graph asked for could not be shared", "err", err)
			}
		}
	case errors.Is(err, ooo.ErrSubscriptionDenied), errors.Is(err, ooo.ErrRejected):
		wait = due.Backoff(sub.Failures, firstGrant, mostWait)
	}
	sub.RetryAt = now.Add(wait)
	// A call without an answer may have made it: it is looked for first. A live
	// one that could not be renewed or deleted stays what it is.
	if sub.ID == "" && !errors.Is(err, ooo.ErrNoAnswer) {
		sub.State = ooo.SubscriptionFailed
	}
}

// log writes one line for each step that worked and for the first of a row of
// failures.
func (s *Subscriber) log(ctx context.Context, c ooo.Claim, user ooo.User, step Step, err error) {
	s.cfg.Stepped(step, err)
	attrs := []any{"user", c.Key, "object_id", user.Person.ID, "action", step.Action, "reason", step.Reason,
		"resource", step.Subscription.Resource}
	switch {
	case err == nil, errors.Is(err, errNotFound), errors.Is(err, ooo.ErrSubscriptionGone):
		s.cfg.Log.InfoContext(ctx, "subscription", attrs...)
	case step.Subscription.Failures == 0:
		s.cfg.Log.WarnContext(ctx, "subscription step failed, will try on", append(attrs, "err", err)...)
	}
}
