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

// Secret returns the secret called name. If there is none, it stores fresh first.
func (s *Store) Secret(ctx context.Context, name, fresh string) (string, error) {
	if err := s.client.SetNX(ctx, secretPrefix+name, fresh, 0).Err(); err != nil {
		return "", translate(err)
	}
	secret, err := s.client.Get(ctx, secretPrefix+name).Result()
	return secret, translate(err)
}

// Storage stores data that replicas share by name, such as certificates.
type Storage struct {
	client redis.UniversalClient
	prefix string
}

// Storage returns the storage called name.
func (s *Store) Storage(name string) Storage { return Storage{s.client, storagePrefix + name + ":"} }

// Get returns the data called name, nil if there is none.
func (st Storage) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := st.client.Get(ctx, st.prefix+name).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return data, translate(err)
}

// Put stores data under name, and replaces any existing data.
func (st Storage) Put(ctx context.Context, name string, data []byte) error {
	return translate(st.client.Set(ctx, st.prefix+name, data, 0).Err())
}

// Delete deletes the data called name, if any.
func (st Storage) Delete(ctx context.Context, name string) error {
	return translate(st.client.Del(ctx, st.prefix+name).Err())
}

// Lock acquires the lock called name, for at most ttl, and returns the function that frees it.
// It returns [ErrLocked] while another replica holds the lock. The lock makes duplicate work
// rare, but can't exclude it.
func (s *Store) Lock(ctx context.Context, name string, ttl time.Duration) (free func(context.Context) error, err error) {
	key, holder := lockPrefix+name, rand.Text()
	acquired, err := s.client.SetNX(ctx, key, holder, ttl).Result()
	if err != nil {
		return nil, translate(err)
	}
	if !acquired {
		return nil, ErrLocked
	}
	return func(ctx context.Context) error {
		_, err := s.run(ctx, unlock, []string{key}, holder)
		return err
	}, nil
}
