package redisstore

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// unlock frees a lock if the caller still owns it.
//
//	KEYS[1] lock   ARGV[1] owner
var unlock = script{Script: redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)}

// keep moves the end of a lock if the caller still owns it.
//
//	KEYS[1] lock   ARGV owner, ms
var keep = script{Script: redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0`)}

// Lock takes the lock called name and keeps it until it is freed; a process that
// dies loses it after ttl. It makes double work rare, it does not exclude it. The
// error is [ooo.ErrBusy] while another has it. The unlock must be called.
func (s *Store) Lock(ctx context.Context, name string, ttl time.Duration) (func(context.Context) error, error) {
	key, owner := lockPrefix+name, rand.Text()
	taken, err := s.client.SetNX(ctx, key, owner, ttl).Result()
	if err != nil {
		return nil, err
	}
	if !taken {
		return nil, ooo.ErrBusy
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		tick := time.NewTicker(ttl / 3)
		defer tick.Stop()
		for {
			select {
			case <-keeping.Done():
				return
			case <-tick.C:
				// What fails is tried again; a lock that is lost is lost.
				_, _ = s.run(keeping, keep, call{[]string{key}, []any{owner, ttl.Milliseconds()}})
			}
		}
	}()
	return func(ctx context.Context) error {
		stop()
		<-kept
		_, err := s.run(ctx, unlock, call{[]string{key}, []any{owner}})
		return err
	}, nil
}
