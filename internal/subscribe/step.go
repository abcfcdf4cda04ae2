package subscribe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// work is one step for one user, while it is carried out.
type work struct {
	*Subscriber
	clock due.Clock
	claim ooo.Claim
	user  ooo.User
	want  Settings
	step  Step
	box   ooo.Mailbox
}

// do carries out the step and records how it went. Its error is the store's:
// Graph's become part of the record.
func (w work) do(ctx context.Context) error {
	sub := w.step.Subscription
	var err error // Graph's
	switch w.step.Action {
	case Create, Replace:
		err = w.create(ctx, &sub)
	case Find:
		err = w.find(ctx, &sub)
	case Renew:
		err = w.renew(ctx, &sub)
	case DeleteFormer:
		if err = w.remove(ctx, sub.Former); err == nil {
			sub.Former = ""
			if sub.State == ooo.SubscriptionLive { // what failed was this
				sub.Error, sub.Failures, sub.RetryAt, sub.Trouble = "", 0, time.Time{}, ""
			}
		}
	case Delete:
		var there bool
		if there, err = w.takeAway(ctx, sub.ID); err == nil && w.user.CoveredBy != "" {
			err = w.yield(ctx, sub, there)
		}
		if err == nil {
			w.log(ctx, w.step, nil)
			return w.cfg.Store.DropSubscription(ctx, w.claim, sub.Resource)
		}
	case Drop:
		return w.cfg.Store.DropSubscription(ctx, w.claim, sub.Resource)
	case Forget:
		if err := w.cfg.Store.LeaveMailbox(ctx, w.user); err != nil {
			return err
		}
		return w.cfg.Store.Forget(ctx, w.claim)
	}
	if errors.Is(err, ooo.ErrStale) || err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		if w.step.Action == Replace && sub.Former == w.step.Subscription.ID {
			sub = w.step.Subscription // still there
		}
		w.fail(ctx, &sub, err)
	}
	w.log(ctx, w.step, err)
	if errors.Is(err, errNotFound) {
		return w.cfg.Store.DropSubscription(ctx, w.claim, sub.Resource)
	}
	return w.record(ctx, sub, err == nil)
}

// record saves sub, forgets the lifecycle events that were acted on, and has the
// user read after a creation: what happened before was not announced.
func (w work) record(ctx context.Context, sub ooo.Subscription, well bool) error {
	if err := w.cfg.Store.SaveSubscription(ctx, w.claim, sub); err != nil || !well {
		return err
	}
	var acted []ooo.Lifecycle
	for _, e := range w.user.Lifecycle {
		if id := w.step.Subscription.ID; id != "" && e.SubscriptionID == id {
			acted = append(acted, e)
		}
	}
	if len(acted) > 0 && w.step.Action != DeleteFormer {
		if err := w.cfg.Store.ClearLifecycle(ctx, w.claim, acted...); err != nil {
			return err
		}
	}
	if w.step.Action != Create && w.step.Action != Replace {
		return nil
	}
	marks := []ooo.Mark{{Key: w.claim.Key, Source: ooo.SourceSubscription}}
	for _, other := range w.box.Others {
		marks = append(marks, ooo.Mark{Key: other, Source: ooo.SourceSubscription})
	}
	_, err := w.cfg.Store.Mark(ctx, ooo.ReadQueue, marks...)
	return err
}

// create asks Graph for a subscription, having recorded that it does. The one
// that it replaces stays until it is there.
func (w work) create(ctx context.Context, sub *ooo.Subscription) error {
	before := *sub
	*sub = ooo.Subscription{
		Resource: before.Resource, ObjectID: w.user.Person.ID, State: ooo.SubscriptionCreating, Failures: before.Failures,
		NotificationURL: w.want.NotificationURL, LifecycleURL: w.want.LifecycleURL,
		KeyTag: w.want.Keys.Tag(), CertificateID: w.want.Certificate.ID, Former: before.Former,
	}
	if w.step.Action == Replace {
		sub.Former = before.ID
	}
	if err := w.cfg.Store.SaveSubscription(ctx, w.claim, *sub); err != nil {
		return errors.Join(ooo.ErrStale, err) // without the note, no call
	}
	made, err := w.ask(ctx, *sub)
	if twin, ok := errors.AsType[*ooo.Duplicate](err); ok && twin.ID != "" {
		if adopted, err := w.adopt(ctx, before, twin.ID, sub); adopted || err != nil {
			return err
		}
		// Graph takes no second one beside it and it is not as wanted, so it makes
		// way; the read that follows covers the gap.
		if err := w.taken(ctx, twin.ID); err != nil {
			return errors.Join(ooo.ErrStale, err)
		}
		if err := w.remove(ctx, twin.ID); err != nil {
			return err
		}
		if sub.Former == twin.ID {
			sub.Former = ""
		}
		sub.KeyTag = w.want.Keys.Tag()
		made, err = w.ask(ctx, *sub)
	}
	if err == nil {
		w.live(sub, made)
	}
	return err
}

// adopt takes over a subscription whose creation was asked for by a process that
// did not live to record it: then its clientState is the one that was noted,
// unless it may be that of another user of the mailbox. The renewal tells whether it is what was asked for.
func (w work) adopt(ctx context.Context, before ooo.Subscription, id ooo.SubscriptionID, sub *ooo.Subscription) (adopted bool, err error) {
	noted := !w.box.Shared() && before.ID == "" && before.State == ooo.SubscriptionCreating && id != before.Former &&
		before.NotificationURL == sub.NotificationURL && before.LifecycleURL == sub.LifecycleURL &&
		before.ObjectID == sub.ObjectID && before.CertificateID == sub.CertificateID && w.want.Keys.Accepts(before.KeyTag)
	if !noted {
		return false, nil
	}
	sub.KeyTag = before.KeyTag
	found, err := w.patch(ctx, id, ooo.SubscriptionPatch{ExpiresAt: w.clock().Add(w.life(*sub))})
	switch {
	case errors.Is(err, ooo.ErrSubscriptionGone):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%w: %w", ooo.ErrNoAnswer, err) // it is still to be found out
	case found.NotificationURL != sub.NotificationURL || found.LifecycleURL != sub.LifecycleURL:
		return false, nil
	}
	w.live(sub, found)
	return true, nil
}

// ask makes the call, once more with a shorter life if Graph names its limit.
func (w work) ask(ctx context.Context, sub ooo.Subscription) (ooo.GraphSubscription, error) {
	request := ooo.SubscriptionRequest{
		Resource:        w.path(sub),
		ChangeType:      changes,
		NotificationURL: sub.NotificationURL,
		LifecycleURL:    sub.LifecycleURL,
		ClientState:     w.want.Keys.Derive(w.user.Key, sub.Resource),
		Certificate:     w.want.Certificate,
	}
	for {
		request.ExpiresAt = w.clock().Add(w.life(sub))
		if err := w.spend(ctx); err != nil {
			return ooo.GraphSubscription{}, err
		}
		made, err := w.cfg.Graph.CreateSubscription(ctx, request)
		if !w.learn(sub, err) {
			return made, err
		}
	}
}

// renew moves the expiry, and the URL and the certificate where they differ.
func (w work) renew(ctx context.Context, sub *ooo.Subscription) error {
	patch := ooo.SubscriptionPatch{}
	if sub.NotificationURL != w.want.NotificationURL {
		patch.NotificationURL = w.want.NotificationURL
	}
	if sub.CertificateID != "" && sub.CertificateID != w.want.Certificate.ID {
		patch.Certificate = w.want.Certificate
	}
	for {
		patch.ExpiresAt = w.clock().Add(w.life(*sub))
		made, err := w.patch(ctx, sub.ID, patch)
		if w.learn(*sub, err) {
			continue
		}
		if err != nil {
			return err
		}
		if patch.NotificationURL != "" {
			sub.NotificationURL = patch.NotificationURL
		}
		if patch.Certificate.ID != "" {
			sub.CertificateID = patch.Certificate.ID
		}
		w.live(sub, made)
		if sub.LifecycleURL != w.want.LifecycleURL { // can't follow: made anew soon, not all at once
			sub.RenewAt = w.clock().Add(time.Minute + rand.N(moveTime))
		}
		return nil
	}
}

// moveTime spreads the replacement of those whose lifecycle URL can't follow.
const moveTime = 20 * time.Minute

func (w work) patch(ctx context.Context, id ooo.SubscriptionID, patch ooo.SubscriptionPatch) (ooo.GraphSubscription, error) {
	if err := w.spend(ctx); err != nil {
		return ooo.GraphSubscription{}, err
	}
	return w.cfg.Graph.PatchSubscription(ctx, id, patch)
}

// remove deletes a subscription; that it is gone already is as good.
func (w work) remove(ctx context.Context, id ooo.SubscriptionID) error {
	_, err := w.takeAway(ctx, id)
	return err
}

// takeAway is remove that tells whether it was there.
func (w work) takeAway(ctx context.Context, id ooo.SubscriptionID) (there bool, err error) {
	if err := w.spend(ctx); err != nil {
		return false, err
	}
	err = w.cfg.Graph.DeleteSubscription(ctx, id)
	if errors.Is(err, ooo.ErrSubscriptionGone) {
		return false, nil
	}
	return err == nil, err
}

func (w work) path(sub ooo.Subscription) string {
	path := ooo.ResourcePath(sub.Resource, sub.ObjectID)
	if w.want.Certificate.ID == "" {
		return path
	}
	return path + richSelect
}

// richSelect is what Graph wants of a subscription to Outlook items with
// resource data: that it names the properties. These tell an absence.
const richSelect = "?$select=id,showAs,isAllDay,start,end"

// live notes what Graph granted. It is renewed at two thirds of that, up to a
// tenth earlier by chance so that what was made together is not renewed together.
func (w work) live(sub *ooo.Subscription, made ooo.GraphSubscription) {
	now := w.clock()
	if sub.ID != made.ID {
		sub.CreatedAt = now
	}
	life := max(made.ExpiresAt.Sub(now), 0)
	sub.ID, sub.ExpiresAt = made.ID, made.ExpiresAt
	sub.RenewAt = now.Add(life*2/3 - rand.N(life/10+1))
	sub.State, sub.Error, sub.Failures, sub.RetryAt, sub.Trouble = ooo.SubscriptionLive, "", 0, time.Time{}, ""
}

// errNotFound means Graph never made what it was asked for.
var errNotFound = errors.New("Graph has no such subscription")

// find looks whether Graph made a subscription for a user who has left, so that
// it can be deleted.
func (w work) find(ctx context.Context, sub *ooo.Subscription) error {
	listed, err := w.listing(ctx)
	if err != nil {
		return err
	}
	for _, found := range listed {
		if samePath(found.Resource, ooo.ResourcePath(sub.Resource, sub.ObjectID)) &&
			found.NotificationURL == sub.NotificationURL && found.ExpiresAt.After(w.clock()) {
			theirs, err := w.others(ctx, sub.Resource, found.ID)
			if err != nil {
				return err
			}
			if !theirs {
				w.live(sub, found)
				return nil
			}
		}
	}
	return errNotFound
}

// log writes one line for each step that worked and for the first of a row of
// failures.
func (w work) log(ctx context.Context, step Step, err error) {
	w.cfg.Stepped(step, err)
	attrs := []any{"user", w.claim.Key, "object_id", w.user.Person.ID, "action", step.Action, "reason", step.Reason,
		"resource", step.Subscription.Resource}
	switch {
	case err == nil, errors.Is(err, errNotFound), errors.Is(err, ooo.ErrSubscriptionGone):
		w.cfg.Log.InfoContext(ctx, "subscription", attrs...)
	case step.Subscription.Failures == 0:
		w.cfg.Log.WarnContext(ctx, "subscription step failed, will try on", append(attrs, "err", err)...)
	}
}
