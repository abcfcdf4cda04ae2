package subscribe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// SweepResult counts the subscriptions that a sweep found, by kind.
type SweepResult struct {
	Known   int // recorded and listed
	Lost    int // recorded but not listed: to be checked by id
	Surplus int // strays: their owners delete them, see planStray
	Foreign int // listed, in no record, and with another notification URL: left alone

	Incomplete bool // the list broke off: a subscription that it lacks may exist
}

const (
	// pageInterval is the time between two requests for a page: Graph accepts 25 in 20 s,
	// by its own clock.
	pageInterval = 850 * time.Millisecond
	pageTries    = 5
	// maxPages limits a list. A page has 100 subscriptions, so 130,000 users with two
	// resources each have 2,600 pages.
	maxPages  = 10_000
	hintBatch = 500
)

// runSweeps sweeps at random intervals while this replica owns partition 0, until ctx ends.
func (s *Subscriber) runSweeps(ctx context.Context) error {
	every := s.cfg.SweepInterval
	var next time.Time // zero: another replica sweeps
	for schedule.Sleep(ctx, min(every/40, 5*time.Second)) {
		want := *s.want.Load()
		if want.Notification == "" || !s.cfg.Owners.OwnsPartition0() {
			next = time.Time{}
			continue
		}
		if next.IsZero() {
			next = time.Now().Add(every/20 + rand.N(every/20+1))
		}
		if time.Now().Before(next) || s.cfg.Owners.Wait(ooo.SubscriptionWait) > 0 {
			continue
		}
		next = time.Now().Add(every - rand.N(every/5+1))
		result, err := s.sweep(ctx, want)
		if err == nil {
			s.cfg.OnSweep(result)
			s.cfg.Log.InfoContext(ctx, "subscriptions compared with the records", "known", result.Known, "lost", result.Lost,
				"surplus", result.Surplus, "foreign", result.Foreign, "incomplete", result.Incomplete)
		} else if ctx.Err() == nil && !errors.Is(err, ooo.ErrNotOwner) {
			s.cfg.Log.WarnContext(ctx, "subscriptions not compared with the records, retrying", "err", err)
			next = time.Now().Add(every / 10)
		}
	}
	return nil
}

// comparison is the state of one sweep.
type comparison struct {
	want   Settings
	began  time.Time
	listed map[ooo.SubscriptionID]ooo.GraphSubscription // not found in a record so far
	// Records that could not be read may have the subscriptions of their mailboxes.
	unread  [ooo.Partitions]bool
	damaged map[ooo.RecordID]error
	result  SweepResult
	hints   []ooo.Hint // to leave at the end
}

// sweep lists the subscriptions and then reads the records: by then the record of each
// listed subscription says at least that it is being created.
func (s *Subscriber) sweep(ctx context.Context, want Settings) (result SweepResult, err error) {
	c := &comparison{want: want, began: time.Now(), damaged: map[ooo.RecordID]error{}}
	c.listed, err = s.list(ctx)
	if err != nil {
		if len(c.listed) == 0 {
			return result, err
		}
		s.cfg.Log.WarnContext(ctx, "list of subscriptions is incomplete", "listed", len(c.listed), "err", err)
		c.result.Incomplete = true
	}
	for p := range ooo.Partitions {
		loaded, err := s.cfg.Records(ctx, p)
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
		if err != nil {
			s.cfg.Log.WarnContext(ctx, "records not readable, left out of the comparison", "partition", p, "err", err)
			c.unread[p] = true
		}
		maps.Copy(c.damaged, loaded.Damaged)
		c.compare(loaded.Records)
	}
	c.addStrays()
	for batch := range slices.Chunk(c.hints, hintBatch) {
		if err := s.cfg.Registry.LeaveHints(ctx, batch...); err != nil {
			return result, err
		}
	}
	return c.result, nil
}

// compare compares records with the list and adds a hint for each record with a lost
// subscription.
func (c *comparison) compare(records []*ooo.Mailbox) {
	for _, m := range records {
		before := c.result.Lost
		for _, sub := range m.Subscriptions {
			_, listed := c.listed[sub.ID]
			delete(c.listed, sub.ID)
			delete(c.listed, sub.Replaces)
			expected := sub.ID != "" && sub.State == ooo.SubscriptionLive && sub.NotificationURL == c.want.Notification &&
				sub.RenewedAt.Before(c.began) && sub.ExpiresAt.After(c.began)
			switch {
			case listed:
				c.result.Known++
			case expected && !c.result.Incomplete:
				c.result.Lost++
			}
		}
		if c.result.Lost > before {
			c.hints = append(c.hints, ooo.Hint{ID: m.ID, Kind: ooo.HintSubscription, Source: ooo.SourceSubscription, Reason: "not listed"})
		}
	}
}

// addStrays adds hints for the subscriptions that are listed but in no record. One without
// a mailbox goes to the partition of its own id.
func (c *comparison) addStrays() {
	for _, sub := range c.listed {
		id := mailboxOf(sub.Resource)
		switch {
		case c.unread[id.Partition()] || c.damaged[id] != nil:
		case sub.NotificationURL != c.want.Notification:
			c.result.Foreign++
		case sub.ExpiresAt.After(c.began):
			c.result.Surplus++
			c.hints = append(c.hints, ooo.Hint{
				ID: cmp.Or(id, ooo.RecordID(sub.ID)), Kind: ooo.HintStray, Subject: string(sub.ID),
				Source: ooo.SourceSubscription, Reason: string(Unrecorded),
				SubscriptionID: sub.ID, // an owner of the previous release reads it instead of Subject
			})
		}
	}
}

// errEndlessList means that Graph sends too many pages or repeats one, as it has done while
// all subscriptions existed.
var errEndlessList = fmt.Errorf("%w: the list of subscriptions has no end", ooo.ErrUnavailable)

// list returns the subscriptions of this app that Graph lists. With an error the list is
// incomplete, or nil if the sweep has to end. It keeps below Graph's limit on requests.
func (s *Subscriber) list(ctx context.Context) (map[ooo.SubscriptionID]ooo.GraphSubscription, error) {
	listed := map[ooo.SubscriptionID]ooo.GraphSubscription{}
	link, seen := "", map[string]bool{}
	for failures := 0; ; { // in a row
		page, next, err := s.cfg.Graph.SubscriptionPage(ctx, link)
		for _, sub := range page {
			listed[sub.ID] = sub
		}
		wait := pageInterval
		switch {
		case err != nil:
			if failures++; failures == pageTries {
				return listed, err
			}
			wait = schedule.Backoff(failures, time.Second, time.Minute)
			if throttled, ok := errors.AsType[*ooo.Throttled](err); ok {
				wait = throttled.After
			}
		case next == "":
			return listed, nil
		case seen[next] || len(seen) == maxPages:
			return listed, errEndlessList
		default:
			link, failures = next, 0
			seen[next] = true
		}
		if !schedule.Sleep(ctx, max(wait, pageInterval)) {
			return nil, ctx.Err()
		}
		if !s.cfg.Owners.OwnsPartition0() {
			return nil, ooo.ErrNotOwner
		}
	}
}
