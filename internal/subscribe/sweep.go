package subscribe

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
)

// Swept counts what a sweep found, by kind.
type Swept struct {
	Known   int // recorded, and there
	Lost    int // recorded, and gone without a word: made anew
	Adopted int // asked for, its answer lost: taken over or made anew
	Surplus int // ours, and nobody's: deleted
	Foreign int // of another PUBLIC_URL: left alone
}

const (
	sweepName = "sweep"
	sweepTime = 30 * time.Second // how long a dead process' lock keeps others from sweeping
	sweepPage = 500              // users
	// listPage is how many subscriptions Graph lists in one call.
	listPage = 100
)

// sweeps compares the records with what Graph has, now and then, on one replica
// at a time, until ctx ends.
func (s *Subscriber) sweeps(ctx context.Context) error {
	wait := s.cfg.SweepEvery/20 + rand.N(s.cfg.SweepEvery/20+1)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		wait = s.cfg.SweepEvery - rand.N(s.cfg.SweepEvery/5+1)
		found, done, err := s.sweepOnce(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.cfg.Log.WarnContext(ctx, "the subscriptions could not be compared with the records, will try again", "err", err)
			wait = s.cfg.SweepEvery / 10
		case done:
			s.cfg.Swept(found)
			s.cfg.Log.InfoContext(ctx, "subscriptions compared with the records", "known", found.Known, "lost", found.Lost,
				"adopted", found.Adopted, "surplus", found.Surplus, "foreign", found.Foreign)
		}
	}
}

// sweepOnce sweeps unless another replica does, or did a short while ago.
func (s *Subscriber) sweepOnce(ctx context.Context) (found Swept, done bool, err error) {
	unlock, err := s.cfg.Store.Lock(ctx, sweepName, sweepTime)
	if errors.Is(err, ooo.ErrBusy) {
		return found, false, nil
	}
	if err != nil {
		return found, false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = unlock(ctx) // it ends by itself
	}()
	last, err := s.cfg.Store.Stamp(ctx, sweepName)
	if err != nil {
		return found, false, err
	}
	now, err := s.cfg.Store.Now(ctx)
	if err != nil || now.Sub(last) < s.cfg.SweepEvery/2 {
		return found, false, err
	}
	if found, err = s.sweep(ctx, now); err != nil {
		return found, false, err
	}
	return found, true, s.cfg.Store.SetStamp(ctx, sweepName)
}

// sweep lists first and reads the records after that: whoever made a listed
// subscription has recorded by then that it was asked for.
func (s *Subscriber) sweep(ctx context.Context, began time.Time) (Swept, error) {
	var found Swept
	listed, err := s.listing(ctx)
	if err != nil {
		return found, err
	}
	ours := map[ooo.SubscriptionID]ooo.GraphSubscription{}
	for _, sub := range listed {
		switch {
		case sub.NotificationURL != s.cfg.Settings.NotificationURL:
			found.Foreign++
		case sub.ExpiresAt.After(began):
			ours[sub.ID] = sub
		}
	}
	all := newRoll()
	var asked []ooo.Subscription
	for cursor := ""; ; {
		users, next, err := s.cfg.Store.Users(ctx, sweepPage, cursor)
		if err != nil {
			return found, err
		}
		for _, u := range users {
			all.add(u)
			more, err := s.match(ctx, u, ours, began, &found)
			if err != nil {
				return found, err
			}
			asked = append(asked, more...)
		}
		if cursor = next; next == "" {
			break
		}
	}
	for _, sub := range asked { // not before all that is recorded is known
		for id, listed := range ours {
			if samePath(listed.Resource, ooo.ResourcePath(sub.Resource, sub.ObjectID)) {
				delete(ours, id)
				found.Adopted++
			}
		}
	}
	if err := s.wake(ctx, all.disagree()...); err != nil {
		return found, err
	}
	w := work{Subscriber: s, step: Step{Action: Delete}}
	for id := range ours {
		err := w.remove(ctx, id)
		if errors.Is(err, ooo.ErrSubscriptionDenied) || errors.Is(err, ooo.ErrRejected) {
			continue // one that can't be deleted must not keep the others
		}
		if err != nil {
			return found, err
		}
		found.Surplus++
	}
	return found, nil
}

// match takes a user's subscriptions out of ours and notes what is missing. It
// returns those that are asked for and have no id yet.
func (s *Subscriber) match(ctx context.Context, u ooo.User, ours map[ooo.SubscriptionID]ooo.GraphSubscription, began time.Time, found *Swept) (asked []ooo.Subscription, err error) {
	for _, sub := range u.Subscriptions {
		delete(ours, sub.Former)
		_, there := ours[sub.ID]
		delete(ours, sub.ID)
		switch {
		case there:
			found.Known++
		case sub.ID == "" && sub.State == ooo.SubscriptionCreating:
			asked = append(asked, sub)
			if err := s.wake(ctx, u.Key); err != nil {
				return nil, err
			}
		case sub.State == ooo.SubscriptionLive && sub.NotificationURL == s.cfg.Settings.NotificationURL &&
			sub.CreatedAt.Before(began.Add(-min(time.Minute, s.cfg.SweepEvery/20))) && sub.ExpiresAt.After(began):
			found.Lost++
			event := ooo.Lifecycle{SubscriptionID: sub.ID, Kind: ooo.SubscriptionWasRemoved, At: began}
			if err := s.cfg.Store.Heard(ctx, u.Key, event); err != nil {
				return nil, err
			}
		}
	}
	return asked, nil
}

// listing returns all subscriptions of this app, read at the pace that Graph
// allows.
func (s *Subscriber) listing(ctx context.Context) ([]ooo.GraphSubscription, error) {
	select {
	case s.lists <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.lists }()
	var all []ooo.GraphSubscription
	for sub, err := range s.cfg.Graph.Subscriptions(ctx) {
		if err != nil {
			return nil, err
		}
		if all = append(all, sub); len(all)%listPage == 0 {
			select {
			case <-time.After(s.cfg.ListPause):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	return all, nil
}

// samePath compares resources, which Graph spells in several ways.
func samePath(listed, ours string) bool {
	listed, _, _ = strings.Cut(listed, "?")
	return strings.EqualFold(strings.Trim(listed, "/"), strings.Trim(ours, "/"))
}
