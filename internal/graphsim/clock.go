package graphsim

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Lifecycle events of a subscription.
const (
	ReauthorizationRequired = "reauthorizationRequired"
	SubscriptionRemoved     = "subscriptionRemoved"
	Missed                  = "missed"
)

// clockIdle is how long the clock of the subscriptions sleeps at most.
const clockIdle = time.Minute

// keepTime ends the subscriptions that expire, silently as Graph does, and
// sends reauthorizationRequired ahead of that.
func (s *Server) keepTime(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.subs.wake:
		}
		required, next := s.subs.look(time.Now(), s.cfg.ListExpired)
		for _, sub := range required {
			s.sendLifecycle(sub, ReauthorizationRequired)
		}
		timer.Reset(max(time.Until(next), time.Millisecond))
	}
}

// look buries what has expired, and returns what has to be reauthorized and
// when to look again.
func (s *subscriptionStore) look(now time.Time, listed time.Duration) (required []Subscription, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next = now.Add(clockIdle)
	for _, sub := range s.byID {
		if !now.Before(sub.dies) {
			s.drop(sub)
			s.expired = append(s.expired, *sub)
			continue
		}
		if !sub.reauthorize.IsZero() && !now.Before(sub.reauthorize) {
			sub.reauthorize = time.Time{}
			required = append(required, *sub)
		}
		if due := sub.due(); due.Before(next) {
			next = due
		}
	}
	s.expired = slices.DeleteFunc(s.expired, func(sub Subscription) bool { return now.Sub(sub.dies) >= listed })
	s.next = next
	return required, next
}

// SendLifecycle sends a lifecycle notification of the kind event for the
// subscription id, without anything happening to it.
func (s *Server) SendLifecycle(id, event string) error {
	if !slices.Contains([]string{ReauthorizationRequired, SubscriptionRemoved, Missed}, event) {
		return fmt.Errorf("%w: event %q, want %s, %s or %s", ErrInvalid, event, ReauthorizationRequired, SubscriptionRemoved, Missed)
	}
	sub, ok := s.subs.get(id, time.Now())
	if !ok {
		return unknownSubscription(id)
	}
	s.sendLifecycle(sub, event)
	return nil
}

// RemoveSubscription takes a subscription away, as Graph may at any time:
// with a subscriptionRemoved notification, or silently.
func (s *Server) RemoveSubscription(id string, silent bool) error {
	sub, ok := s.subs.remove(id, time.Now())
	if !ok {
		return unknownSubscription(id)
	}
	if !silent {
		s.sendLifecycle(sub, SubscriptionRemoved)
	}
	return nil
}

// ExpireSubscription makes a subscription end now, as if its time had come.
func (s *Server) ExpireSubscription(id string) error {
	now := time.Now()
	if _, ok := s.subs.change(id, now, func(sub *Subscription) { sub.ExpirationDateTime, sub.dies = now, now }); !ok {
		return unknownSubscription(id)
	}
	return nil
}
