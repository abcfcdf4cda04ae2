package store

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// History returns up to limit entries of the history of a monitored address, newest
// first; about the last 200 are kept. The error is [ooo.ErrNotMonitored] if no wish
// says on.
func (s *Store) History(ctx context.Context, address string, limit int) ([]ooo.Event, error) {
	folded := ooo.FoldAddress(address)
	pipe := s.client.Pipeline()
	wish := pipe.HGet(ctx, wantsKey, folded)
	entries := pipe.XRevRangeN(ctx, historyKey(folded), "+", "-", int64(limit))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, translate(err)
	}
	if wish.Val() == "" {
		return nil, ooo.ErrNotMonitored
	}
	w, err := decodeWish(folded, wish.Val())
	switch {
	case err != nil:
		return nil, err
	case !w.On:
		return nil, ooo.ErrNotMonitored
	}
	events := make([]ooo.Event, 0, len(entries.Val()))
	for _, e := range s.decodeEvents(ctx, entries.Val()) {
		events = append(events, e.Event)
	}
	return events, nil
}

// decodeEvents reads entries of a history or the feed in their order, without those
// that can't be read.
func (s *Store) decodeEvents(ctx context.Context, entries []redis.XMessage) []Event {
	events := make([]Event, 0, len(entries))
	for _, entry := range entries {
		e, err := decodeEvent(entry.Values)
		if err != nil {
			s.report(ctx, damaged("event", entry.ID))
			continue
		}
		events = append(events, e)
	}
	return events
}
