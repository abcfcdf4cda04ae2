package subscribe

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// work is one step of a task, while it is carried out.
type work struct {
	*Subscriber
	task
	want Settings
	step Step
	paid bool // the budget has granted the next write already
}

// do carries out the step and saves how it went. Graph's errors become part of the
// record; after the others the owner plans again, whoever that is. Saving fails only
// when the mailbox is lost.
func (w *work) do(ctx context.Context) {
	if w.stray != "" {
		w.doStray(ctx)
		return
	}
	before := w.step.Subscription
	sub := before
	var err error
	switch w.step.Action {
	case Nothing, Remove: // saving is all there is to do
		_ = w.save(func(*mailbox.Draft) {})
		return
	case Create:
		sub, err = w.create(ctx, before)
	case Replace:
		if sub, err = w.create(ctx, before); err != nil && sub.Replaces == before.ID {
			sub = before // still there
		}
	case Renew:
		sub, err = w.renew(ctx, before)
	case DeleteReplaced:
		if err = w.remove(ctx, before.Replaces); err == nil {
			sub.Replaces = ""
			if sub.State == ooo.SubscriptionLive { // what failed was this
				recovered(&sub)
			}
		}
	case Delete:
		if err = w.remove(ctx, before.ID); err == nil {
			sub.State = ""
		}
	case Drop:
		sub.State = ""
	}
	sub, ok := w.outcome(ctx, sub, err)
	if !ok {
		return
	}
	saved := w.save(func(d *mailbox.Draft) { put(d, sub) })
	// What happened before it existed was not announced.
	if saved == nil && sub.State == ooo.SubscriptionLive && (before.State != ooo.SubscriptionLive || before.ID != sub.ID) {
		w.cfg.ReadNow(w.id, ooo.SourceSubscription)
	}
}

// put puts a subscription into a record, sorted by resource. One without a state
// leaves it.
func put(d *mailbox.Draft, sub ooo.Subscription) {
	at, found := slices.BinarySearchFunc(d.Subscriptions, sub.Resource, func(s ooo.Subscription, resource string) int {
		return strings.Compare(s.Resource, resource)
	})
	switch {
	case found && sub.State == "":
		d.Subscriptions = slices.Delete(d.Subscriptions, at, at+1)
	case found:
		d.Subscriptions[at] = sub
	default:
		d.Subscriptions = slices.Insert(d.Subscriptions, at, sub)
	}
}

// create asks Graph for a subscription, having saved that it does. The one that it
// replaces stays until it is there.
func (w *work) create(ctx context.Context, before ooo.Subscription) (ooo.Subscription, error) {
	sub := ooo.Subscription{
		Resource: before.Resource, State: ooo.SubscriptionCreating, Failures: before.Failures, ErrorKind: before.ErrorKind,
		NotificationURL: w.want.Notification, LifecycleURL: w.want.Lifecycle, KeyTag: w.want.Keys.Tag(),
		CertificateID: w.want.Certificate.ID, CreatedAt: before.CreatedAt, Replaces: before.Replaces, NotifiedAt: before.NotifiedAt,
	}
	if w.step.Action == Replace {
		sub.Replaces = before.ID
	}
	if err := w.save(func(d *mailbox.Draft) { put(d, sub) }); err != nil {
		return sub, err // without the note, no call
	}
	err := w.ask(ctx, &sub)
	twin, ok := errors.AsType[*ooo.Duplicate](err)
	switch {
	case !ok || twin.ID == "":
		return sub, err
	case w.adoptable(before, twin.ID):
		return adopt(before, twin.ID), nil
	}
	// Graph takes no second one beside it and it is not as wanted, so it makes way; the
	// read that follows covers the gap.
	if err := w.remove(ctx, twin.ID); err != nil {
		return sub, err
	}
	if sub.Replaces == twin.ID {
		sub.Replaces = ""
	}
	err = w.ask(ctx, &sub)
	return sub, err
}

// adoptable reports whether the subscription with an id may be the one whose creation was
// noted, without an answer, as it is wanted now.
func (w *work) adoptable(noted ooo.Subscription, id ooo.SubscriptionID) bool {
	return noted.State == ooo.SubscriptionCreating && noted.ID == "" && noted.Replaces != id &&
		noted.NotificationURL == w.want.Notification && noted.LifecycleURL == w.want.Lifecycle &&
		noted.CertificateID == w.want.Certificate.ID && w.want.Keys.Accepts(noted.KeyTag)
}

// adopt gives a noted subscription the id of what Graph has. Its renewal, which is due
// at once, tells whether it is what was asked for. Its clientState is the noted one.
func adopt(noted ooo.Subscription, id ooo.SubscriptionID) ooo.Subscription {
	noted.ID = id
	recovered(&noted)
	return noted
}

// changes are the changes of a resource that Graph is to announce.
const changes = "created,updated,deleted"

// ask creates the subscription.
func (w *work) ask(ctx context.Context, sub *ooo.Subscription) error {
	id := w.id.ObjectID()
	request := ooo.SubscriptionRequest{
		Resource: requestOf(sub.Resource, id, w.want.Certificate.ID != ""), ChangeType: changes,
		NotificationURL: sub.NotificationURL, LifecycleURL: sub.LifecycleURL,
		ClientState: w.want.Keys.Derive(id, sub.Resource), Certificate: w.want.Certificate,
	}
	made, began, err := w.call(ctx, *sub, func(expires time.Time) (ooo.GraphSubscription, error) {
		request.ExpiresAt = expires
		return w.cfg.Graph.CreateSubscription(ctx, request)
	})
	if err == nil {
		live(sub, made, began)
	}
	return err
}

// moveTime spreads the replacement of those whose lifecycle URL can't be patched.
const moveTime = 5 * time.Minute

// renew moves the expiry, and the URL and the certificate where they differ.
func (w *work) renew(ctx context.Context, sub ooo.Subscription) (ooo.Subscription, error) {
	next, patch := sub, ooo.SubscriptionRequest{}
	if sub.NotificationURL != w.want.Notification {
		patch.NotificationURL, next.NotificationURL = w.want.Notification, w.want.Notification
	}
	if sub.CertificateID != "" && w.want.Certificate.ID != "" && sub.CertificateID != w.want.Certificate.ID {
		patch.Certificate, next.CertificateID = w.want.Certificate, w.want.Certificate.ID
	}
	made, began, err := w.call(ctx, sub, func(expires time.Time) (ooo.GraphSubscription, error) {
		patch.ExpiresAt = expires
		return w.cfg.Graph.PatchSubscription(ctx, sub.ID, patch)
	})
	switch {
	case err != nil:
		return sub, err
	case sub.State == ooo.SubscriptionCreating && (made.NotificationURL != next.NotificationURL || made.LifecycleURL != next.LifecycleURL):
		// It is not what was asked for. Without it that is created.
		if err := w.remove(ctx, sub.ID); err != nil {
			return sub, err
		}
		return sub, ooo.ErrSubscriptionGone
	}
	live(&next, made, began)
	if next.LifecycleURL != w.want.Lifecycle { // replaced soon, not all at once
		next.RenewAt = began.UTC().Round(0).Add(time.Minute + rand.N(moveTime))
	}
	return next, nil
}

// call makes a call that asks for an expiry, again with an earlier one if Graph names
// its limit. It returns when the call began that worked.
func (w *work) call(
	ctx context.Context, sub ooo.Subscription, do func(expires time.Time) (ooo.GraphSubscription, error),
) (made ooo.GraphSubscription, began time.Time, err error) {
	for {
		if err := w.spend(ctx); err != nil {
			return made, began, err
		}
		life := w.lifeOf(sub)
		began = time.Now()
		made, err = do(began.Add(life))
		if w.learn(sub, life, err) {
			continue
		}
		if err == nil && !made.ExpiresAt.After(time.Now()) {
			err = errors.New("graph returned an expiry in the past")
		}
		return made, began, err
	}
}

// remove deletes a subscription; that it is gone already is as good.
func (w *work) remove(ctx context.Context, id ooo.SubscriptionID) error {
	if err := w.spend(ctx); err != nil {
		return err
	}
	if err := w.cfg.Graph.DeleteSubscription(ctx, id); !errors.Is(err, ooo.ErrSubscriptionGone) {
		return err
	}
	return nil
}

// spend waits until a write may be made. The first of a step is granted before it
// begins. No call begins unless this replica may act for the mailbox at that moment.
func (w *work) spend(ctx context.Context) error {
	for !w.paid {
		if wait := w.cfg.Owners.Wait(WaitName); wait > 0 {
			return &ooo.Throttled{After: wait}
		}
		wait := w.budget.take(urgent)
		w.paid = wait == 0
		if !schedule.Sleep(ctx, wait) {
			return ctx.Err()
		}
	}
	w.paid = false
	if !w.cfg.Owners.MayStart(w.id.Partition()) {
		return ooo.ErrNotOwner
	}
	return nil
}

// live notes what Graph granted in answer to a call that began then. It is renewed
// at two thirds of that, up to a tenth earlier at random so that what was made
// together is not renewed together.
func live(sub *ooo.Subscription, made ooo.GraphSubscription, began time.Time) {
	now := time.Now().UTC().Round(0)
	if sub.ID != made.ID {
		sub.CreatedAt = now
	}
	life := max(made.ExpiresAt.Sub(now), 0)
	sub.ID, sub.State, sub.ExpiresAt, sub.RenewedAt = made.ID, ooo.SubscriptionLive, made.ExpiresAt, began.UTC().Round(0)
	sub.RenewAt = now.Add(life*2/3 - rand.N(life/10+1))
	recovered(sub)
}

// recovered ends a row of failures.
func recovered(sub *ooo.Subscription) {
	sub.Error, sub.Failures, sub.RetryAt, sub.ErrorKind = "", 0, time.Time{}, ""
}

// outcome logs how the step ended and returns sub with a failure noted: one line for each
// step that worked and for the first of a row of failures. ok is false if the step is to
// be planned again as if it had not begun.
func (w *work) outcome(ctx context.Context, sub ooo.Subscription, err error) (_ ooo.Subscription, ok bool) {
	if errors.Is(err, ooo.ErrNotOwner) || errors.Is(err, ooo.ErrNotMonitored) || err != nil && ctx.Err() != nil {
		return sub, false
	}
	step := w.step
	w.cfg.OnStep(step, err)
	attrs := []any{"mailbox", w.id, "action", step.Action, "reason", step.Reason, "resource", step.Subscription.Resource}
	switch {
	case err == nil:
		w.cfg.Log.InfoContext(ctx, "subscription", attrs...)
		return sub, true
	case errors.Is(err, ooo.ErrSubscriptionGone):
		w.cfg.Log.InfoContext(ctx, "subscription gone", attrs...)
	case step.Subscription.Failures == 0 || step.Subscription.ErrorKind != failureKindOf(err).kind:
		w.cfg.Log.WarnContext(ctx, "subscription step failed, retrying", append(attrs, "err", err)...)
	}
	return w.fail(ctx, sub, err), true
}
