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
)

// job is a step of a mailbox in flight.
type job struct {
	*Subscriber
	id    ooo.RecordID
	want  Settings
	step  Step
	spent bool // the write that the budget admitted before the step began
}

// run carries out the step and saves the result. Graph's errors are saved in the record;
// after any other error the owner of the mailbox plans again. Saving fails only if this
// replica has lost the mailbox.
func (j *job) run(ctx context.Context) {
	switch {
	case j.step.Reason == Unrecorded:
		j.runStray(ctx)
		return
	case j.step.Action == Nothing: // only to be saved
		_ = j.save(func(*mailbox.Draft) {})
		return
	}
	before := j.step.Subscription
	sub, err := j.call(ctx, before)
	if abandoned(ctx, err) {
		return
	}
	if err != nil {
		sub = j.failed(sub, err)
	}
	j.report(ctx, err)
	_ = j.save(func(d *mailbox.Draft) { putSubscription(d, sub) })
	if sub.State == ooo.SubscriptionLive && sub.ID != before.ID { // Graph has not announced what happened before
		j.cfg.ReadNow(j.id, ooo.SourceSubscription)
	}
}

// call makes the calls of the step and returns the subscription after them, without a state
// if there is none any more.
func (j *job) call(ctx context.Context, sub ooo.Subscription) (ooo.Subscription, error) {
	switch j.step.Action {
	case Create:
		return j.create(ctx, sub)
	case Replace:
		created, err := j.create(ctx, sub)
		if err != nil && created.Replaces == sub.ID {
			return sub, err // it still exists
		}
		return created, err
	case Renew:
		return j.renew(ctx, sub)
	case DeleteReplaced:
		if err := j.delete(ctx, sub.Replaces); err != nil {
			return sub, err
		}
		sub.Replaces = ""
		if sub.State == ooo.SubscriptionLive { // its last failure was one of this deletion
			clearFailure(&sub)
		}
		return sub, nil
	case Delete:
		if err := j.delete(ctx, sub.ID); err != nil {
			return sub, err
		}
	}
	sub.State = "" // Delete and Drop
	return sub, nil
}

// putSubscription puts a subscription into a record, sorted by resource, or removes one
// without a state.
func putSubscription(d *mailbox.Draft, sub ooo.Subscription) {
	d.Subscriptions = slices.DeleteFunc(d.Subscriptions, func(s ooo.Subscription) bool { return s.Resource == sub.Resource })
	if sub.State != "" {
		d.Subscriptions = append(d.Subscriptions, sub)
	}
	slices.SortFunc(d.Subscriptions, func(a, b ooo.Subscription) int { return strings.Compare(a.Resource, b.Resource) })
}

// create saves that a subscription is being created and then creates it. The subscription
// that it replaces stays until it exists.
func (j *job) create(ctx context.Context, before ooo.Subscription) (ooo.Subscription, error) {
	sub := ooo.Subscription{
		Resource: before.Resource, State: ooo.SubscriptionCreating, Failures: before.Failures, ErrorKind: before.ErrorKind,
		NotificationURL: j.want.Notification, LifecycleURL: j.want.Lifecycle, KeyTag: j.want.Keys.Tag(),
		CertificateID: j.want.Certificate.ID, CreatedAt: before.CreatedAt, Replaces: before.Replaces, NotifiedAt: before.NotifiedAt,
	}
	if j.step.Action == Replace {
		sub.Replaces = before.ID
	}
	if err := j.save(func(d *mailbox.Draft) { putSubscription(d, sub) }); err != nil {
		return sub, err // nothing may be created without a record
	}
	err := j.post(ctx, &sub)
	duplicate, ok := errors.AsType[*ooo.Duplicate](err)
	if !ok || duplicate.ID == "" {
		return sub, err
	}
	// Graph accepts no second subscription to the resource, so the existing one is deleted
	// first, even if it may be the result of a creation that was not answered: Graph does not
	// tell its clientState. The read that follows covers the gap.
	if err := j.delete(ctx, duplicate.ID); err != nil {
		return sub, err
	}
	if sub.Replaces == duplicate.ID {
		sub.Replaces = ""
	}
	err = j.post(ctx, &sub)
	return sub, err
}

// post creates the subscription at Graph.
func (j *job) post(ctx context.Context, sub *ooo.Subscription) error {
	id := j.id.ObjectID()
	request := ooo.SubscriptionRequest{
		Resource: resourceOf(sub.Resource, id, j.want.Certificate.ID != ""), ChangeType: "created,updated,deleted",
		NotificationURL: sub.NotificationURL, LifecycleURL: sub.LifecycleURL,
		ClientState: j.want.Keys.Derive(id, sub.Resource), Certificate: j.want.Certificate,
	}
	return j.requestExpiry(ctx, sub, func(expires time.Time) (ooo.GraphSubscription, error) {
		request.ExpiresAt = expires
		return j.cfg.Graph.CreateSubscription(ctx, request)
	})
}

// lifecycleSpread spreads the replacement of subscriptions after a change of the lifecycle
// URL, which can't be patched.
const lifecycleSpread = 5 * time.Minute

// renew patches the expiry, and the URL and the certificate where they differ.
func (j *job) renew(ctx context.Context, sub ooo.Subscription) (ooo.Subscription, error) {
	next, patch := sub, ooo.SubscriptionRequest{}
	if sub.NotificationURL != j.want.Notification {
		patch.NotificationURL, next.NotificationURL = j.want.Notification, j.want.Notification
	}
	if sub.CertificateID != "" && j.want.Certificate.ID != "" && sub.CertificateID != j.want.Certificate.ID {
		patch.Certificate, next.CertificateID = j.want.Certificate, j.want.Certificate.ID
	}
	err := j.requestExpiry(ctx, &next, func(expires time.Time) (ooo.GraphSubscription, error) {
		patch.ExpiresAt = expires
		return j.cfg.Graph.PatchSubscription(ctx, sub.ID, patch)
	})
	if err != nil {
		return sub, err
	}
	if next.LifecycleURL != j.want.Lifecycle { // replaced soon, but not all at once
		next.RenewAt = next.RenewedAt.Add(time.Minute + rand.N(lifecycleSpread))
	}
	return next, nil
}

// requestExpiry makes a call that requests an expiry for sub, and records what Graph granted.
// If Graph names a limit, it repeats the call with an earlier expiry.
func (j *job) requestExpiry(
	ctx context.Context, sub *ooo.Subscription, call func(expires time.Time) (ooo.GraphSubscription, error),
) error {
	for {
		if err := j.awaitBudget(ctx); err != nil {
			return err
		}
		lifetime := j.lifetimeOf(*sub)
		began := time.Now()
		granted, err := call(began.Add(lifetime))
		switch {
		case j.learnLimit(*sub, lifetime, err):
			continue
		case err != nil:
			return err
		case !granted.ExpiresAt.After(time.Now()):
			return errors.New("graph returned an expiry in the past")
		}
		setLive(sub, granted, began)
		return nil
	}
}

// delete deletes a subscription at Graph, where it may be gone already.
func (j *job) delete(ctx context.Context, id ooo.SubscriptionID) error {
	if err := j.awaitBudget(ctx); err != nil {
		return err
	}
	if err := j.cfg.Graph.DeleteSubscription(ctx, id); !errors.Is(err, ooo.ErrSubscriptionGone) {
		return err
	}
	return nil
}

// errWholeAppWaits means that Graph asked all replicas to wait after the step began. The
// step ends, so that its partition does not count as busy, and is planned again.
var errWholeAppWaits = errors.New("graph asked all replicas to wait")

// awaitBudget waits until the next write may begin. It returns an error if the step must
// end without it.
func (j *job) awaitBudget(ctx context.Context) error {
	if j.spent {
		if err := j.awaitWrite(ctx); err != nil {
			return err
		}
	}
	j.spent = true
	switch {
	case j.cfg.Owners.Wait(ooo.SubscriptionWait) > 0:
		return errWholeAppWaits
	case !j.cfg.Owners.MayStart(j.id.Partition()):
		return ooo.ErrNotOwner
	}
	return nil
}

// setLive records what Graph granted in a call that began at began.
func setLive(sub *ooo.Subscription, granted ooo.GraphSubscription, began time.Time) {
	if sub.ID != granted.ID {
		sub.CreatedAt = time.Now().UTC().Round(0)
	}
	sub.ID, sub.State, sub.ExpiresAt, sub.RenewedAt = granted.ID, ooo.SubscriptionLive, granted.ExpiresAt, began.UTC().Round(0)
	sub.RenewAt = renewAt(*sub)
	clearFailure(sub)
}

func clearFailure(sub *ooo.Subscription) {
	sub.Error, sub.Failures, sub.RetryAt, sub.ErrorKind = "", 0, time.Time{}, ""
}

// abandoned reports whether a step ended with err because this replica may not carry it out
// now. It is then planned again as if it had not begun.
func abandoned(ctx context.Context, err error) bool {
	stopping := err != nil && ctx.Err() != nil
	return stopping || errors.Is(err, errWholeAppWaits) || errors.Is(err, ooo.ErrNotOwner) || errors.Is(err, ooo.ErrNotMonitored)
}

// busyWait is how long the others wait, at most, after Graph was busy during one call. Perhaps only
// this mailbox is: one that is being moved must not hold up their subscriptions.
const busyWait = 2 * time.Second

// report logs and counts the result of the step, and makes all replicas wait if Graph asked
// for it. Only the first failure of a kind in a row is logged.
func (j *job) report(ctx context.Context, err error) {
	step, before := j.step, j.step.Subscription
	j.cfg.OnStep(step, err)
	attrs := []any{"mailbox", j.id, "action", step.Action, "reason", step.Reason, "resource", before.Resource}
	switch {
	case err == nil:
		j.cfg.Log.InfoContext(ctx, "subscription", attrs...)
	case errors.Is(err, ooo.ErrSubscriptionGone):
		j.cfg.Log.InfoContext(ctx, "subscription gone", attrs...)
	case before.Failures == 0 || before.ErrorKind != failureKindOf(err).kind:
		j.cfg.Log.WarnContext(ctx, "subscription step failed, retrying", append(attrs, "err", err)...)
	}
	if throttled, ok := errors.AsType[*ooo.Throttled](err); ok && throttled.WholeApp {
		wait := throttled.After
		if throttled.Busy {
			wait = min(wait, busyWait)
		}
		j.cfg.Owners.SetWait(ctx, ooo.SubscriptionWait, wait)
	}
}
