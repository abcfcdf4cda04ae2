package graph

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"outlook-monitor/internal/schedule"
)

// token is an access token, ready to be sent.
type token struct {
	header  string // "Bearer …"
	fetched time.Time
	expires time.Time
}

func (t *token) life() time.Duration { return t.expires.Sub(t.fetched) }

// usable reports whether the token will still be good when a request that starts
// now arrives.
func (t *token) usable(now time.Time) bool {
	return t != nil && now.Before(t.expires.Add(-min(t.life()/20, 10*time.Second)))
}

// renewAt is when the token should be replaced: a third of its life is left.
func (t *token) renewAt() time.Time { return t.expires.Add(-t.life() / 3) }

// tokens keeps one token and replaces it.
type tokens struct {
	fetch   func(context.Context) (azcore.AccessToken, error)
	renewed func(*token) // called for each new token, with mu held; nil: none
	log     *slog.Logger

	current  atomic.Pointer[token]
	mu       chan struct{} // capacity 1: a lock that a context can stop waiting for
	failures int           // logins in a row; guarded by mu, as all below
	failed   error         // of the last login; nil if it worked
	retryAt  time.Time     // no login before
	replaced time.Time     // when a refused token was replaced last
}

func newTokens(fetch func(context.Context) (azcore.AccessToken, error), log *slog.Logger) *tokens {
	return &tokens{fetch: fetch, log: log, mu: make(chan struct{}, 1)}
}

// Waits between logins.
const (
	firstLoginWait = 500 * time.Millisecond
	mostLoginWait  = 30 * time.Second
	// replacePause keeps a Graph that refuses every token from making us log in
	// for every request.
	replacePause = 2 * time.Second
)

func (t *tokens) lock(ctx context.Context) error {
	select {
	case t.mu <- struct{}{}:
		return nil
	case <-ctx.Done():
		return notSent(ctx.Err())
	}
}

func (t *tokens) unlock() { <-t.mu }

// get returns a token that is good now.
func (t *tokens) get(ctx context.Context) (*token, error) {
	if held := t.current.Load(); held.usable(time.Now()) {
		return held, nil
	}
	return t.replace(ctx, nil)
}

// replace returns a token other than refused, which Graph did not accept; nil means
// any that is good. Callers that come together share one login. If refused is itself
// a replacement, made a moment ago, it is returned.
func (t *tokens) replace(ctx context.Context, refused *token) (*token, error) {
	if err := t.lock(ctx); err != nil {
		return nil, err
	}
	defer t.unlock()
	now := time.Now()
	if held := t.current.Load(); held != refused && held.usable(now) {
		return held, nil // another caller was faster
	}
	if refused != nil {
		if now.Before(t.replaced.Add(replacePause)) {
			return refused, nil
		}
		t.replaced = now
	}
	return t.login(ctx)
}

// login fetches a token. The caller holds mu.
func (t *tokens) login(ctx context.Context) (*token, error) {
	if t.failed != nil && time.Now().Before(t.retryAt) {
		return nil, t.failed
	}
	got, err := t.fetch(ctx)
	now := time.Now()
	if err != nil {
		if ctx.Err() == nil { // otherwise the caller's time was up, and the next one may have more
			t.failures++
			t.failed, t.retryAt = err, now.Add(schedule.Backoff(t.failures, firstLoginWait, mostLoginWait))
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
	t.failures, t.failed = 0, nil
	held := &token{header: "Bearer " + got.Token, fetched: now, expires: now.Add(got.ExpiresOn.Sub(now))}
	before := t.current.Swap(held)
	if t.renewed != nil && (before == nil || before.header != held.header) {
		t.renewed(held)
	}
	t.log.DebugContext(ctx, "logged in", "token_life", held.life().Round(time.Second))
	return held, nil
}

// run replaces each token before it ends, until ctx ends.
func (t *tokens) run(ctx context.Context) {
	for wait := time.Duration(0); schedule.Sleep(ctx, wait); {
		wait = t.renew(ctx)
	}
}

// renew logs in if that is due and returns when to call it again.
func (t *tokens) renew(ctx context.Context) time.Duration {
	if t.lock(ctx) != nil {
		return 0
	}
	defer t.unlock()
	held := t.current.Load()
	if held == nil || !time.Now().Before(held.renewAt()) {
		var err error
		if held, err = t.login(ctx); err != nil {
			return max(time.Until(t.retryAt), 10*time.Millisecond)
		}
	}
	// If the endpoint returned the token that it had, it is asked again, but not at once.
	return max(time.Until(held.renewAt()), min(time.Until(held.expires)/4, time.Minute), 200*time.Millisecond)
}

// Token reports whether there is a token or one can be had. The error is
// [ooo.ErrUnauthorized] or [ooo.ErrUnavailable].
func (c *Client) Token(ctx context.Context) error {
	_, err := c.Grant(ctx)
	return err
}

// TokenExpires returns when the current token expires; zero if there is none.
func (c *Client) TokenExpires() time.Time {
	if held := c.transport.tokens.current.Load(); held != nil {
		return held.expires
	}
	return time.Time{}
}

// Grant is what the current token allows.
type Grant struct {
	Expires  time.Time
	Roles    []string // application permissions
	Readable bool     // the token could be parsed; otherwise there are no Roles
}

// Grant logs in, if that is needed, and parses the token. Graph's tokens are
// opaque to their bearers by contract, but have been JWTs ever since: what is read
// here is for people, and nothing is decided by it. The errors are those of
// [Client.Token].
func (c *Client) Grant(ctx context.Context) (Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	held, err := c.transport.tokens.get(ctx)
	if err != nil {
		return Grant{}, err
	}
	g := Grant{Expires: held.expires}
	claims, ok := held.claims()
	g.Roles, g.Readable = claims.Roles, ok
	return g, nil
}

// claims are what this program reads in a token.
type claims struct {
	Object string   `json:"oid"`
	Roles  []string `json:"roles"`
}

// claims parses the token. What is not a JWT is not ok.
func (t *token) claims() (c claims, ok bool) {
	parts := strings.Split(t.header, ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	return c, err == nil && json.Unmarshal(payload, &c) == nil
}
