package subscribe

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Swept counts what a sweep found, by kind.
type Swept struct {
	Known   int // in a record, and listed
	Lost    int // in a record, and not listed: asked for by id
	Adopted int // listed, and maybe the answer that a record waits for
	Surplus int // listed, and in no record: to be deleted
	Foreign int // of another PUBLIC_URL and in no record: left alone
	// Incomplete says that the list broke off, so that nothing is known of what it
	// lacks.
	Incomplete bool
}

const (
	// listPause is between two calls for a page: Graph takes 25 in 20 s, by its clock.
	listPause = 850 * time.Millisecond
	// listTries is how often a page is asked for.
	listTries = 5
	// settleTime is how young a subscription may be and not be listed yet.
	settleTime  = time.Minute
	hintsAtOnce = 500
)

// errNotFirst ends a sweep whose replica no longer owns the first partition.
var errNotFirst = errors.New("another replica sweeps now")

// ReasonNotListed is the reason of the hints that a sweep leaves for subscriptions
// that Graph does not list.
const ReasonNotListed = "not listed"

// sweeps sweeps now and then while this replica owns the first partition, until ctx
// ends.
func (s *Subscriber) sweeps(ctx context.Context) error {
	soon := func() time.Time { return time.Now().Add(s.cfg.SweepEvery/20 + rand.N(s.cfg.SweepEvery/20+1)) }
	for next := soon(); schedule.Sleep(ctx, min(s.cfg.SweepEvery/40, 5*time.Second)); {
		urls := s.urls.Load()
		if urls == nil || urls.Notification == "" || !s.cfg.First() {
			next = soon()
			continue
		}
		if time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(s.cfg.SweepEvery - rand.N(s.cfg.SweepEvery/5+1))
		found, err := s.sweep(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, errNotFirst):
		case err != nil:
			s.cfg.Log.WarnContext(ctx, "subscriptions not compared with the records, retrying", "err", err)
			next = time.Now().Add(s.cfg.SweepEvery / 10)
		default:
			s.cfg.Swept(found)
			s.cfg.Log.InfoContext(ctx, "subscriptions compared with the records", "known", found.Known, "lost", found.Lost,
				"adopted", found.Adopted, "surplus", found.Surplus, "foreign", found.Foreign, "incomplete", found.Incomplete)
		}
	}
	return nil
}

// sweep lists first and reads the records after that: whoever made a listed
// subscription has saved by then that it was asked for.
func (s *Subscriber) sweep(ctx context.Context) (found Swept, err error) {
	want, err := s.settings(ctx)
	if err != nil {
		return found, err
	}
	began := time.Now()
	listed, complete, err := s.list(ctx)
	if err != nil {
		return found, err
	}
	found.Incomplete = !complete
	unclear := map[ooo.RecordID]bool{} // nothing is known of these records
	creating := map[ooo.RecordID][]string{}
	var failed [ooo.Partitions]bool
	for p := range ooo.Partitions {
		if !s.cfg.First() {
			return found, errNotFirst
		}
		loaded, err := s.cfg.Records(ctx, p)
		if err != nil {
			if ctx.Err() != nil {
				return found, err
			}
			s.cfg.Log.WarnContext(ctx, "records not readable, left out of the comparison", "partition", p, "err", err)
			failed[p] = true
			continue
		}
		for id := range loaded.Damaged {
			unclear[id] = true
		}
		var hints []ooo.Hint
		for _, m := range loaded.Records {
			lost := false
			for _, sub := range m.Subscriptions {
				_, there := listed[sub.ID]
				delete(listed, sub.ID)
				delete(listed, sub.Replaces)
				switch {
				case sub.ID == "" && sub.State == ooo.SubscriptionCreating:
					creating[m.ID] = append(creating[m.ID], sub.Resource)
				case there:
					found.Known++
				case complete && sub.ID != "" && sub.State == ooo.SubscriptionLive && sub.NotificationURL == want.Notification &&
					sub.RenewedAt.Before(began.Add(-min(settleTime, s.cfg.SweepEvery/20))) && sub.ExpiresAt.After(began):
					found.Lost++
					lost = true
				}
			}
			if lost {
				hints = append(hints, ooo.Hint{ID: m.ID, Kind: ooo.HintSubscription, Source: ooo.SourceSubscription, Reason: ReasonNotListed})
			}
		}
		if err := s.leave(ctx, hints); err != nil {
			return found, err
		}
	}
	var hints []ooo.Hint
	for id, sub := range listed {
		h := s.strayHint(want, sub)
		switch {
		case sub.NotificationURL != want.Notification:
			found.Foreign++
			continue
		case !sub.ExpiresAt.After(began) || unclear[h.ID] || failed[h.ID.Partition()]:
			continue
		case slices.ContainsFunc(creating[h.ID], func(resource string) bool { return ooo.ResourceTag(resource) == h.ResourceTag }):
			found.Adopted++
		default:
			found.Surplus++
		}
		h.Subject, h.SubscriptionID = string(id), id
		hints = append(hints, h)
	}
	return found, s.leave(ctx, hints)
}

// strayHint returns the hint for a subscription that no record has. Of one that names
// no mailbox any replica may take care.
func (s *Subscriber) strayHint(want Settings, sub ooo.GraphSubscription) ooo.Hint {
	h := ooo.Hint{ID: ooo.RecordID(sub.ID), Kind: ooo.HintStray, Source: ooo.SourceSubscription, Reason: string(Unlisted)}
	if id := mailboxOf(sub.Resource); id != "" {
		h.ID = ooo.RecordID(id)
		if template := templateOf(want.Resources, sub.Resource, id, want.Certificate.ID != ""); template != "" {
			h.ResourceTag = ooo.ResourceTag(template)
		}
	}
	return h
}

func (s *Subscriber) leave(ctx context.Context, hints []ooo.Hint) error {
	for some := range slices.Chunk(hints, hintsAtOnce) {
		if err := s.cfg.Registry.Leave(ctx, some...); err != nil {
			return err
		}
	}
	return nil
}

// list returns the subscriptions of this app that Graph lists, read at the pace that
// Graph allows, and whether that was the whole list.
func (s *Subscriber) list(ctx context.Context) (listed map[ooo.SubscriptionID]ooo.GraphSubscription, complete bool, err error) {
	listed = map[ooo.SubscriptionID]ooo.GraphSubscription{}
	tries := 0
	var broken error
	for page, err := range s.cfg.Graph.SubscriptionPages(ctx) {
		wait := listPause
		if broken = err; err == nil {
			tries = 0
			for _, sub := range page {
				listed[sub.ID] = sub
			}
		} else {
			if tries++; tries == listTries {
				break
			}
			wait = schedule.Backoff(tries, time.Second, time.Minute)
			if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
				wait = throttled.After
			}
		}
		switch {
		case !schedule.Sleep(ctx, max(wait, listPause)):
			return nil, false, ctx.Err()
		case !s.cfg.First():
			return nil, false, errNotFirst
		}
	}
	if broken != nil && len(listed) == 0 {
		return nil, false, broken
	}
	if broken != nil {
		s.cfg.Log.WarnContext(ctx, "list of subscriptions is incomplete", "listed", len(listed), "err", broken)
	}
	return listed, broken == nil, nil
}
