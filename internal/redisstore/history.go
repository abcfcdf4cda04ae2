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
		events = append(events, eventOf(fieldsOf(entry.Values)))
	}
	return events, nil
}

// fieldsOf are a stream entry's fields as Redis has them.
func fieldsOf(values map[string]any) fields {
	f := make(fields, len(values))
	for name, value := range values {
		f[name] = fmt.Sprint(value)
	}
	return f
}

// eventOf reads what tell wrote.
func eventOf(f fields) ooo.Event {
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
	return e
}
