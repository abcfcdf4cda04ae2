package store

import "context"

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
