package subscribe

import (
	"context"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// planStray returns the step for a stray: a subscription that Graph listed and no record
// had when a sweep compared them. It is deleted unless m has it by now, or replaces it. m is
// nil if the mailbox is not monitored.
func planStray(m *ooo.Mailbox, h ooo.Hint) Step {
	id := ooo.SubscriptionID(h.Subject)
	step := Step{Action: Delete, Reason: Unrecorded, Subscription: ooo.Subscription{ID: id}, stray: h}
	if m != nil && slices.ContainsFunc(m.Subscriptions, func(s ooo.Subscription) bool {
		return s.ID == id || s.Replaces == id
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
