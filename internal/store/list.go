package store

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

const (
	// overviewLife is how long an overview is good enough for lists and counts.
	overviewLife = time.Second
	// overviewKept is how long it is kept, because the next one is read quicker with it.
	overviewKept = 10 * time.Second
	// overviewTime bounds reading one.
	overviewTime = 10 * time.Second
)

// overviews caches what was read last.
type overviews struct {
	last    atomic.Pointer[overview] // nil: none
	reading chan struct{}            // capacity 1: one reads, others wait for it
	written atomic.Int64             // grows with each own write of wishes, which makes earlier overviews out of date
}

// overview is all monitored addresses as they were in Redis a moment ago.
type overview struct {
	entries []*entry // by folded address
	written int64    // overviews.written before it was read
	at      time.Time
}

// entry is one monitored address.
type entry struct {
	folded  string
	text    string // what a search matches: folded address and name, in lower case
	wish    ooo.Wish
	value   string // the wish as Redis has it
	summary ooo.Summary
}

// overview returns all entries. They have all own writes of wishes and are at most a
// second old. Own saves don't make them out of date: there are hundreds a second, and
// whoever asked for something wrote a wish.
func (s *Store) overview(ctx context.Context) ([]*entry, error) {
	asked := s.overviews.written.Load()
	select {
	case s.overviews.reading <- struct{}{}:
		defer func() { <-s.overviews.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	last := s.overviews.last.Load()
	if last == nil {
		last = &overview{}
	}
	if last.written >= asked && time.Since(last.at) < overviewLife {
		return last.entries, nil
	}
	ctx, cancel := context.WithTimeout(ctx, overviewTime)
	defer cancel()
	o := &overview{written: s.overviews.written.Load(), at: time.Now()}
	var err error
	if o.entries, err = s.readEntries(ctx, last.entries); err != nil {
		return nil, err
	}
	s.overviews.last.Store(o)
	// It is dropped even if nobody asks again: it is large.
	time.AfterFunc(overviewKept, func() { s.overviews.last.CompareAndSwap(o, nil) })
	return o.entries, nil
}

// readEntries reads all wishes and rows in one pipeline, and returns the addresses that
// are monitored in their order. What can't be read is left out. Decoding wishes takes
// most of the time, so those that were decoded before are not again.
func (s *Store) readEntries(ctx context.Context, before []*entry) ([]*entry, error) {
	pipe := s.client.Pipeline()
	wishes := pipe.HGetAll(ctx, wantsKey)
	var rows [ooo.Partitions]*redis.MapStringStringCmd
	for p := range rows {
		rows[p] = pipe.HGetAll(ctx, rowsKey(p))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, translate(err)
	}
	decoded := make(map[string]*entry, len(before)) // by folded address
	for _, e := range before {
		decoded[e.folded] = e
	}
	entries := make([]*entry, 0, len(wishes.Val()))
	for folded, value := range wishes.Val() {
		var w ooo.Wish
		var err error
		if e := decoded[folded]; e != nil && e.value == value {
			w = e.wish
		} else {
			w, err = decodeWish(folded, value)
		}
		if err == nil && !w.On {
			continue
		}
		var summary ooo.Summary
		if err == nil {
			summary, _, err = summarize(w, rows[w.Record().Partition()].Val()[folded])
		}
		if err != nil {
			s.report(ctx, err)
			continue
		}
		text := folded + "\n" + strings.ToLower(summary.Name)
		entries = append(entries, &entry{folded, text, w, value, summary})
	}
	slices.SortFunc(entries, func(a, b *entry) int { return strings.Compare(a.folded, b.folded) })
	return entries, nil
}

// matches reports whether the filter picks the address.
func (e *entry) matches(f ooo.Filter, resources int, now time.Time) bool {
	s := &e.summary
	switch f {
	case ooo.FilterAll:
		return true
	case ooo.FilterAway:
		return s.Away != nil && *s.Away
	case ooo.FilterPresent:
		return s.Away != nil && !*s.Away
	case ooo.FilterUnknown:
		return s.Condition == ooo.Unknown
	case ooo.FilterPending:
		return s.Condition == ooo.Pending
	case ooo.FilterUndelivered:
		return s.Delivery == ooo.DeliveryPending
	case ooo.FilterRefused:
		return s.Delivery == ooo.DeliveryRefused
	case ooo.FilterFailed:
		return s.Failed
	case ooo.FilterUncovered:
		return resources > 0 && !s.ID.Unresolved() && (s.Live < resources || !s.CoveredUntil.After(now))
	}
	return false
}

// Find returns a page of the monitored users that match, as of a second ago at most.
// A cursor that this service did not return begins at the start. With the limit 0 it
// only counts.
func (s *Store) Find(ctx context.Context, q ooo.Query) (ooo.Page, error) {
	filter := cmp.Or(q.Filter, ooo.FilterAll)
	if !slices.Contains(ooo.Filters, filter) {
		return ooo.Page{}, fmt.Errorf("there is no filter %q", q.Filter)
	}
	entries, err := s.overview(ctx)
	if err != nil {
		return ooo.Page{}, err
	}
	after, _ := base64.RawURLEncoding.DecodeString(q.Cursor) // a wrong one is the start
	text, now := strings.ToLower(strings.TrimSpace(q.Text)), time.Now()
	counts := make([]int, len(ooo.Filters))
	var wishes []ooo.Wish // of the page, and the first of the next
	for _, e := range entries {
		if !strings.Contains(e.text, text) {
			continue
		}
		for i, f := range ooo.Filters {
			if e.matches(f, q.Resources, now) {
				counts[i]++
			}
		}
		if len(wishes) <= q.Limit && e.folded > string(after) && e.matches(filter, q.Resources, now) {
			wishes = append(wishes, e.wish)
		}
	}
	page := ooo.Page{Counts: make(map[ooo.Filter]int, len(ooo.Filters))}
	for i, f := range ooo.Filters {
		page.Counts[f] = counts[i]
	}
	page.Total = page.Counts[filter]
	if q.Limit < 1 {
		return page, nil
	}
	if len(wishes) > q.Limit {
		wishes = wishes[:q.Limit]
		page.Cursor = base64.RawURLEncoding.EncodeToString([]byte(ooo.FoldAddress(wishes[q.Limit-1].Address)))
	}
	page.Users, err = s.users(ctx, wishes...)
	return page, err
}

// Users returns up to limit monitored users by address, from after the cursor on, and
// the cursor of the next page; it is empty on the last. The error of a cursor that this
// service can't have returned is [ooo.ErrBadCursor].
func (s *Store) Users(ctx context.Context, limit int, cursor string) ([]ooo.User, string, error) {
	if cursor != "" {
		after, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
		address, bad := ooo.ParseAddress(string(after))
		if err != nil || bad != nil || ooo.FoldAddress(address) != string(after) {
			return nil, "", ooo.ErrBadCursor
		}
	}
	page, err := s.Find(ctx, ooo.Query{Limit: max(limit, 1), Cursor: cursor})
	return page.Users, page.Cursor, err
}
