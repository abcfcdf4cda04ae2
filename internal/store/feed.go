package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

const (
	// feedPage is how many entries are read at a time.
	feedPage = 1000
	// feedStart is the position before all entries.
	feedStart = "0-0"
)

// News returns what was written to the histories after the position from, oldest
// first, and the position after it. A position is the id of an entry of the feed, safe
// in a URL. An empty or unknown one is the present: only where it is is returned. The
// feed keeps about the last 3000 entries.
func (s *Store) News(ctx context.Context, from string) ([]ooo.News, string, error) {
	if !validPosition(from) {
		return s.Recent(ctx, 0)
	}
	entries, err := s.client.XRangeN(ctx, feedKey, "("+from, "+", feedPage).Result()
	if err != nil {
		return nil, "", translate(err)
	}
	if len(entries) > 0 {
		from = entries[len(entries)-1].ID
	}
	return s.decodeNews(ctx, entries), from, nil
}

// Recent returns the newest n entries of all histories, oldest first, and the position
// after them.
func (s *Store) Recent(ctx context.Context, n int) ([]ooo.News, string, error) {
	entries, err := s.client.XRevRangeN(ctx, feedKey, "+", "-", int64(max(n, 1))).Result()
	if err != nil {
		return nil, "", translate(err)
	}
	position := feedStart
	if len(entries) > 0 {
		position = entries[0].ID
	}
	entries = entries[:min(n, len(entries))]
	slices.Reverse(entries)
	return s.decodeNews(ctx, entries), position, nil
}

func (s *Store) decodeNews(ctx context.Context, entries []redis.XMessage) []ooo.News {
	var news []ooo.News
	for _, e := range s.decodeEvents(ctx, entries) {
		news = append(news, ooo.News{Event: e.Event, Address: e.Address, Name: e.Name})
	}
	return news
}

// validPosition says whether a text is a stream id as Redis writes it: ms-sequence.
func validPosition(text string) bool {
	ms, sequence, _ := strings.Cut(text, "-")
	m, err1 := strconv.ParseUint(ms, 10, 64)
	n, err2 := strconv.ParseUint(sequence, 10, 64)
	return err1 == nil && err2 == nil && fmt.Sprintf("%d-%d", m, n) == text
}
