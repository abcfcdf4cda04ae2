package store

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrLocked means that another replica holds the lock.
var ErrLocked = errors.New("another replica holds the lock")

// Secret returns the secret kept under name, and keeps fresh if there is none.
func (s *Store) Secret(ctx context.Context, name, fresh string) (string, error) {
	if err := s.client.SetNX(ctx, secretPrefix+name, fresh, 0).Err(); err != nil {
		return "", translate(err)
	}
	secret, err := s.client.Get(ctx, secretPrefix+name).Result()
	return secret, translate(err)
}

// PutSecret keeps a secret under name whatever is there: Redis may have come back
// without it, and another replica may have made a new one.
func (s *Store) PutSecret(ctx context.Context, name, secret string) error {
	return translate(s.client.Set(ctx, secretPrefix+name, secret, 0).Err())
}

// Storage keeps what replicas share by name, certificates among it, until it is deleted.
type Storage struct {
	client redis.UniversalClient
	prefix string
}

// Storage returns the storage called name.
func (s *Store) Storage(name string) Storage { return Storage{s.client, storagePrefix + name + ":"} }

// Get returns what is kept under name, nil if nothing is.
func (v Storage) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := v.client.Get(ctx, v.prefix+name).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return data, translate(err)
}

// Put keeps data under name and replaces what was there.
func (v Storage) Put(ctx context.Context, name string, data []byte) error {
	return translate(v.client.Set(ctx, v.prefix+name, data, 0).Err())
}

// Delete removes what is kept under name, if anything is.
func (v Storage) Delete(ctx context.Context, name string) error {
	return translate(v.client.Del(ctx, v.prefix+name).Err())
}

// Lock takes the lock called name until it is unlocked, for ttl at most. It makes
// double work rare, it does not exclude it. The error is [ErrLocked] while another has
// it.
func (s *Store) Lock(ctx context.Context, name string, ttl time.Duration) (free func(context.Context) error, err error) {
	key, holder := lockPrefix+name, rand.Text()
	taken, err := s.client.SetNX(ctx, key, holder, ttl).Result()
	if err != nil {
		return nil, translate(err)
	}
	if !taken {
		return nil, ErrLocked
	}
	return func(ctx context.Context) error {
		_, err := s.run(ctx, unlock, []string{key}, holder)
		return err
	}, nil
}
