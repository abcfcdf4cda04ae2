package graphsim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"outlook-monitor/internal/schedule"
)

// Lifecycle events of a subscription.
const (
	ReauthorizationRequired = "reauthorizationRequired"
	SubscriptionRemoved     = "subscriptionRemoved"
	Missed                  = "missed"
)

// clockInterval is how often the subscriptions are checked.
const clockInterval = 100 * time.Millisecond

// runClock sends reauthorizationRequired before subscriptions expire. As in Graph, the
// expiry itself is silent.
func (s *Server) runClock(ctx context.Context) error {
	for schedule.Sleep(ctx, clockInterval) {
		s.tick(time.Now())
	}
	return nil
}

// tick deletes subscriptions that expired long ago and notifies those that need
// reauthorization.
func (s *Server) tick(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(sub *Subscription) bool { return now.Sub(sub.ends) >= expiredListedFor })
	for _, sub := range s.subscriptions {
		if !sub.reauthorize.IsZero() && !now.Before(sub.reauthorize) && !sub.ended(now) {
			sub.reauthorize = time.Time{}
			s.sendLifecycle(*sub, ReauthorizationRequired)
		}
	}
}

// sendLifecycle sends a lifecycle notification. The caller holds mu.
func (s *Server) sendLifecycle(sub Subscription, event string) {
	if sub.LifecycleNotificationURL == "" {
		return
	}
	to := destination{url: sub.LifecycleNotificationURL, kind: opLifecycle, rich: sub.IncludeResourceData}
	s.send(sub.UserID, to, map[string]any{
		"subscriptionId":                 sub.ID,
		"subscriptionExpirationDateTime": sub.ExpirationDateTime.UTC().Format(graphTime + "Z"),
		"organizationId":                 s.cfg.TenantID,
		"clientState":                    orNull(sub.ClientState),
		"lifecycleEvent":                 event,
		"resource":                       sub.Resource,
	})
}

// SendLifecycle sends a lifecycle notification for a subscription without changing the
// subscription.
func (s *Server) SendLifecycle(id, event string) error {
	if !slices.Contains([]string{ReauthorizationRequired, SubscriptionRemoved, Missed}, event) {
		return fmt.Errorf("%w: event %q, want %s, %s or %s", ErrInvalid, event, ReauthorizationRequired, SubscriptionRemoved, Missed)
	}
	return s.withSubscription(id, func(sub *Subscription) { s.sendLifecycle(*sub, event) })
}

// RemoveSubscription removes a subscription, as Graph may at any time, with a
// subscriptionRemoved notification or silently.
func (s *Server) RemoveSubscription(id string, silent bool) error {
	return s.withSubscription(id, func(sub *Subscription) {
		s.drop(sub.ID)
		if !silent {
			s.sendLifecycle(*sub, SubscriptionRemoved)
		}
	})
}
