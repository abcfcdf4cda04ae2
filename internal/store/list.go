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
	"golang.org/x/sync/singleflight"

	"outlook-monitor/internal/ooo"
)

const (
	// overviewMaxAge is how old an overview may be.
	overviewMaxAge = time.Second
	// overviewTimeout limits reading an overview.
	overviewTimeout = 10 * time.Second
)

// overviews caches the last overview.
type overviews struct {
	last   atomic.Pointer[overview] // nil: none
	reads  singleflight.Group       // callers share a read
	writes atomic.Int64             // this replica's writes of wishes; each makes earlier overviews stale
}

// overview is all monitored addresses as they were in Redis a moment ago.
type overview struct {
	entries []*entry // sorted by folded address
	writes  int64    // overviews.writes before it was read
	at      time.Time
}

// entry is one monitored address.
type entry struct {
	folded  string
	text    string // for searches: folded address and name, in lower case
	wish    ooo.Wish
	summary ooo.Summary
}

// overview returns all entries. They include this replica's own writes of wishes, and reading
// them began at most a second before the call. Saves don't make them stale: there are hundreds a
// second, and every user request writes a wish.
func (s *Store) overview(ctx context.Context) ([]*entry, error) {
	called, writes := time.Now(), s.overviews.writes.Load()
	last := s.overviews.last.Load()
	for last == nil || last.writes < writes || called.Sub(last.at) >= overviewMaxAge {
		read := s.overviews.reads.DoChan("", func() (any, error) { return s.readOverview(context.WithoutCancel(ctx)) })
		select {
		case r := <-read:
			if r.Err != nil {
				return nil, r.Err
			}
			last = r.Val.(*overview)
		case <-ctx.Done(): // others wait for the read
			return nil, translate(ctx.Err())
		}
	}
	return last.entries, nil
}

func (s *Store) readOverview(ctx context.Context) (*overview, error) {
	ctx, cancel := context.WithTimeout(ctx, overviewTimeout)
	defer cancel()
	o := &overview{writes: s.overviews.writes.Load(), at: time.Now()}
	var err error
	if o.entries, err = s.readEntries(ctx); err != nil {
		return nil, err
	}
	s.overviews.last.Store(o)
	// Overviews are large, so drop it even if there is no further request.
	time.AfterFunc(overviewMaxAge, func() { s.overviews.last.CompareAndSwap(o, nil) })
	return o, nil
}

// readEntries reads all wishes and rows in one pipeline and returns the monitored addresses,
// sorted. It skips damaged ones.
func (s *Store) readEntries(ctx context.Context) ([]*entry, error) {
	pipe := s.client.Pipeline()
	wishes := pipe.HGetAll(ctx, wantsKey)
	var rows [ooo.Partitions]*redis.MapStringStringCmd
	for p := range rows {
		rows[p] = pipe.HGetAll(ctx, rowsKey(p))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, translate(err)
	}
	entries := make([]*entry, 0, len(wishes.Val()))
	for folded, value := range wishes.Val() {
		var err error
		e := &entry{folded: folded}
		if e.wish, err = s.decodeWish(ctx, folded, value); err != nil || !e.wish.On {
			continue
		}
		row := rows[e.wish.Record().Partition()].Val()[folded]
		if e.summary, _, err = s.summarize(ctx, e.wish, row); err != nil {
			continue
		}
		e.text = folded + "\n" + strings.ToLower(e.summary.Name)
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b *entry) int { return strings.Compare(a.folded, b.folded) })
	return entries, nil
}

// matches reports whether the filter selects the entry.
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
		return s.Uncovered(resources, now)
	}
	return false
}

// Search returns a page of the matching users, at most a second old. With an invalid cursor it
// returns the first page; with limit 0 it only counts.
func (s *Store) Search(ctx context.Context, q ooo.Query) (ooo.Page, error) {
	filter := cmp.Or(q.Filter, ooo.FilterAll)
	if !slices.Contains(ooo.Filters, filter) {
		return ooo.Page{}, fmt.Errorf("unknown filter %q", q.Filter)
	}
	entries, err := s.overview(ctx)
	if err != nil {
		return ooo.Page{}, err
	}
	after, _ := base64.RawURLEncoding.DecodeString(q.Cursor) // invalid: the first page
	text, now := strings.ToLower(strings.TrimSpace(q.Text)), time.Now()
	page := ooo.Page{Counts: make(map[ooo.Filter]int, len(ooo.Filters))}
	for _, f := range ooo.Filters {
		page.Counts[f] = 0
	}
	var wishes []ooo.Wish // of the page, and the first one of the next page
	for _, e := range entries {
		if !strings.Contains(e.text, text) {
			continue
		}
		for _, f := range ooo.Filters {
			if e.matches(f, q.Resources, now) {
				page.Counts[f]++
			}
		}
		if len(wishes) <= q.Limit && e.folded > string(after) && e.matches(filter, q.Resources, now) {
			wishes = append(wishes, e.wish)
		}
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

// Users returns up to limit monitored users after the cursor, sorted by address, and the
// cursor of the next page, which is empty on the last page. It returns [ooo.ErrBadCursor] for
// a cursor that it can't have returned.
func (s *Store) Users(ctx context.Context, limit int, cursor string) ([]ooo.User, string, error) {
	if cursor != "" {
		after, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
		address, bad := ooo.ParseAddress(string(after))
		if err != nil || bad != nil || ooo.FoldAddress(address) != string(after) {
			return nil, "", ooo.ErrBadCursor
		}
	}
	page, err := s.Search(ctx, ooo.Query{Limit: max(limit, 1), Cursor: cursor})
	return page.Users, page.Cursor, err
}
