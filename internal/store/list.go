package store

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"outlook-monitor/internal/ooo"
)

const (
	// overviewLife is how long an overview is good enough for lists and counts.
	overviewLife = time.Second
	// overviewTime bounds reading one.
	overviewTime = 10 * time.Second
	// maxReports bounds the damaged values that are remembered as logged.
	maxReports = 1000
)

// reading is what reads keep in memory.
type reading struct {
	overview atomic.Pointer[overview] // nil: none, or too old
	flight   singleflight.Group

	configDenied atomic.Bool // Redis does not show its configuration

	mu       sync.Mutex
	reported map[string]bool // damaged values that were logged; guarded by mu
}

// report logs a damaged value that is skipped, once.
func (s *Store) report(ctx context.Context, err error) {
	text := err.Error()
	s.reading.mu.Lock()
	known := s.reading.reported[text] || len(s.reading.reported) >= maxReports
	if s.reading.reported == nil {
		s.reading.reported = map[string]bool{}
	}
	if !known {
		s.reading.reported[text] = true
	}
	s.reading.mu.Unlock()
	if !known {
		s.log.WarnContext(ctx, "damaged value in redis skipped", "err", err)
	}
}

// overview is all monitored addresses as they were in Redis a moment ago.
type overview struct {
	entries []*entry // by folded address
	written int64    // [Store.written] before it was read
}

// entry is one monitored address.
type entry struct {
	folded string
	text   string // what a search looks into: folded address and name, in lower case
	wish   string // as Redis has it
	ooo.Summary
}

// overview returns an overview that has all own writes of wishes and is at most a
// second old. Own saves don't drop it: there are hundreds a second, and whoever asked
// for something wrote a wish. Callers at the same time share one read.
func (s *Store) overview(ctx context.Context) (*overview, error) {
	written := s.written.Load()
	current := func() *overview {
		if o := s.reading.overview.Load(); o != nil && o.written >= written {
			return o
		}
		return nil
	}
	if o := current(); o != nil {
		return o, nil
	}
	// A flight that began before the last own write is not joined.
	flight := s.reading.flight.DoChan(strconv.FormatInt(written, 10), func() (any, error) {
		if o := current(); o != nil {
			return o, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), overviewTime)
		defer cancel()
		began := time.Now()
		o, err := s.readOverview(ctx)
		if err != nil {
			return nil, err
		}
		o.written = written
		s.reading.overview.Store(o)
		// It is dropped even if nobody asks again: it is large.
		time.AfterFunc(overviewLife-time.Since(began), func() { s.reading.overview.CompareAndSwap(o, nil) })
		return o, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-flight:
		o, _ := r.Val.(*overview)
		return o, r.Err
	}
}

// readOverview reads all wishes and rows in one pipeline.
func (s *Store) readOverview(ctx context.Context) (*overview, error) {
	pipe := s.client.Pipeline()
	wishes := pipe.HGetAll(ctx, wantsKey)
	var rows [ooo.Partitions]*redis.MapStringStringCmd
	for p := range rows {
		rows[p] = pipe.HGetAll(ctx, rowsKey(p))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, translate(err)
	}
	o := &overview{entries: make([]*entry, 0, len(wishes.Val()))}
	all := make([]entry, len(wishes.Val())) // one allocation; pointers are quicker to sort
	for folded, wish := range wishes.Val() {
		on, id, err := scanWish(folded, wish)
		if err != nil {
			s.report(ctx, err)
		}
		if err != nil || !on {
			continue
		}
		e := &all[len(o.entries)]
		*e = entry{folded: folded, wish: wish}
		var found bool
		e.Summary, found, err = joinRow(folded, id, rows[id.Partition()].Val()[folded])
		if err == nil && !found {
			e.Summary, err = pendingSummary(folded, wish)
		}
		if err != nil {
			s.report(ctx, err)
			continue
		}
		e.text = folded
		if e.Name != "" {
			e.text = folded + "\n" + strings.ToLower(e.Name)
		}
		o.entries = append(o.entries, e)
	}
	slices.SortFunc(o.entries, func(a, b *entry) int { return strings.Compare(a.folded, b.folded) })
	return o, nil
}

// joinRow reads the row of an address, if it is one of its record: the row of
// another record is there until its owner has removed it.
func joinRow(folded string, id ooo.RecordID, row string) (ooo.Summary, bool, error) {
	if row == "" {
		return ooo.Summary{}, false, nil
	}
	summary, err := decodeSummary(row)
	if err != nil {
		return ooo.Summary{}, false, damaged("row", folded)
	}
	return summary, summary.ID == id, nil
}

// pendingSummary is the summary of a wish that no owner has carried out yet.
func pendingSummary(folded, value string) (ooo.Summary, error) {
	w, err := decodeWish(folded, value)
	return ooo.Summary{
		Address: w.Address, Name: w.Person.DisplayName, ID: w.Record(), Condition: ooo.Pending, Delivery: ooo.DeliveryNone,
	}, err
}

// scanWish returns whether the wish of a folded address is on and which record it is
// about. It only looks for two fields, which takes a tenth of the time of decoding:
// JSON escapes quotes, so no text that came from outside can look like a field.
func scanWish(folded, value string) (on bool, id ooo.RecordID, err error) {
	_, state, found := strings.Cut(value, `,"on":`)
	if on = strings.HasPrefix(state, "true,"); !found || !on && !strings.HasPrefix(state, "false,") || !strings.HasSuffix(value, "}") {
		w, err := decodeWish(folded, value)
		return w.On, w.Record(), err
	}
	_, person, _ := strings.Cut(state, `,"person":{"id":"`)
	object, _, _ := strings.Cut(person, `"`)
	if object == "" {
		return on, ooo.UnresolvedID(folded), nil
	}
	return on, ooo.RecordID(object), nil
}

// matches says whether the filter picks the address.
func (e *entry) matches(f ooo.Filter, resources int, now time.Time) bool {
	switch f {
	case ooo.Everyone:
		return true
	case ooo.FilterAway:
		return e.Away != nil && *e.Away
	case ooo.FilterPresent:
		return e.Away != nil && !*e.Away
	case ooo.FilterUnknown:
		return e.Condition == ooo.Unknown
	case ooo.FilterPending:
		return e.Condition == ooo.Pending
	case ooo.FilterUntold:
		return e.Delivery == ooo.DeliveryPending
	case ooo.FilterRefused:
		return e.Delivery == ooo.DeliveryRefused
	case ooo.FilterFailed:
		return e.Failed
	case ooo.FilterUncovered:
		return resources > 0 && !e.ID.Unresolved() && (e.Live < resources || !e.CoveredUntil.After(now))
	}
	return false
}

// Find returns a page of the monitored users that match, as of a second ago at most.
// A cursor that this service did not return begins at the start. With the limit 0 it
// only counts.
func (s *Store) Find(ctx context.Context, q ooo.Query) (ooo.Page, error) {
	filter := cmp.Or(q.Filter, ooo.Everyone)
	if !slices.Contains(ooo.Filters, filter) {
		return ooo.Page{}, fmt.Errorf("there is no filter %q", q.Filter)
	}
	o, err := s.overview(ctx)
	if err != nil {
		return ooo.Page{}, err
	}
	after, _ := base64.RawURLEncoding.DecodeString(q.Cursor) // a wrong one is the start
	text, now := strings.ToLower(strings.TrimSpace(q.Text)), time.Now()
	var counts [16]int // by the order of ooo.Filters
	var hits []*entry
	for _, e := range o.entries {
		if !strings.Contains(e.text, text) {
			continue
		}
		for i, f := range ooo.Filters {
			if e.matches(f, q.Resources, now) {
				counts[i]++
			}
		}
		// One more than the page holds says that there is another page.
		if len(hits) <= q.Limit && q.Limit > 0 && e.folded > string(after) && e.matches(filter, q.Resources, now) {
			hits = append(hits, e)
		}
	}
	page := ooo.Page{Counts: make(map[ooo.Filter]int, len(ooo.Filters))}
	for i, f := range ooo.Filters {
		page.Counts[f] = counts[i]
	}
	page.Total = page.Counts[filter]
	page.Users, page.Cursor, err = s.page(ctx, hits, max(q.Limit, 0))
	return page, err
}

// Users returns up to limit monitored users by address, from after the cursor on, and
// the cursor of the next page; it is empty on the last. The error of a cursor that this
// service can't have returned is [ooo.ErrBadCursor].
func (s *Store) Users(ctx context.Context, limit int, cursor string) ([]ooo.User, string, error) {
	after := ""
	if cursor != "" {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
		after = string(decoded)
		if _, bad := ooo.ParseAddress(after); err != nil || bad != nil || ooo.FoldAddress(after) != after {
			return nil, "", ooo.ErrBadCursor
		}
	}
	o, err := s.overview(ctx)
	if err != nil {
		return nil, "", err
	}
	limit = max(limit, 1)
	first, found := slices.BinarySearchFunc(o.entries, after, func(e *entry, a string) int { return strings.Compare(e.folded, a) })
	if found {
		first++
	}
	hits := o.entries[first:]
	return s.page(ctx, hits[:min(len(hits), limit+1)], limit)
}

// page loads the users of the first limit hits, and returns the cursor of the next page
// if there are more. Users whose records can't be read are left out.
func (s *Store) page(ctx context.Context, hits []*entry, limit int) ([]ooo.User, string, error) {
	cursor := ""
	if len(hits) > limit {
		hits = hits[:limit]
		cursor = base64.RawURLEncoding.EncodeToString([]byte(hits[limit-1].folded))
	}
	wishes := make([]ooo.Wish, 0, len(hits))
	for _, e := range hits {
		w, err := decodeWish(e.folded, e.wish)
		if err != nil {
			s.report(ctx, err)
			continue
		}
		wishes = append(wishes, w)
	}
	loaded, err := s.loadUsers(ctx, wishes)
	if err != nil {
		return nil, "", err
	}
	users := make([]ooo.User, 0, len(loaded))
	for _, u := range loaded {
		if u.err != nil {
			s.report(ctx, u.err)
			continue
		}
		users = append(users, u.User)
	}
	return users, cursor, nil
}

// Summary returns the row of a wish, false if its owner has not written one yet.
func (s *Store) Summary(ctx context.Context, w ooo.Wish) (ooo.Summary, bool, error) {
	folded, id := ooo.FoldAddress(w.Address), w.Record()
	row, err := s.client.HGet(ctx, rowsKey(id.Partition()), folded).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return ooo.Summary{}, false, translate(err)
	}
	summary, ok, err := joinRow(folded, id, row)
	if !ok {
		summary = ooo.Summary{}
	}
	return summary, ok, err
}
