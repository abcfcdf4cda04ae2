package graph

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"outlook-monitor/internal/ooo"
)

// token is a token at hand, ready to be sent.
type token struct {
	header  string // "Bearer …"
	fetched time.Time
	expires time.Time
}

// usable says whether the token will still be good when a request that starts
// now arrives.
func (t *token) usable(now time.Time) bool {
	return t != nil && now.Before(t.expires.Add(-min(t.life()/20, 10*time.Second)))
}

// ripe is when the token should be replaced: a third of its life is left.
func (t *token) ripe() time.Time { return t.expires.Add(-t.life() / 3) }

func (t *token) life() time.Duration { return t.expires.Sub(t.fetched) }

// tokens keeps one token and replaces it.
type tokens struct {
	fetch   func(ctx context.Context, claims string) (azcore.AccessToken, error)
	failing func() // hears of each failure
	log     *slog.Logger

	current atomic.Pointer[token]
	busy    chan struct{} // capacity 1: who holds it may fetch and touch what follows

	failures int       // in a row
	failed   error     // of the last fetch; nil if it worked
	retry    time.Time // no fetch before
	forced   time.Time // when a refused token was replaced last
}

func newTokens(fetch func(context.Context, string) (azcore.AccessToken, error), failing func(), log *slog.Logger) *tokens {
	return &tokens{fetch: fetch, failing: failing, log: log, busy: make(chan struct{}, 1)}
}

// Waits between logins.
const (
	firstLoginWait = 500 * time.Millisecond
	mostLoginWait  = 30 * time.Second
	// forcedPause keeps a Graph that refuses every token from making us log in
	// for every read.
	forcedPause = 2 * time.Second
)

// get returns a token that is good now.
func (t *tokens) get(ctx context.Context) (*token, error) {
	if held := t.current.Load(); held.usable(time.Now()) {
		return held, nil
	}
	return t.replace(ctx, nil, "")
}

// replace returns a token other than refused, which Graph did not accept; nil
// means any that is good. Callers that come together share one login.
func (t *tokens) replace(ctx context.Context, refused *token, claims string) (*token, error) {
	select {
	case t.busy <- struct{}{}:
		defer func() { <-t.busy }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ooo.ErrUnavailable, ctx.Err())
	}
	now := time.Now()
	held := t.current.Load()
	if held != refused && held.usable(now) {
		return held, nil // somebody else was faster
	}
	if refused != nil {
		if now.Before(t.forced.Add(forcedPause)) {
			return refused, nil
		}
		t.forced = now
	}
	return t.login(ctx, claims)
}

// login fetches a token. The caller holds busy.
func (t *tokens) login(ctx context.Context, claims string) (*token, error) {
	if t.failed != nil && time.Now().Before(t.retry) {
		return nil, t.failed
	}
	got, err := t.fetch(ctx, claims)
	now := time.Now()
	if err != nil {
		if ctx.Err() != nil {
			return nil, err // the caller's time was up, the next one may have more
		}
		t.failures++
		t.failed = err
		t.retry = now.Add(loginWait(t.failures))
		t.log.WarnContext(ctx, "login failed, will try again", "err", err, "failures", t.failures)
		t.failing()
		return nil, err
	}
	if t.failures > 0 {
		t.log.InfoContext(ctx, "login works again", "failures", t.failures)
	}
	t.failures, t.failed = 0, nil
	held := &token{header: "Bearer " + got.Token, fetched: now, expires: now.Add(got.ExpiresOn.Sub(now))}
	t.current.Store(held)
	t.log.DebugContext(ctx, "logged in", "token_life", held.life().Round(time.Second))
	return held, nil
}

func loginWait(failures int) time.Duration {
	wait := mostLoginWait
	if failures < 7 {
		wait = min(wait, firstLoginWait<<(failures-1))
	}
	return wait - rand.N(wait/5)
}

// run replaces each token before it ends, until ctx ends.
func (t *tokens) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		timer.Reset(t.tend(ctx))
	}
}

// tend logs in if that is due and returns when to look again.
func (t *tokens) tend(ctx context.Context) time.Duration {
	select {
	case t.busy <- struct{}{}:
		defer func() { <-t.busy }()
	case <-ctx.Done():
		return 0
	}
	held := t.current.Load()
	if held == nil || !time.Now().Before(held.ripe()) {
		fresh, err := t.login(ctx, "")
		if err != nil {
			return max(time.Until(t.retry), 10*time.Millisecond)
		}
		held = fresh
	}
	if wait := time.Until(held.ripe()); wait > 0 {
		return wait
	}
	// The endpoint gave out the token that it had: ask again, but not at once.
	return min(max(time.Until(held.expires)/4, 200*time.Millisecond), time.Minute)
}
