package server

import (
	"context"
	"log/slog"

	"golang.org/x/crypto/acme/autocert"
)

// Vault keeps certificates with their private keys, the key of the ACME account,
// and answers to challenges, for all replicas.
type Vault interface {
	// Get returns what is kept under name, nil if nothing is.
	Get(ctx context.Context, name string) ([]byte, error)
	Put(ctx context.Context, name string, data []byte) error
	Delete(ctx context.Context, name string) error
}

// cache is a vault as autocert wants it.
type cache struct {
	Vault
	log *slog.Logger
}

func (c cache) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := c.Vault.Get(ctx, name)
	if err == nil && data == nil {
		return nil, autocert.ErrCacheMiss
	}
	return data, err
}

// Put tells of an error, because autocert doesn't look at it and goes on with
// what this process alone then knows.
func (c cache) Put(ctx context.Context, name string, data []byte) error {
	err := c.Vault.Put(ctx, name, data)
	if err != nil {
		c.log.WarnContext(ctx, "what the ACME server gave could not be stored for the other replicas", "name", name, "err", err)
	}
	return err
}
