package subscribe

import (
	"context"
	"errors"
	"maps"
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
	listTries   = 5
	hintsAtOnce = 500
)

// sweeps sweeps now and then while this replica owns partition 0, until ctx ends.
func (s *Subscriber) sweeps(ctx context.Context) error {
	every, next := s.cfg.SweepEvery, time.Time{} // zero: not ours
	for schedule.Sleep(ctx, min(every/40, 5*time.Second)) {
		want := s.want.Load()
		switch {
		case want == nil || want.Notification == "" || !s.cfg.Owners.First():
			next = time.Time{}
		case next.IsZero():
			next = time.Now().Add(every/20 + rand.N(every/20+1))
		case !time.Now().Before(next):
			next = time.Now().Add(every - rand.N(every/5+1))
			found, err := s.sweep(ctx, *want)
			if err == nil {
				s.cfg.OnSweep(found)
				s.cfg.Log.InfoContext(ctx, "subscriptions compared with the records", "known", found.Known, "lost", found.Lost,
					"adopted", found.Adopted, "surplus", found.Surplus, "foreign", found.Foreign, "incomplete", found.Incomplete)
			} else if ctx.Err() == nil && !errors.Is(err, ooo.ErrNotOwner) {
				s.cfg.Log.WarnContext(ctx, "subscriptions not compared with the records, retrying", "err", err)
				next = time.Now().Add(every / 10)
			}
		}
	}
	return nil
}

// comparison is one sweep.
type comparison struct {
	want     Settings
	began    time.Time
	listed   map[ooo.SubscriptionID]ooo.GraphSubscription // without those found in a record
	creating map[resource]bool                            // whose answer a record waits for
	found    Swept
	hints    []ooo.Hint // to be left
}

// resource is one of a mailbox, by its tag.
type resource struct {
	id  ooo.RecordID
	tag string
}

// sweep lists first and reads the records after that: whoever created a listed
// subscription has saved by then that it was asked for.
func (s *Subscriber) sweep(ctx context.Context, want Settings) (found Swept, err error) {
	c := &comparison{want: want, began: time.Now(), creating: map[resource]bool{}}
	if c.listed, c.found.Incomplete, err = s.list(ctx); err != nil {
		return found, err
	}
	for p := range ooo.Partitions {
		loaded, err := s.cfg.Records(ctx, p)
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		if err != nil {
			s.cfg.Log.WarnContext(ctx, "records not readable, left out of the comparison", "partition", p, "err", err)
		}
		if err != nil || len(loaded.Damaged) > 0 { // what belongs to a record that can't be read is no stray
			maps.DeleteFunc(c.listed, func(_ ooo.SubscriptionID, sub ooo.GraphSubscription) bool {
				id, _ := mailboxOf(sub.Resource, c.want)
				return err != nil && id.Partition() == p || loaded.Damaged[id] != nil
			})
		}
		c.compare(loaded.Records)
	}
	c.strays()
	for some := range slices.Chunk(c.hints, hintsAtOnce) {
		if err := s.cfg.Registry.Leave(ctx, some...); err != nil {
			return found, err
		}
	}
	return c.found, nil
}

// compare compares records with the list, and leaves hints for those of which something
// is not listed.
func (c *comparison) compare(records []*ooo.Mailbox) {
	for _, m := range records {
		before := c.found.Lost
		for _, sub := range m.Subscriptions {
			_, there := c.listed[sub.ID]
			delete(c.listed, sub.ID)
			delete(c.listed, sub.Replaces)
			switch {
			case there:
				c.found.Known++
			case sub.ID == "" && sub.State == ooo.SubscriptionCreating:
				c.creating[resource{m.ID, ooo.ResourceTag(sub.Resource)}] = true
			case !c.found.Incomplete && sub.ID != "" && sub.State == ooo.SubscriptionLive && sub.NotificationURL == c.want.Notification &&
				sub.RenewedAt.Before(c.began) && sub.ExpiresAt.After(c.began):
				c.found.Lost++
			}
		}
		if c.found.Lost > before {
			c.hints = append(c.hints, ooo.Hint{ID: m.ID, Kind: ooo.HintSubscription, Source: ooo.SourceSubscription, Reason: "not listed"})
		}
	}
}

// strays leaves hints for those that are listed and in no record. Of one that names no
// mailbox any replica may take care, by its own id.
func (c *comparison) strays() {
	for _, sub := range c.listed {
		h := ooo.Hint{
			ID: ooo.RecordID(sub.ID), Kind: ooo.HintStray, Subject: string(sub.ID), SubscriptionID: sub.ID,
			Source: ooo.SourceSubscription, Reason: string(Unlisted),
		}
		if id, tag := mailboxOf(sub.Resource, c.want); id != "" {
			h.ID, h.ResourceTag = id, tag
		}
		switch {
		case sub.NotificationURL != c.want.Notification:
			c.found.Foreign++
			continue
		case !sub.ExpiresAt.After(c.began):
			continue
		case c.creating[resource{h.ID, h.ResourceTag}]:
			c.found.Adopted++
		default:
			c.found.Surplus++
		}
		c.hints = append(c.hints, h)
	}
}

// list returns the subscriptions of this app that Graph lists, read at the pace that
// Graph allows, and whether the list broke off.
func (s *Subscriber) list(ctx context.Context) (listed map[ooo.SubscriptionID]ooo.GraphSubscription, incomplete bool, err error) {
	listed = map[ooo.SubscriptionID]ooo.GraphSubscription{}
	failures := 0 // in a row
	var failure error
	for page, err := range s.cfg.Graph.SubscriptionPages(ctx) {
		for _, sub := range page {
			listed[sub.ID] = sub
		}
		wait := listPause
		if failure = err; err == nil {
			failures = 0
		} else {
			if failures++; failures == listTries {
				break
			}
			wait = schedule.Backoff(failures, time.Second, time.Minute)
			if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
				wait = throttled.After
			}
		}
		if !schedule.Sleep(ctx, max(wait, listPause)) {
			return nil, false, ctx.Err()
		}
		if !s.cfg.Owners.First() {
			return nil, false, ooo.ErrNotOwner
		}
	}
	switch {
	case failure == nil:
		return listed, false, nil
	case len(listed) == 0:
		return nil, false, failure
	}
	s.cfg.Log.WarnContext(ctx, "list of subscriptions is incomplete", "listed", len(listed), "err", failure)
	return listed, true, nil
}
