package subscribe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// work is one step for one mailbox, while it is carried out.
type work struct {
	*Subscriber
	id   ooo.RecordID
	want Settings
	step Step
	paid bool // the budget has granted the next write already
}

// do carries out the step and saves how it went. Graph's errors become part of the
// record; the others mean that the owner has to plan again, whoever that is.
func (w *work) do(ctx context.Context) {
	sub := w.step.Subscription
	var err error
	gone := false // from the record
	switch w.step.Action {
	case Create, Replace:
		err = w.create(ctx, &sub)
	case Renew:
		err = w.renew(ctx, &sub)
	case DeleteReplaced:
		if err = w.remove(ctx, sub.Replaces); err == nil {
			sub.Replaces = ""
			if sub.State == ooo.SubscriptionLive { // what failed was this
				sub.Error, sub.Failures, sub.RetryAt, sub.Trouble = "", 0, time.Time{}, ""
			}
		}
	case Delete:
		err = w.remove(ctx, sub.ID)
		gone = err == nil
	case Drop:
		gone = true
	case Remove:
		_ = w.save(ctx, func(*mailbox.Draft) {}) // saving removes it
		return
	}
	if errors.Is(err, ooo.ErrNotOwner) || errors.Is(err, ooo.ErrNotMonitored) || err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		if w.step.Action == Replace && sub.Replaces == w.step.Subscription.ID {
			sub = w.step.Subscription // still there
		}
		w.fail(ctx, &sub, err)
	}
	w.log(ctx, err)
	saved := w.save(ctx, func(d *mailbox.Draft) {
		if gone {
			d.Subscriptions = slices.DeleteFunc(d.Subscriptions, func(s ooo.Subscription) bool { return s.Resource == sub.Resource })
		} else {
			put(d, sub)
		}
	})
	// What happened before it existed was not announced.
	if saved == nil && err == nil && (w.step.Action == Create || w.step.Action == Replace) {
		w.cfg.ReadNow(w.id, ooo.SourceSubscription)
	}
}

// put puts a subscription into its place in a record.
func put(d *mailbox.Draft, sub ooo.Subscription) {
	at, found := slices.BinarySearchFunc(d.Subscriptions, sub.Resource, func(s ooo.Subscription, resource string) int {
		return strings.Compare(s.Resource, resource)
	})
	if found {
		d.Subscriptions[at] = sub
	} else {
		d.Subscriptions = slices.Insert(d.Subscriptions, at, sub)
	}
}

// create asks Graph for a subscription, having saved that it does. The one that it
// replaces stays until it is there.
func (w *work) create(ctx context.Context, sub *ooo.Subscription) error {
	before := *sub
	*sub = ooo.Subscription{
		Resource: before.Resource, State: ooo.SubscriptionCreating, Failures: before.Failures, Trouble: before.Trouble,
		NotificationURL: w.want.Notification, LifecycleURL: w.want.Lifecycle, KeyTag: w.want.Keys.Tag(),
		CertificateID: w.want.Certificate.ID, CreatedAt: before.CreatedAt, Replaces: before.Replaces, SpokeAt: before.SpokeAt,
	}
	if w.step.Action == Replace {
		sub.Replaces = before.ID
	}
	if err := w.save(ctx, func(d *mailbox.Draft) { put(d, *sub) }); err != nil {
		return err // without the note, no call
	}
	began := time.Now()
	made, err := w.ask(ctx, *sub)
	if twin, ok := errors.AsType[*ooo.Duplicate](err); ok && twin.ID != "" {
		if adopted, err := w.adopt(ctx, before, twin.ID, sub); adopted || err != nil {
			return err
		}
		// Graph takes no second one beside it and it is not as wanted, so it makes
		// way; the read that follows covers the gap.
		if err := w.remove(ctx, twin.ID); err != nil {
			return err
		}
		if sub.Replaces == twin.ID {
			sub.Replaces = ""
		}
		sub.KeyTag = w.want.Keys.Tag()
		began = time.Now()
		made, err = w.ask(ctx, *sub)
	}
	if err == nil {
		live(sub, made, began)
	}
	return err
}

// adopt takes over a subscription whose creation was asked for by a process that
// did not live to save it: then its clientState is the one that was noted. The
// renewal tells whether it is what was asked for.
func (w *work) adopt(ctx context.Context, before ooo.Subscription, id ooo.SubscriptionID, sub *ooo.Subscription) (adopted bool, err error) {
	noted := before.ID == "" && before.State == ooo.SubscriptionCreating && id != before.Replaces &&
		before.NotificationURL == w.want.Notification && before.LifecycleURL == w.want.Lifecycle &&
		before.CertificateID == w.want.Certificate.ID && w.want.Keys.Accepts(before.KeyTag)
	if !noted {
		return false, nil
	}
	*sub = before
	found, began, err := w.patch(ctx, id, *sub, ooo.SubscriptionPatch{})
	switch {
	case errors.Is(err, ooo.ErrSubscriptionGone):
		return false, nil
	case errors.Is(err, ooo.ErrNotOwner):
		return false, err
	case err != nil:
		return false, fmt.Errorf("%w: %w", ooo.ErrNoAnswer, err) // it is still to be found out
	case found.NotificationURL != sub.NotificationURL || found.LifecycleURL != sub.LifecycleURL:
		return false, nil
	}
	live(sub, found, began)
	return true, nil
}

// changes are the changes of a resource that Graph is to announce.
const changes = "created,updated,deleted"

// ask makes the call, once more with a shorter life if Graph names its limit.
func (w *work) ask(ctx context.Context, sub ooo.Subscription) (ooo.GraphSubscription, error) {
	id := w.id.ObjectID()
	request := ooo.SubscriptionRequest{
		Resource:        requestOf(sub.Resource, id, w.want.Certificate.ID != ""),
		ChangeType:      changes,
		NotificationURL: sub.NotificationURL,
		LifecycleURL:    sub.LifecycleURL,
		ClientState:     w.want.Keys.Derive(id, sub.Resource),
		Certificate:     w.want.Certificate,
	}
	for {
		if err := w.spend(ctx); err != nil {
			return ooo.GraphSubscription{}, err
		}
		life := w.life(sub)
		request.ExpiresAt = time.Now().Add(life)
		made, err := w.cfg.Graph.CreateSubscription(ctx, request)
		if !w.learn(sub, life, err) {
			return made, err
		}
	}
}

// moveTime spreads the replacement of those whose lifecycle URL can't follow.
const moveTime = 5 * time.Minute

// renew moves the expiry, and the URL and the certificate where they differ.
func (w *work) renew(ctx context.Context, sub *ooo.Subscription) error {
	patch := ooo.SubscriptionPatch{}
	if sub.NotificationURL != w.want.Notification {
		patch.NotificationURL = w.want.Notification
	}
	if sub.CertificateID != "" && w.want.Certificate.ID != "" && sub.CertificateID != w.want.Certificate.ID {
		patch.Certificate = w.want.Certificate
	}
	made, began, err := w.patch(ctx, sub.ID, *sub, patch)
	if err != nil {
		return err
	}
	if patch.NotificationURL != "" {
		sub.NotificationURL = patch.NotificationURL
	}
	if patch.Certificate.ID != "" {
		sub.CertificateID = patch.Certificate.ID
	}
	live(sub, made, began)
	if sub.LifecycleURL != w.want.Lifecycle { // can't follow: replaced soon, not all at once
		sub.RenewAt = began.UTC().Round(0).Add(time.Minute + rand.N(moveTime))
	}
	return nil
}

// patch moves the expiry, with what else is to change, once more with a shorter life
// if Graph names its limit. It returns when the call began that worked.
func (w *work) patch(ctx context.Context, id ooo.SubscriptionID, sub ooo.Subscription, patch ooo.SubscriptionPatch) (ooo.GraphSubscription, time.Time, error) {
	for {
		if err := w.spend(ctx); err != nil {
			return ooo.GraphSubscription{}, time.Time{}, err
		}
		began, life := time.Now(), w.life(sub)
		patch.ExpiresAt = began.Add(life)
		made, err := w.cfg.Graph.PatchSubscription(ctx, id, patch)
		if !w.learn(sub, life, err) {
			return made, began, err
		}
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
		wait := w.cfg.Wait(WaitName)
		if wait > 0 {
			return &ooo.Throttled{After: wait}
		}
		if wait = w.budget.take(urgent); wait == 0 {
			break
		}
		if !schedule.Sleep(ctx, wait) {
			return ctx.Err()
		}
	}
	w.paid = false
	if !w.cfg.MayStart(w.id.Partition()) {
		return ooo.ErrNotOwner
	}
	return nil
}

// live notes what Graph granted in answer to a call that began then. It is renewed
// at two thirds of that, up to a tenth earlier at random so that what was made
// together is not renewed together.
func live(sub *ooo.Subscription, made ooo.GraphSubscription, began time.Time) {
	now := time.Now().UTC().Round(0)
	began = began.UTC().Round(0)
	if sub.ID != made.ID {
		sub.CreatedAt = now
	}
	life := max(made.ExpiresAt.Sub(now), 0)
	sub.ID, sub.ExpiresAt, sub.RenewedAt = made.ID, made.ExpiresAt, began
	sub.RenewAt = now.Add(life*2/3 - rand.N(life/10+1))
	sub.State, sub.Error, sub.Failures, sub.RetryAt, sub.Trouble = ooo.SubscriptionLive, "", 0, time.Time{}, ""
}

// save changes the record, with what else there is to note of it: when its
// subscriptions spoke last, and that a hint has been carried out. A record of which
// nothing is left is removed.
func (w *work) save(ctx context.Context, change func(d *mailbox.Draft)) error {
	hint, since, waiting := w.examination(w.id)
	over := false
	_, err := w.cfg.Registry.Update(ctx, w.id, func(d *mailbox.Draft) error {
		change(d)
		w.noteSpoken(d)
		if over = waiting && examined(d.Mailbox, w.want, since); over {
			d.Done(hint)
		}
		if len(d.Addresses) == 0 && len(d.Subscriptions) == 0 {
			d.Remove()
		}
		return nil
	})
	if err == nil && over {
		w.endExamination(w.id, hint)
	}
	return err
}

// log writes one line for each step that worked and for the first of a row of
// failures.
func (w *work) log(ctx context.Context, err error) {
	step := w.step
	w.cfg.Stepped(step, err)
	attrs := []any{"mailbox", w.id, "action", step.Action, "reason", step.Reason, "resource", step.Subscription.Resource}
	switch {
	case err == nil:
		w.cfg.Log.InfoContext(ctx, "subscription", attrs...)
	case errors.Is(err, ooo.ErrSubscriptionGone):
		w.cfg.Log.InfoContext(ctx, "subscription gone", attrs...)
	case step.Subscription.Failures == 0 || step.Subscription.Trouble != troubleOf(err).trouble:
		w.cfg.Log.WarnContext(ctx, "subscription step failed, retrying", append(attrs, "err", err)...)
	}
}
