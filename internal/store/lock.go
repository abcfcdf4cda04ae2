package store

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Lock takes the lock called name and keeps it until it is unlocked; a process that
// dies loses it after ttl. It makes double work rare, it does not exclude it. The
// error is [ooo.ErrBusy] while another has it. The unlock must be called.
func (s *Store) Lock(ctx context.Context, name string, ttl time.Duration) (unlock func(context.Context) error, err error) {
	key, holder := lockPrefix+name, rand.Text()
	taken, err := s.client.SetNX(ctx, key, holder, ttl).Result()
	if err != nil {
		return nil, translate(err)
	}
	if !taken {
		return nil, ooo.ErrBusy
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for sleep(renewing, ttl/3) == nil {
			// After an error the next try may do; a lock that is lost is lost.
			_ = s.ifHeld(renewing, key, holder, func(pipe redis.Pipeliner) { pipe.PExpire(renewing, key, ttl) })
		}
	}()
	return func(ctx context.Context) error {
		stop()
		<-stopped
		return s.ifHeld(ctx, key, holder, func(pipe redis.Pipeliner) { pipe.Del(ctx, key) })
	}, nil
}

// ifHeld carries out a command on a lock if the holder still has it. A transaction
// does it: a script would be one more for what happens rarely.
func (s *Store) ifHeld(ctx context.Context, key, holder string, command func(redis.Pipeliner)) error {
	err := s.client.Watch(ctx, func(tx *redis.Tx) error {
		if found, err := tx.Get(ctx, key).Result(); err != nil || found != holder {
			return err
		}
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			command(pipe)
			return nil
		})
		return err
	}, key)
	if errors.Is(err, redis.Nil) || errors.Is(err, redis.TxFailedErr) {
		return nil // it expired
	}
	return translate(err)
}
