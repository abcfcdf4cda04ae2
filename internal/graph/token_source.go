package graph

import (
	"context"
	"fmt"
	"strings"

	"outlook-monitor/internal/ooo"
)

// TokenSource provides tokens for a service other than Graph, with the same credential. It
// renews and retries as [Client] does for Graph.
type TokenSource struct {
	login  login
	tokens *tokens
}

// NewTokenSource returns a source of tokens for a scope, such as
// https://redis.azure.com/.default. It does no I/O. onRenew is called with every new token
// and the object id of its identity; it must not block.
func NewTokenSource(cfg Config, scope string, onRenew func(objectID, token string)) *TokenSource {
	cfg = cfg.complete()
	l := login{cfg, scope, newConns(cfg.RootCAs)}
	s := &TokenSource{l, newTokens(l.fetch, cfg.Log)}
	s.tokens.onRenew = func(t *token) {
		if objectID, text, err := t.identity(); err == nil {
			onRenew(objectID, text)
		}
	}
	return s
}

// Run renews the token before it expires, until ctx ends.
func (s *TokenSource) Run(ctx context.Context) error {
	defer s.login.conns.CloseIdleConnections()
	s.tokens.run(ctx)
	return nil
}

// Token returns a valid token and the object id of its identity, and logs in if there is
// none. After a failed login it returns the same error until the next attempt is due:
// [ooo.ErrUnauthorized] or [ooo.ErrUnavailable].
func (s *TokenSource) Token(ctx context.Context) (objectID, token string, err error) {
	current, err := s.tokens.get(ctx)
	if err != nil {
		return "", "", err
	}
	return current.identity()
}

// identity returns the object id of the token's identity, and the token without the
// scheme.
func (t *token) identity() (objectID, text string, err error) {
	claims, ok := t.claims()
	if !ok || claims.ObjectID == "" {
		return "", "", fmt.Errorf("%w: the token does not contain the object id (oid) of its identity", ooo.ErrUnauthorized)
	}
	return claims.ObjectID, strings.TrimPrefix(t.header, "Bearer "), nil
}
