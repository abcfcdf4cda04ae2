package main

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"strings"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// steps are the steps of the demo, each with a check of its result.
var steps = []struct {
	title string
	run   func(ctx context.Context, d *demo) error
}{
	{"The mediator names its users: each is found, read, and covered by a subscription.", addUsers},
	{"Ann leaves. Outlook blocks her calendar, so Graph sends a notification.", notified},
	{"Bob leaves. There is no notification, so only the poll can see it.", func(ctx context.Context, d *demo) error {
		return d.leave(ctx, bob, "Gone fishing", false, ooo.SourcePoll)
	}},
	{"Ann edits her text.", func(ctx context.Context, d *demo) error {
		return d.leave(ctx, ann, "Call Bob & Chris", false, "")
	}},
	{"Chris scheduled his absence: it begins and ends on the second, by the clock.", scheduled},
	{"The mediator goes down, Bob changes his mind twice, the mediator comes back.", mediatorDown},
	{"The mediator stops monitoring Ann: her subscription is deleted, and nothing more is delivered.", stopped},
}

// runSteps runs all steps and returns the failures.
func (d *demo) runSteps(ctx context.Context) []error {
	var failures []error
	for _, step := range steps {
		if ctx.Err() != nil {
			break
		}
		d.out.Printf("\n%s", step.title)
		if err := step.run(ctx, d); err != nil && ctx.Err() == nil {
			d.out.Printf("  FAILED: %v", err)
			failures = append(failures, fmt.Errorf("%s %w", step.title, err))
		}
	}
	if len(failures) == 0 && ctx.Err() == nil {
		d.out.Printf("\nAll %d steps passed.", len(steps))
	}
	return failures
}

// stepTimeout is how long a step waits for each of its conditions.
const stepTimeout = 30 * time.Second

// waitFor waits until done returns true.
func waitFor(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for !done() {
		if !schedule.Sleep(ctx, 5*time.Millisecond) {
			return fmt.Errorf("%s did not happen within %v", what, stepTimeout)
		}
	}
	return nil
}

// delivered waits until the mediator has acknowledged a state and returns that call. It then
// waits for print, which runs meanwhile.
func (d *demo) delivered(ctx context.Context, email, status, message string) (mediatorsim.Call, error) {
	var last mediatorsim.Call
	err := waitFor(ctx, fmt.Sprintf("delivery of %s for %s", status, email), func() bool {
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

// leave turns a user's replies on and waits for the delivery. It checks the source of the change
// unless that is empty.
func (d *demo) leave(ctx context.Context, email, text string, calendarBlock bool, source ooo.Source) error {
	if err := d.set(email, replies(text, calendarBlock)); err != nil {
		return err
	}
	call, err := d.delivered(ctx, email, "True", text)
	if err != nil || source == "" {
		return err
	}
	if change, _ := d.cause(ctx, call); change.Source != source {
		return fmt.Errorf("the source of the change is %q, want %q", change.Source, source)
	}
	return nil
}

// set changes automatic replies, as the user would.
func (d *demo) set(email string, u graphsim.AutomaticRepliesUpdate) error {
	d.changed.Store(email, time.Now())
	_, err := d.sim.SetAutomaticReplies(email, u)
	return err
}

func replies(text string, calendarBlock bool) graphsim.AutomaticRepliesUpdate {
	return graphsim.AutomaticRepliesUpdate{
		Status: new("alwaysEnabled"), ExternalReplyMessage: new("<p>" + html.EscapeString(text) + "</p>"), CalendarBlock: calendarBlock,
	}
}

// subscriptions counts the live subscriptions of a user.
func (d *demo) subscriptions(email string) (n int) {
	user, err := d.sim.User(email)
	for _, sub := range d.sim.Subscriptions() {
		if err == nil && sub.UserID == user.ID {
			n++
		}
	}
	return n
}

func addUsers(ctx context.Context, d *demo) error {
	for _, email := range demoUsers {
		if _, err := d.delivered(ctx, email, "False", ""); err != nil {
			return err
		}
		if err := waitFor(ctx, "a subscription for "+email, func() bool { return d.subscriptions(email) == 1 }); err != nil {
			return err
		}
	}
	return nil
}

// notified makes its change right after a regular read: one between the change and the
// notification would detect it first.
func notified(ctx context.Context, d *demo) error {
	user, err := d.sim.User(ann)
	if err != nil {
		return err
	}
	before := d.sim.LastRead(user.ID)
	if err := waitFor(ctx, "a read of "+ann, func() bool { return d.sim.LastRead(user.ID).After(before) }); err != nil {
		return err
	}
	return d.leave(ctx, ann, "I am back on Monday", true, ooo.SourceNotification)
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
	d.out.Printf("  Chris is away from %s to %s (UTC)", opens.UTC().Format("15:04:05"), closes.UTC().Format("15:04:05"))
	for _, edge := range []struct {
		at     time.Time
		status string
	}{{opens, "True"}, {closes, "False"}} {
		d.changed.Store(chris, edge.at)
		call, err := d.delivered(ctx, chris, edge.status, "At the dentist")
		if err != nil {
			return err
		}
		change, ok := d.cause(ctx, call)
		if !ok || change.Source != ooo.SourceWindow || change.At.Before(edge.at) {
			return fmt.Errorf("the change at %v has the source %q and the time %v", edge.at, change.Source, change.At)
		}
	}
	return nil
}

func mediatorDown(ctx context.Context, d *demo) error {
	d.mediator.SetDown(true)
	before := len(d.mediator.Calls())
	for i, change := range []graphsim.AutomaticRepliesUpdate{{Status: new("disabled")}, replies("Gone sailing", false)} {
		if err := d.set(bob, change); err != nil {
			return err
		}
		want := []string{"no", "yes"}[i]
		err := waitFor(ctx, "recording the change while the mediator is away", func() bool {
			u, _, err := d.api.user(ctx, bob)
			return err == nil && outOfOffice(u) == want
		})
		if err != nil {
			return err
		}
	}
	d.mediator.SetDown(false)
	if _, err := d.delivered(ctx, bob, "True", "Gone sailing"); err != nil {
		return err
	}
	if sent := len(d.mediator.Calls()) - before; sent != 1 {
		return fmt.Errorf("the mediator received %d states, want only the newest", sent)
	}
	return nil
}

func stopped(ctx context.Context, d *demo) error {
	if _, err := d.mediator.Monitor(ctx, ann, false); err != nil {
		return err
	}
	if err := waitFor(ctx, "deletion of her subscription", func() bool { return d.subscriptions(ann) == 0 }); err != nil {
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
	if n := d.subscriptions(ann); n != 0 {
		return fmt.Errorf("%d of her subscriptions are left", n)
	}
	return nil
}

// print prints a state that the mediator received, how the change was detected, and how long that took.
func (d *demo) print(call mediatorsim.Call) {
	if call.Answered != http.StatusOK {
		return
	}
	how := ""
	if change, ok := d.cause(context.Background(), call); ok {
		seen := sourceTexts[change.Source]
		changed, _ := d.changed.LoadAndDelete(call.Email) // later deliveries are not about that change
		if at, ok := changed.(time.Time); ok && !at.After(change.At) {
			how = fmt.Sprintf("%s after %s, delivered after %s", seen, round(change.At.Sub(at)), round(call.At.Sub(at)))
		} else {
			how = fmt.Sprintf("%s, delivered %s later", seen, round(call.At.Sub(change.At)))
		}
	}
	name, _, _ := strings.Cut(call.Email, "@")
	d.out.Printf("  %s  %-6s%-44s %s", call.At.Format("15:04:05.000"), name, received(call), how)
}

// sourceTexts say how the service detected a change.
var sourceTexts = map[ooo.Source]string{
	ooo.SourceNotification: "seen by notification",
	ooo.SourcePoll:         "seen by the 2 s poll",
	ooo.SourceWindow:       "by the clock",
	ooo.SourceRequest:      "on request",
	ooo.SourceSubscription: "seen by the read after subscribing",
}

func round(d time.Duration) string {
	return max(d, time.Millisecond).Round(time.Millisecond).String()
}

// cause returns the change that an acknowledged call reported: the newest one before it, because
// only the newest state is delivered.
func (d *demo) cause(ctx context.Context, call mediatorsim.Call) (ooo.Event, bool) {
	events, _, _ := d.api.history(ctx, call.Email, ooo.HistoryLength)
	for _, e := range events { // newest first
		if (e.Kind == ooo.EventChanged || e.Kind == ooo.EventResend) && !e.At.After(call.At) {
			return e, e.Kind == ooo.EventChanged
		}
	}
	return ooo.Event{}, false
}
