package graph

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/semaphore"

	"outlook-monitor/internal/schedule"
)

// token is an access token.
type token struct {
	header  string    // "Bearer …"
	fetched time.Time // has a monotonic reading, like expires: the wall clock may jump
	expires time.Time
}

func (t *token) lifetime() time.Duration { return t.expires.Sub(t.fetched) }

// usable reports whether the token will still be valid when a request that is sent now
// arrives.
func (t *token) usable(now time.Time) bool {
	return t != nil && now.Before(t.expires.Add(-min(t.lifetime()/20, 10*time.Second)))
}

// renewAt returns when a third of the token's lifetime is left.
func (t *token) renewAt() time.Time { return t.expires.Add(-t.lifetime() / 3) }

// tokens holds the current token and replaces it.
type tokens struct {
	fetch   func(context.Context) (azcore.AccessToken, error)
	onRenew func(*token) // called for each new token, with mu held; nil: none
	log     *slog.Logger

	current    atomic.Pointer[token]
	mu         *semaphore.Weighted // of 1: a mutex whose Lock a context can end
	failures   int                 // failed logins in a row; guarded by mu, as all below
	err        error               // of the last login
	retryAt    time.Time           // no login before
	replacedAt time.Time           // when a refused token was last replaced
}

func newTokens(fetch func(context.Context) (azcore.AccessToken, error), log *slog.Logger) *tokens {
	return &tokens{fetch: fetch, log: log, mu: semaphore.NewWeighted(1)}
}

const (
	minLoginBackoff = 500 * time.Millisecond
	maxLoginBackoff = 30 * time.Second
	// replaceInterval limits logins while Graph refuses every token.
	replaceInterval = 2 * time.Second
)

// get returns a usable token.
func (t *tokens) get(ctx context.Context) (*token, error) {
	if current := t.current.Load(); current.usable(time.Now()) {
		return current, nil
	}
	return t.replace(ctx, nil)
}

// replace returns a usable token other than refused, which Graph did not accept; refused
// may be nil. Concurrent callers share one login. If a refused token was replaced less
// than replaceInterval ago, replace returns refused.
func (t *tokens) replace(ctx context.Context, refused *token) (*token, error) {
	if err := t.mu.Acquire(ctx, 1); err != nil {
		return nil, noAnswer(err)
	}
	defer t.mu.Release(1)
	now := time.Now()
	if current := t.current.Load(); current != refused && current.usable(now) {
		return current, nil // another caller replaced it
	}
	if refused != nil {
		if now.Before(t.replacedAt.Add(replaceInterval)) {
			return refused, nil
		}
		t.replacedAt = now
	}
	return t.login(ctx)
}

// login fetches a token. The caller must hold mu.
func (t *tokens) login(ctx context.Context) (*token, error) {
	if t.err != nil && time.Now().Before(t.retryAt) {
		return nil, t.err
	}
	fetched, err := t.fetch(ctx)
	now := time.Now()
	if err != nil {
		if ctx.Err() == nil { // otherwise only this caller timed out
			t.failures++
			t.err, t.retryAt = err, now.Add(schedule.Backoff(t.failures, minLoginBackoff, maxLoginBackoff))
			message := "login failed, retrying"
			if t.failures == 1 {
				message += ": see outlook-monitor doctor"
			}
			t.log.WarnContext(ctx, message, "err", err, "failures", t.failures)
		}
		return nil, err
	}
	if t.failures > 0 {
		t.log.InfoContext(ctx, "login works again", "failures", t.failures)
	}
	t.failures, t.err = 0, nil
	renewed := &token{header: "Bearer " + fetched.Token, fetched: now, expires: now.Add(fetched.ExpiresOn.Sub(now))}
	previous := t.current.Swap(renewed)
	if t.onRenew != nil && (previous == nil || previous.header != renewed.header) {
		t.onRenew(renewed)
	}
	t.log.DebugContext(ctx, "logged in", "token_life", renewed.lifetime().Round(time.Second))
	return renewed, nil
}

// run replaces each token before it expires, until ctx ends.
func (t *tokens) run(ctx context.Context) {
	for wait := time.Duration(0); schedule.Sleep(ctx, wait); {
		wait = t.renew(ctx)
	}
}

// renew logs in if a new token is due, and returns how long to wait before the next call.
func (t *tokens) renew(ctx context.Context) time.Duration {
	if t.mu.Acquire(ctx, 1) != nil {
		return 0
	}
	defer t.mu.Release(1)
	current := t.current.Load()
	if current == nil || !time.Now().Before(current.renewAt()) {
		var err error
		if current, err = t.login(ctx); err != nil {
			return max(time.Until(t.retryAt), 10*time.Millisecond)
		}
	}
	// The endpoint may return the same token again, so there is a minimum wait.
	return max(time.Until(current.renewAt()), min(time.Until(current.expires)/4, time.Minute), 200*time.Millisecond)
}

// Token returns nil if there is a token or the login works, else [ooo.ErrUnauthorized] or
// [ooo.ErrUnavailable].
func (c *Client) Token(ctx context.Context) error {
	_, err := c.Grant(ctx)
	return err
}

// TokenExpires returns when the current token expires, or the zero time if there is none.
func (c *Client) TokenExpires() time.Time {
	if current := c.transport.tokens.current.Load(); current != nil {
		return current.expires
	}
	return time.Time{}
}

// Grant is what the current token allows.
type Grant struct {
	Expires  time.Time
	Roles    []string // application permissions
	Readable bool     // false: the token can't be parsed, and Roles is empty
}

// Grant logs in if needed and parses the token. It returns the errors of [Client.Token].
//
// Graph's tokens are formally opaque to clients, but have always been JWTs. The result is
// only shown to people; nothing depends on it.
func (c *Client) Grant(ctx context.Context) (Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	current, err := c.transport.tokens.get(ctx)
	if err != nil {
		return Grant{}, err
	}
	claims, ok := current.claims()
	return Grant{Expires: current.expires, Roles: claims.Roles, Readable: ok}, nil
}

// claims are those that this program reads.
type claims struct {
	jwt.RegisteredClaims
	ObjectID string   `json:"oid"`
	Roles    []string `json:"roles"`
}

// claims parses the token. ok is false if it is not a JWT.
func (t *token) claims() (c claims, ok bool) {
	_, _, err := jwt.NewParser().ParseUnverified(strings.TrimPrefix(t.header, "Bearer "), &c)
	return c, err == nil
}
