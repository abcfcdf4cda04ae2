package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// History returns up to limit entries of a user's history, newest first; the
// last 200 are kept. The error is [ooo.ErrNotMonitored] if there is no record.
func (s *Store) History(ctx context.Context, key ooo.Key, limit int) ([]ooo.Event, error) {
	pipe := s.client.Pipeline()
	exists := pipe.Exists(ctx, userKey(key))
	entries := pipe.XRevRangeN(ctx, historyKey(key), "+", "-", int64(limit))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("redis: %w", err)
	}
	if exists.Val() == 0 {
		return nil, ooo.ErrNotMonitored
	}
	events := make([]ooo.Event, 0, len(entries.Val()))
	for _, entry := range entries.Val() {
		f := fields{}
		for name, value := range entry.Values {
			f[name] = fmt.Sprint(value)
		}
		e := ooo.Event{
			At: fromMS(f.number("at")), Kind: ooo.EventKind(f["kind"]), Source: ooo.Source(f["source"]),
			Sequence: f.number("seq"), NotificationID: f["nid"], Attempt: int(f.number("attempt")),
			WebhookID: f["wid"], Detail: f["detail"],
		}
		if f["away"] != "" {
			e.Away = new(f["away"] == "1")
		}
		if e.NotificationID != "" {
			e.NotifiedAt = fromMS(f.number("nat"))
		}
		events = append(events, e)
	}
	return events, nil
}
