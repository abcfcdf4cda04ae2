package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// ErrNoMessages means that this Redis user may not publish or subscribe: everything
// works, but what is asked of another replica waits up to 5 s.
var ErrNoMessages = errors.New("messages are refused by Redis: allow the user the channel (ACL rule &om:*)")

// Check tries what the service needs of Redis, harmlessly, and says what is refused.
// The error is [ErrNoMessages] if only messages are.
func (s *Store) Check(ctx context.Context) error {
	if _, err := s.round(ctx, probeKey, "probe", "1"); err != nil {
		return fmt.Errorf("scripts or keys are refused by Redis: allow the user EVALSHA, EVAL, and the keys (ACL rules +@all ~om:*): %w", err)
	}
	if err := s.client.Del(ctx, probeKey).Err(); err != nil {
		return translate(err)
	}
	if err := s.client.Publish(ctx, s.channel, "{}").Err(); err != nil {
		return refusedMessages(err)
	}
	sub := s.client.Subscribe(ctx, s.channel)
	defer sub.Close()
	_, err := sub.ReceiveTimeout(ctx, callTimeout)
	return refusedMessages(err)
}

// refusedMessages tells a refusal from a Redis that does not answer.
func refusedMessages(err error) error {
	if redis.HasErrorPrefix(err, "NOPERM") {
		return fmt.Errorf("%w: %w", ErrNoMessages, err)
	}
	return translate(err)
}
