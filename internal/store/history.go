package store

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// feedLength is how many of its newest entries the feed keeps at least.
const feedLength = 3000

// Fields of an entry of a history or of the feed, as the save script writes them.
const (
	eventField   = "e" // JSON of an ooo.Event
	addressField = "a" // as spelled; only in the feed
	nameField    = "n" // of the user; only in the feed
)

// decodeEvents decodes entries of a history or of the feed, in their order. It skips damaged
// ones.
func (s *Store) decodeEvents(ctx context.Context, entries []redis.XMessage) []ooo.FeedEntry {
	events := make([]ooo.FeedEntry, 0, len(entries))
	for _, entry := range entries {
		var e ooo.FeedEntry
		text, _ := entry.Values[eventField].(string)
		if json.Unmarshal([]byte(text), &e.Event) != nil {
			_ = s.damaged(ctx, "event", entry.ID)
			continue
		}
		e.Address, _ = entry.Values[addressField].(string)
		e.Name, _ = entry.Values[nameField].(string)
		events = append(events, e)
	}
	return events
}

// History returns up to limit entries of the history of a monitored address, newest first; Redis
// keeps [ooo.HistoryLength] or a few more. Events of a mailbox are in the history of each of its
// addresses. It returns [ooo.ErrNotMonitored] if the address is not monitored.
func (s *Store) History(ctx context.Context, address string, limit int) ([]ooo.Event, error) {
	w, err := s.Wish(ctx, address)
	switch {
	case err != nil:
		return nil, err
	case !w.On:
		return nil, ooo.ErrNotMonitored
	}
	entries, err := s.client.XRevRangeN(ctx, historyKey(address), "+", "-", int64(limit)).Result()
	if err != nil {
		return nil, translate(err)
	}
	events := make([]ooo.Event, 0, len(entries))
	for _, e := range s.decodeEvents(ctx, entries) {
		events = append(events, e.Event)
	}
	return events, nil
}

// feedPage is how many entries of the feed are read at a time.
const feedPage = 1000

// streamID matches a stream id as Redis writes it: ms-sequence.
var streamID = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})$`)

// FeedAfter returns the entries of the feed after position from, oldest first, and the
// position after them. A position is the id of an entry, safe in a URL. For an empty or
// invalid position it returns no entries and the current position.
func (s *Store) FeedAfter(ctx context.Context, from string) ([]ooo.FeedEntry, string, error) {
	if !streamID.MatchString(from) {
		return s.RecentFeed(ctx, 0)
	}
	entries, err := s.client.XRangeN(ctx, feedKey, "("+from, "+", feedPage).Result()
	if err != nil {
		return nil, "", translate(err)
	}
	if len(entries) > 0 {
		from = entries[len(entries)-1].ID
	}
	return s.decodeEvents(ctx, entries), from, nil
}

// RecentFeed returns the newest n entries of the feed, oldest first, and the position after
// them.
func (s *Store) RecentFeed(ctx context.Context, n int) ([]ooo.FeedEntry, string, error) {
	entries, err := s.client.XRevRangeN(ctx, feedKey, "+", "-", int64(max(n, 1))).Result()
	if err != nil {
		return nil, "", translate(err)
	}
	after := "0-0" // before all entries
	if len(entries) > 0 {
		after = entries[0].ID
	}
	entries = entries[:min(n, len(entries))]
	slices.Reverse(entries)
	return s.decodeEvents(ctx, entries), after, nil
}
