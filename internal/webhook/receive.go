package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"outlook-monitor/internal/ooo"
)

// errNotKept means that Redis, or this process, could not take what came.
var errNotKept = errors.New("could not be stored, Graph will send it again")

// receive takes one request: all of what it asks for is stored when it returns
// nil.
func (r *Receiver) receive(ctx context.Context, body io.Reader) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer func() { <-r.rooms }()
	items, ignored, err := decode(body)
	if err != nil {
		return err
	}
	r.count(Ignored, ignored)
	if len(items) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	keys, err := r.cfg.Keys(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotKept, err)
	}
	return r.keep(ctx, r.sort(items, keys, time.Now()))
}

// enter waits for its turn, for a moment.
func (r *Receiver) enter(ctx context.Context) error {
	select {
	case r.rooms <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(queueTime)
	defer timer.Stop()
	select {
	case r.rooms <- struct{}{}:
		return nil
	case <-timer.C:
		return fmt.Errorf("%w: too many requests at once", errNotKept)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errNotKept, ctx.Err())
	}
}

// sorted is what a request asks for: one mark a user, however many items.
type sorted struct {
	marks  []ooo.Mark
	items  int // that became marks
	events map[ooo.Key][]ooo.Lifecycle
}

// sort tells genuine items from forged ones and what each asks for.
func (r *Receiver) sort(items []item, keys ooo.ClientStateKeys, now time.Time) sorted {
	var s sorted
	marked := map[ooo.Key]bool{}
	mark := func(key ooo.Key, id string) {
		if !marked[key] {
			marked[key] = true
			s.marks = append(s.marks, ooo.Mark{Key: key, Source: ooo.SourceNotification, ID: id, Urgent: true})
		}
	}
	forged, events, ignored := 0, 0, 0
	for _, it := range items {
		key, genuine := keys.Verify(it.ClientState)
		switch {
		case !genuine:
			forged++
		case it.ChangeType != "":
			s.items++
			mark(key, it.name())
		case it.event() == "":
			ignored++
		default:
			events++
			if it.event() != ooo.ReauthorizationRequired { // something may have been missed
				mark(key, it.name())
			}
			if it.event() != ooo.NotificationsMissed {
				if s.events == nil {
					s.events = map[ooo.Key][]ooo.Lifecycle{}
				}
				s.events[key] = append(s.events[key], ooo.Lifecycle{
					SubscriptionID: ooo.SubscriptionID(it.SubscriptionID), Kind: it.event(), At: now})
			}
		}
	}
	r.count(Forged, forged)
	r.count(Event, events)
	r.count(Ignored, ignored)
	return s
}

// keep stores it all. Lifecycle events come first: who tends the subscriptions
// reads the user anyway, while a read helps a lost subscription nothing.
func (r *Receiver) keep(ctx context.Context, s sorted) error {
	for key, events := range s.events {
		if err := r.cfg.Inbox.Heard(ctx, key, events...); err != nil {
			return fmt.Errorf("%w: %w", errNotKept, err)
		}
	}
	if len(s.marks) == 0 {
		return nil
	}
	known, err := r.cfg.Inbox.Mark(ctx, ooo.ReadQueue, s.marks...)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotKept, err)
	}
	gone := min(len(s.marks)-known, s.items)
	r.count(Unmonitored, gone)
	r.count(Accepted, s.items-gone)
	return nil
}

func (r *Receiver) count(v Verdict, n int) {
	if n > 0 {
		r.cfg.Counted(string(v), n)
	}
}
