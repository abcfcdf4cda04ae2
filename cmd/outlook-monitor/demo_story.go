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

// story is the scenes in order, each with what must come of it.
var story = []struct {
	title string
	scene func(ctx context.Context, s *stage) error
}{
	{"The mediator names its users: each is found, read, and covered by a subscription.", begin},
	{"Ann leaves. Outlook blocks her calendar, so Graph sends a notification.", notified},
	{"Bob leaves. Nothing announces it, only the poll can see it.", polled},
	{"Ann edits her text.", edited},
	{"Chris scheduled his absence: it begins and ends by the clock, on the second.", scheduled},
	{"The mediator goes away, Bob changes his mind twice, the mediator comes back.", mediatorAway},
	{"The mediator stops monitoring Ann: her subscription is deleted, and nothing more is delivered.", stopped},
}

// play plays all scenes and returns what was missing in them.
func (s *stage) play(ctx context.Context) []error {
	var missing []error
	for _, part := range story {
		s.notes.say("\n%s", part.title)
		if err := part.scene(ctx, s); err != nil && ctx.Err() == nil {
			s.notes.say("  MISSING: %v", err)
			missing = append(missing, fmt.Errorf("%s %w", part.title, err))
		}
	}
	if len(missing) == 0 && ctx.Err() == nil {
		s.notes.say("\nAll %d scenes went as they should.", len(story))
	}
	return missing
}

// patience is how long a scene waits for what must come.
const patience = 30 * time.Second

// until waits until done, and says what was missing otherwise.
func until(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !done() {
		if !schedule.Sleep(ctx, 5*time.Millisecond) {
			return fmt.Errorf("%s did not happen within %v", what, patience)
		}
	}
	return nil
}

// delivered waits until the mediator knows a state and returns the call that brought
// it. The narrator gets a moment to print its line.
func (s *stage) delivered(ctx context.Context, email, status, message string) (mediatorsim.Call, error) {
	var last mediatorsim.Call
	err := until(ctx, fmt.Sprintf("delivery of %s for %s", status, email), func() bool {
		for _, call := range s.mediator.Calls() {
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
func (s *stage) deliveredBy(ctx context.Context, source ooo.Source, email, status, message string) error {
	call, err := s.delivered(ctx, email, status, message)
	if err != nil {
		return err
	}
	change, ok := s.cause(ctx, call)
	if !ok || change.Source != source {
		return fmt.Errorf("the change was seen by %q, not by %q", change.Source, source)
	}
	return nil
}

// set changes automatic replies, as their owner would.
func (s *stage) set(email string, u graphsim.AutomaticRepliesUpdate) error {
	s.notes.change(email, time.Now())
	_, err := s.sim.SetAutomaticReplies(email, u)
	return err
}

func replies(text string, announced bool) graphsim.AutomaticRepliesUpdate {
	return graphsim.AutomaticRepliesUpdate{
		Status: new("alwaysEnabled"), ExternalReplyMessage: new("<p>" + text + "</p>"), CalendarBlock: announced,
	}
}

// covered counts the living subscriptions of a user.
func (s *stage) covered(email string) (n int) {
	user, err := s.sim.User(email)
	for _, sub := range s.sim.Subscriptions() {
		if err == nil && sub.UserID == user.ID {
			n++
		}
	}
	return n
}

func begin(ctx context.Context, s *stage) error {
	for _, email := range cast {
		if _, err := s.delivered(ctx, email, "False", ""); err != nil {
			return err
		}
		if err := until(ctx, "a subscription for "+email, func() bool { return s.covered(email) == 1 }); err != nil {
			return err
		}
	}
	return nil
}

func notified(ctx context.Context, s *stage) error {
	if err := s.set(ann, replies("I am back on Monday", true)); err != nil {
		return err
	}
	return s.deliveredBy(ctx, ooo.SourceNotification, ann, "True", "I am back on Monday")
}

func polled(ctx context.Context, s *stage) error {
	if err := s.set(bob, replies("Gone fishing", false)); err != nil {
		return err
	}
	return s.deliveredBy(ctx, ooo.SourcePoll, bob, "True", "Gone fishing")
}

func edited(ctx context.Context, s *stage) error {
	if err := s.set(ann, replies("Call Bob &amp; Chris", false)); err != nil {
		return err
	}
	_, err := s.delivered(ctx, ann, "True", "Call Bob & Chris")
	return err
}

func scheduled(ctx context.Context, s *stage) error {
	opens := time.Now().Add(4 * time.Second).Truncate(time.Second)
	closes := opens.Add(3 * time.Second)
	_, err := s.sim.SetAutomaticReplies(chris, graphsim.AutomaticRepliesUpdate{
		Status: new("scheduled"), ExternalReplyMessage: new("<p>At the dentist</p>"),
		ScheduledStartDateTime: new(graphsim.UTC(opens)), ScheduledEndDateTime: new(graphsim.UTC(closes)),
	})
	if err != nil {
		return err
	}
	s.notes.say("  Chris is away from %s to %s (UTC)", opens.UTC().Format("15:04:05"), closes.UTC().Format("15:04:05"))
	for _, edge := range []struct {
		at     time.Time
		status string
	}{{opens, "True"}, {closes, "False"}} {
		s.notes.change(chris, edge.at)
		call, err := s.delivered(ctx, chris, edge.status, "At the dentist")
		if err != nil {
			return err
		}
		change, ok := s.cause(ctx, call)
		if !ok || change.Source != ooo.SourceWindow || change.At.Before(edge.at) {
			return fmt.Errorf("the change at %v was seen by %q at %v", edge.at, change.Source, change.At)
		}
	}
	return nil
}

func mediatorAway(ctx context.Context, s *stage) error {
	s.mediator.Away(true)
	before := len(s.mediator.Calls())
	for i, change := range []graphsim.AutomaticRepliesUpdate{{Status: new("disabled")}, replies("Gone sailing", false)} {
		if err := s.set(bob, change); err != nil {
			return err
		}
		want := 2 + i
		err := until(ctx, "the change being recorded while the mediator is away", func() bool {
			events, err := s.history(ctx, bob)
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
	s.mediator.Away(false)
	if _, err := s.delivered(ctx, bob, "True", "Gone sailing"); err != nil {
		return err
	}
	if told := len(s.mediator.Calls()) - before; told != 1 {
		return fmt.Errorf("the mediator received %d states, not the newest alone", told)
	}
	return nil
}

func stopped(ctx context.Context, s *stage) error {
	if _, err := s.mediator.Monitor(ctx, ann, false); err != nil {
		return err
	}
	if err := until(ctx, "her subscription being deleted", func() bool { return s.covered(ann) == 0 }); err != nil {
		return err
	}
	before := len(s.mediator.Calls())
	if err := s.set(ann, graphsim.AutomaticRepliesUpdate{Status: new("disabled"), CalendarBlock: true}); err != nil {
		return err
	}
	schedule.Sleep(ctx, 2500*time.Millisecond) // more than one interval
	for _, call := range s.mediator.Calls()[before:] {
		if call.Email == ann {
			return fmt.Errorf("the mediator still received her state")
		}
	}
	if n := s.covered(ann); n != 0 {
		return fmt.Errorf("%d subscriptions of hers are left", n)
	}
	return nil
}
