package graph

import (
	"context"
	"fmt"
	"strings"

	"outlook-monitor/internal/ooo"
)

// TokenSource logs in to another service than Graph with the same credential. It
// renews and retries as [Client] does for Graph.
type TokenSource struct {
	login  login
	tokens *tokens
}

// NewTokenSource returns the source of tokens for a scope, such as
// https://redis.azure.com/.default. It does no I/O. renewed is called with every new
// token and the object id of the identity; it must not block.
func NewTokenSource(cfg Config, scope string, renewed func(object, token string)) (*TokenSource, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	l := login{cfg, scope, newPool(cfg.RootCAs)}
	s := &TokenSource{l, newTokens(l.fetch, cfg.Log)}
	s.tokens.renewed = func(t *token) {
		if object, text, err := t.identify(); err == nil {
			renewed(object, text)
		}
	}
	return s, nil
}

// Run renews the token before it expires, and returns nil when ctx ends.
func (s *TokenSource) Run(ctx context.Context) error {
	defer s.login.pool.CloseIdleConnections()
	s.tokens.run(ctx)
	return nil
}

// Token returns a valid token and the object id of the identity, and logs in if there
// is none. After a failed login it returns that error until the next try is due. The
// error is [ooo.ErrUnauthorized] or [ooo.ErrUnavailable].
func (s *TokenSource) Token(ctx context.Context) (object, token string, err error) {
	held, err := s.tokens.get(ctx)
	if err != nil {
		return "", "", err
	}
	return held.identify()
}

// identify returns the object id of the token's identity, and the token.
func (t *token) identify() (object, text string, err error) {
	claims, ok := t.claims()
	if !ok || claims.Object == "" {
		return "", "", fmt.Errorf("%w: the token does not name the object id (oid) of its identity", ooo.ErrUnauthorized)
	}
	return claims.Object, strings.TrimPrefix(t.header, "Bearer "), nil
}
