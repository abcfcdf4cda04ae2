package store

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Fields of an entry of a history or of the feed. An entry of a history has the first
// alone. The save script writes them.
const (
	eventField   = "e" // JSON of an ooo.Event
	addressField = "a" // as spelled
	nameField    = "n" // of the user
)

func encodeEvent(e ooo.Event) (string, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode event: %w", err)
	}
	return string(text), nil
}

// decodeEvents reads entries of a history or the feed in their order, without those
// that can't be read. Only entries of the feed have an address and a name.
func (s *Store) decodeEvents(ctx context.Context, entries []redis.XMessage) []ooo.FeedEntry {
	events := make([]ooo.FeedEntry, 0, len(entries))
	for _, entry := range entries {
		var e ooo.FeedEntry
		text, _ := entry.Values[eventField].(string)
		if json.Unmarshal([]byte(text), &e.Event) != nil {
			s.report(ctx, damaged("event", entry.ID))
			continue
		}
		e.Address, _ = entry.Values[addressField].(string)
		e.Name, _ = entry.Values[nameField].(string)
		events = append(events, e)
	}
	return events
}

// History returns up to limit entries of the history of a monitored address, newest
// first; about the last 200 are kept. The error is [ooo.ErrNotMonitored] if no wish
// says on.
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

// newsPage is how many entries of the feed are read at a time.
const newsPage = 1000

// position is the form of a stream id as Redis writes it: ms-sequence.
var position = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})$`)

// News returns what was written to the histories after the position from, oldest
// first, and the position after it. A position is the id of an entry of the feed, safe
// in a URL. An empty or unknown one is the present: only where it is is returned. The
// feed keeps about the last 3000 entries.
func (s *Store) FeedAfter(ctx context.Context, from string) ([]ooo.FeedEntry, string, error) {
	if !position.MatchString(from) {
		return s.RecentFeed(ctx, 0)
	}
	entries, err := s.client.XRangeN(ctx, feedKey, "("+from, "+", newsPage).Result()
	if err != nil {
		return nil, "", translate(err)
	}
	if len(entries) > 0 {
		from = entries[len(entries)-1].ID
	}
	return s.decodeEvents(ctx, entries), from, nil
}

// Recent returns the newest n entries of all histories, oldest first, and the position
// after them.
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
