package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

const (
	changes = "created,updated,deleted"
	// trialLife is the shortest life that Graph grants.
	trialLife = 45 * time.Minute
	// cleanupTime is reserved for the deletion.
	cleanupTime = 5 * time.Second
)

func (e *examination) withoutSubscription() string {
	switch {
	case !e.cfg.Subscribe:
		return "prove it with --subscribe --user EMAIL: one is created and deleted"
	case e.cfg.Settings.PublicURL.IsZero() && e.tunnelled():
		return "the tunnel has no URL now"
	case e.cfg.Settings.PublicURL.IsZero():
		return "set PUBLIC_URL first"
	case e.statusOf(publicCheck) == Skipped:
		return e.blocked(publicCheck)
	}
	return ""
}

// subscription creates a real one and deletes it: only that proves that Graph
// reaches PUBLIC_URL.
func (e *examination) subscription(ctx context.Context) Result {
	base, err := e.cfg.Settings.PublicURL.Parse()
	if err != nil {
		return skipped("fix PUBLIC_URL first")
	}
	if err := e.find(ctx); err != nil {
		return notFound(err)
	}
	resource := ooo.ResourcePath(e.cfg.Settings.Resources[0], e.person.ID)
	creating, cancel := context.WithTimeout(ctx, subscribeTime-cleanupTime)
	defer cancel()
	created, err := e.cfg.Graph.CreateSubscription(creating, ooo.SubscriptionRequest{
		Resource: resource, ChangeType: changes, ClientState: rand.Text(), ExpiresAt: time.Now().Add(trialLife),
		NotificationURL: base.JoinPath(webhook.NotificationPath).String(), LifecycleURL: base.JoinPath(webhook.LifecyclePath).String(),
	})
	_, duplicate := errors.AsType[*ooo.Duplicate](err)
	switch {
	case duplicate:
		return ok("Graph already has one for %s; name a user who is not monitored to prove PUBLIC_URL again", resource)
	case errors.Is(err, ooo.ErrNoAnswer):
		return failed(err.Error(), "try again; if Graph created it all the same, it expires by itself within the hour")
	case errors.Is(err, ooo.ErrHandshake) && e.statusOf(publicCheck) == Failed:
		return failed(err.Error(), "fix "+publicCheck+" first")
	case err != nil:
		return failed(err.Error(), remedyFor(err))
	}
	deleting, done := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer done()
	if err := e.cfg.Graph.DeleteSubscription(deleting, created.ID); err != nil && !errors.Is(err, ooo.ErrSubscriptionGone) {
		return warning(fmt.Sprintf("%s was created, but not deleted: %v", created.ID, err), "wait: it expires by itself, "+until(created.ExpiresAt))
	}
	return ok("Graph reached PUBLIC_URL, created one for %s, and deleted it", resource)
}
