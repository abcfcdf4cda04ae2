package subscribe

import (
	"context"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// planStray returns the step for a stray: a subscription that Graph listed and no record
// had when a sweep compared them. m is nil if the mailbox is not monitored.
//
// Nothing is deleted that m has by now, or replaces, or that may be the result of a
// creation that was not answered: its notifications are genuine, and until the next creation
// succeeds there are no others. If Graph then accepts a second one, the next sweep leads to
// the deletion of the first. After maxSearches failures the strays are deleted nevertheless:
// each unanswered creation may add one.
func planStray(m *ooo.Mailbox, h ooo.Hint) Step {
	id := ooo.SubscriptionID(h.Subject)
	step := Step{Action: Delete, Reason: Unrecorded, Subscription: ooo.Subscription{ID: id}, stray: h}
	if m != nil && slices.ContainsFunc(m.Subscriptions, func(s ooo.Subscription) bool {
		return s.ID == id || s.Replaces == id ||
			s.ID == "" && s.State == ooo.SubscriptionCreating && s.Failures < maxSearches
	}) {
		step.Action = Nothing
	}
	return step
}

// runStray carries out the step for a stray and removes its hint, even if the deletion
// failed: then the next sweep leaves another one.
func (j *job) runStray(ctx context.Context) {
	if j.step.Action == Delete {
		err := j.delete(ctx, j.step.Subscription.ID)
		if abandoned(ctx, err) {
			return
		}
		j.report(ctx, err)
	}
	schedule.Retry(ctx, 50*time.Millisecond, time.Second, func(int) error { return j.cfg.Registry.RemoveHints(ctx, j.step.stray) })
}
