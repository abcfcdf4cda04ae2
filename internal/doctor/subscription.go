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
	// trialLifetime is the shortest that Graph grants.
	trialLifetime = 45 * time.Minute
	deleteTimeout = 5 * time.Second
)

// subscription creates a subscription and deletes it: only that proves that Graph reaches
// PUBLIC_URL.
func (d *diagnosis) subscription(ctx context.Context) Result {
	switch {
	case !d.cfg.Subscribe:
		return skipped("use --subscribe --user EMAIL to create and delete one")
	case d.statusOf(publicCheck) == Skipped:
		return skipped("%s", d.blocked(publicCheck))
	case d.cfg.Settings.PublicURL.IsZero():
		return skipped("set PUBLIC_URL first")
	}
	base := d.cfg.Settings.PublicURL.URL()
	person, err := d.cfg.Graph.Find(ctx, d.cfg.User)
	if err != nil {
		return notFound(err)
	}
	resource := ooo.ResourcePath(d.cfg.Settings.Resources[0], person.ID)
	created, err := d.cfg.Graph.CreateSubscription(ctx, ooo.SubscriptionRequest{
		Resource: resource, ChangeType: changes, ClientState: rand.Text(), ExpiresAt: time.Now().Add(trialLifetime),
		NotificationURL: base.JoinPath(webhook.NotificationPath).String(), LifecycleURL: base.JoinPath(webhook.LifecyclePath).String(),
	})
	err = ofMailbox(err)
	_, duplicate := errors.AsType[*ooo.Duplicate](err)
	switch {
	case duplicate:
		return ok("Graph already has one for %s; use a user who is not monitored to test PUBLIC_URL again", resource)
	case errors.Is(err, ooo.ErrUnavailable):
		return failed(err.Error(), tryAgain+"; if Graph did create the subscription, it expires within the hour")
	case errors.Is(err, ooo.ErrHandshake) && d.statusOf(publicCheck) == Failed:
		return failed(err.Error(), "fix "+publicCheck+" first")
	case err != nil:
		return failed(err.Error(), remedyFor(err))
	}
	deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	if err := d.cfg.Graph.DeleteSubscription(deleting, created.ID); err != nil && !errors.Is(err, ooo.ErrSubscriptionGone) {
		return warning(fmt.Sprintf("%s was created, but not deleted: %v", created.ID, err),
			"wait until it expires: "+formatExpiry(created.ExpiresAt))
	}
	return ok("Graph reached PUBLIC_URL, created one for %s, and deleted it", resource)
}
