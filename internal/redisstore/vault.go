package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Vault keeps what replicas share by name, secrets among it, until it is deleted.
type Vault struct {
	client redis.UniversalClient
	prefix string
}

// Vault returns the vault called name.
func (s *Store) Vault(name string) Vault { return Vault{s.client, vaultPrefix + name + ":"} }

// Get returns what is kept under name, nil if nothing is.
func (v Vault) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := v.client.Get(ctx, v.prefix+name).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("redis: %w", err)
	}
	return data, nil
}

// Put keeps data under name, in place of what was there.
func (v Vault) Put(ctx context.Context, name string, data []byte) error {
	if err := v.client.Set(ctx, v.prefix+name, data, 0).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Delete forgets what is kept under name, if anything is.
func (v Vault) Delete(ctx context.Context, name string) error {
	if err := v.client.Del(ctx, v.prefix+name).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}
