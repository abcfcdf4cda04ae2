package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"outlook-monitor/internal/ooo"
)

const (
	changes = "created,updated,deleted"
	// trialLife is what is asked for: the least that Graph grants.
	trialLife = 45 * time.Minute
	// tidyTime is kept back for the deletion.
	tidyTime = 5 * time.Second
)

// subscription makes a real one and deletes it: nothing else proves that Graph
// comes through.
func (e *examination) subscription(ctx context.Context) verdict {
	s := e.cfg.Settings
	switch {
	case !e.cfg.Subscribe:
		return skipped("prove it with --subscribe --user EMAIL: one is made and deleted")
	case s.PublicURL.IsZero() && e.tunnelled():
		return skipped("there is no URL of the tunnel to prove")
	case s.PublicURL.IsZero():
		return skipped("PUBLIC_URL must be set first")
	case len(s.Resources) == 0:
		return skipped("SUBSCRIPTION_RESOURCES must be mended first")
	}
	if before, ok := e.result(publicCheck); ok && before.Status == Skipped {
		return skipped("%q must be looked at first", publicCheck)
	}
	base, err := s.PublicURL.Parse()
	if err != nil {
		return skipped("PUBLIC_URL must be mended first")
	}
	if err := e.lookUp(ctx); err != nil {
		return failed("look-up of the user: "+err.Error(), mendLookUp(err))
	}
	resource := ooo.ResourcePath(s.Resources[0], e.person.ID)
	asking, cancel := context.WithTimeout(ctx, subscribeTime-tidyTime)
	defer cancel()
	made, err := e.cfg.Graph.CreateSubscription(asking, ooo.SubscriptionRequest{
		Resource: resource, ChangeType: changes, ClientState: rand.Text(), ExpiresAt: time.Now().Add(trialLife),
		NotificationURL: base.JoinPath(e.cfg.NotificationPath).String(), LifecycleURL: base.JoinPath(e.cfg.LifecyclePath).String(),
	})
	if _, there := errors.AsType[*ooo.Duplicate](err); there {
		return well("Graph already has one for %s: this user is covered; a user whom nobody monitors yet proves PUBLIC_URL anew", resource)
	}
	if errors.Is(err, ooo.ErrNoAnswer) {
		return failed(err.Error(), "try again; if Graph made it all the same, it ends by itself within the hour")
	}
	if before, ok := e.result(publicCheck); ok && before.Status == Failed && errors.Is(err, ooo.ErrHandshake) {
		return failed(err.Error(), "mend what "+publicCheck+" tells")
	}
	if err != nil {
		return failed(err.Error(), mend(err))
	}
	tidying, done := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer done()
	if err := e.cfg.Graph.DeleteSubscription(tidying, made.ID); err != nil && !errors.Is(err, ooo.ErrSubscriptionGone) {
		return warning(fmt.Sprintf("%s was made, but not deleted: %v", made.ID, err), "nothing: it ends by itself, "+until(made.ExpiresAt))
	}
	return well("Graph reached PUBLIC_URL, made one for %s, and deleted it", resource)
}
