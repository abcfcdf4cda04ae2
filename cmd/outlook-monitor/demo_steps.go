package main

import (
	"context"
	"fmt"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// steps are what the demo does, each with a check of what must come of it.
var steps = []struct {
	title string
	run   func(ctx context.Context, d *demo) error
}{
	{"The mediator names its users: each is found, read, and covered by a subscription.", begin},
	{"Ann leaves. Outlook blocks her calendar, so Graph sends a notification.", notified},
	{"Bob leaves. Nothing announces it, only the poll can see it.", polled},
	{"Ann edits her text.", edited},
	{"Chris scheduled his absence: it begins and ends by the clock, on the second.", scheduled},
	{"The mediator goes away, Bob changes his mind twice, the mediator comes back.", mediatorAway},
	{"The mediator stops monitoring Ann: her subscription is deleted, and nothing more is delivered.", stopped},
}

// runAll runs all steps and returns what was missing.
func (d *demo) runAll(ctx context.Context) []error {
	var missing []error
	for _, part := range steps {
		d.notes.say("\n%s", part.title)
		if err := part.run(ctx, d); err != nil && ctx.Err() == nil {
			d.notes.say("  MISSING: %v", err)
			missing = append(missing, fmt.Errorf("%s %w", part.title, err))
		}
	}
	if len(missing) == 0 && ctx.Err() == nil {
		d.notes.say("\nAll %d steps passed.", len(steps))
	}
	return missing
}

// stepTime is how long a step waits for something.
const stepTime = 30 * time.Second

// until waits until done, and says what was missing otherwise.
func until(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for !done() {
		if !schedule.Sleep(ctx, 5*time.Millisecond) {
			return fmt.Errorf("%s did not happen within %v", what, stepTime)
		}
	}
	return nil
}

// delivered waits until the mediator knows a state and returns the call that brought
// it. The report gets a moment to print its line.
func (d *demo) delivered(ctx context.Context, email, status, message string) (mediatorsim.Call, error) {
	var last mediatorsim.Call
	err := until(ctx, fmt.Sprintf("delivery of %s for %s", status, email), func() bool {
		for _, call := range d.mediator.Calls() {
			if call.Email == email && call.Answered == 200 {
				last = call
			}
		}
		return last.Status == status && (status == "False" || last.Message == message)
	})
	schedule.Sleep(ctx, 100*time.Millisecond)
	return last, err
}

// deliveredBy is delivered, and checks what the change was seen by.
func (d *demo) deliveredBy(ctx context.Context, source ooo.Source, email, status, message string) error {
	call, err := d.delivered(ctx, email, status, message)
	if err != nil {
		return err
	}
	change, ok := d.cause(ctx, call)
	if !ok || change.Source != source {
		return fmt.Errorf("the change was seen by %q, not by %q", change.Source, source)
	}
	return nil
}

// set changes automatic replies, as their owner would.
func (d *demo) set(email string, u graphsim.AutomaticRepliesUpdate) error {
	d.notes.change(email, time.Now())
	_, err := d.sim.SetAutomaticReplies(email, u)
	return err
}

func replies(text string, announced bool) graphsim.AutomaticRepliesUpdate {
	return graphsim.AutomaticRepliesUpdate{
		Status: new("alwaysEnabled"), ExternalReplyMessage: new("<p>" + text + "</p>"), CalendarBlock: announced,
	}
}

// covered counts the living subscriptions of a user.
func (d *demo) covered(email string) (n int) {
	user, err := d.sim.User(email)
	for _, sub := range d.sim.Subscriptions() {
		if err == nil && sub.UserID == user.ID {
			n++
		}
	}
	return n
}

func begin(ctx context.Context, d *demo) error {
	for _, email := range people {
		if _, err := d.delivered(ctx, email, "False", ""); err != nil {
			return err
		}
		if err := until(ctx, "a subscription for "+email, func() bool { return d.covered(email) == 1 }); err != nil {
			return err
		}
	}
	return nil
}

func notified(ctx context.Context, d *demo) error {
	if err := d.set(ann, replies("I am back on Monday", true)); err != nil {
		return err
	}
	return d.deliveredBy(ctx, ooo.SourceNotification, ann, "True", "I am back on Monday")
}

func polled(ctx context.Context, d *demo) error {
	if err := d.set(bob, replies("Gone fishing", false)); err != nil {
		return err
	}
	return d.deliveredBy(ctx, ooo.SourcePoll, bob, "True", "Gone fishing")
}

func edited(ctx context.Context, d *demo) error {
	if err := d.set(ann, replies("Call Bob &amp; Chris", false)); err != nil {
		return err
	}
	_, err := d.delivered(ctx, ann, "True", "Call Bob & Chris")
	return err
}

func scheduled(ctx context.Context, d *demo) error {
	opens := time.Now().Add(4 * time.Second).Truncate(time.Second)
	closes := opens.Add(3 * time.Second)
	_, err := d.sim.SetAutomaticReplies(chris, graphsim.AutomaticRepliesUpdate{
		Status: new("scheduled"), ExternalReplyMessage: new("<p>At the dentist</p>"),
		ScheduledStartDateTime: new(graphsim.UTC(opens)), ScheduledEndDateTime: new(graphsim.UTC(closes)),
	})
	if err != nil {
		return err
	}
	d.notes.say("  Chris is away from %s to %s (UTC)", opens.UTC().Format("15:04:05"), closes.UTC().Format("15:04:05"))
	for _, edge := range []struct {
		at     time.Time
		status string
	}{{opens, "True"}, {closes, "False"}} {
		d.notes.change(chris, edge.at)
		call, err := d.delivered(ctx, chris, edge.status, "At the dentist")
		if err != nil {
			return err
		}
		change, ok := d.cause(ctx, call)
		if !ok || change.Source != ooo.SourceWindow || change.At.Before(edge.at) {
			return fmt.Errorf("the change at %v was seen by %q at %v", edge.at, change.Source, change.At)
		}
	}
	return nil
}

func mediatorAway(ctx context.Context, d *demo) error {
	d.mediator.Away(true)
	before := len(d.mediator.Calls())
	for i, change := range []graphsim.AutomaticRepliesUpdate{{Status: new("disabled")}, replies("Gone sailing", false)} {
		if err := d.set(bob, change); err != nil {
			return err
		}
		want := 2 + i
		err := until(ctx, "the change being recorded while the mediator is away", func() bool {
			events, err := d.history(ctx, bob)
			if err != nil {
				return false
			}
			changes := 0
			for _, e := range events {
				if e.Kind == ooo.EventChanged {
					changes++
				}
			}
			return changes > want
		})
		if err != nil {
			return err
		}
	}
	d.mediator.Away(false)
	if _, err := d.delivered(ctx, bob, "True", "Gone sailing"); err != nil {
		return err
	}
	if sent := len(d.mediator.Calls()) - before; sent != 1 {
		return fmt.Errorf("the mediator received %d states, not the newest alone", sent)
	}
	return nil
}

func stopped(ctx context.Context, d *demo) error {
	if _, err := d.mediator.Monitor(ctx, ann, false); err != nil {
		return err
	}
	if err := until(ctx, "her subscription being deleted", func() bool { return d.covered(ann) == 0 }); err != nil {
		return err
	}
	before := len(d.mediator.Calls())
	if err := d.set(ann, graphsim.AutomaticRepliesUpdate{Status: new("disabled"), CalendarBlock: true}); err != nil {
		return err
	}
	schedule.Sleep(ctx, 2500*time.Millisecond) // more than one interval
	for _, call := range d.mediator.Calls()[before:] {
		if call.Email == ann {
			return fmt.Errorf("the mediator still received her state")
		}
	}
	if n := d.covered(ann); n != 0 {
		return fmt.Errorf("%d subscriptions of hers are left", n)
	}
	return nil
}
