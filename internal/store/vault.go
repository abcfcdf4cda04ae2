package store

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// Vault keeps what replicas share by name, certificates among it, until it is deleted.
type Vault struct {
	client redis.UniversalClient
	prefix string
}

// Vault returns the vault called name.
func (s *Store) Vault(name string) Vault { return Vault{s.client, vaultPrefix + name + ":"} }

// Get returns what is kept under name, nil if nothing is.
func (v Vault) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := v.client.Get(ctx, v.prefix+name).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return data, translate(err)
}

// Put keeps data under name and replaces what was there.
func (v Vault) Put(ctx context.Context, name string, data []byte) error {
	return translate(v.client.Set(ctx, v.prefix+name, data, 0).Err())
}

// Delete removes what is kept under name, if anything is.
func (v Vault) Delete(ctx context.Context, name string) error {
	return translate(v.client.Del(ctx, v.prefix+name).Err())
}
