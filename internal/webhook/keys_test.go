package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/webhook"
)

// withTokens runs a test in a synctest bubble with a login endpoint, changed by prepare,
// after the first fetch.
func withTokens(t *testing.T, prepare func(*loginEndpoint), test func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens)) {
	key1()
	key2()
	weakKey()
	synctest.Test(t, func(t *testing.T) {
		l := globalLogin()
		if prepare != nil {
			prepare(l)
		}
		tokens := runTokens(t, l.config())
		synctest.Wait()
		test(t, l, tokens)
	})
}

// checkTokens checks tokens together.
func checkTokens(t *testing.T, what string, tokens *webhook.Tokens, want error, list ...string) {
	t.Helper()
	if err := tokens.Check(t.Context(), list); !errors.Is(err, want) {
		t.Errorf("Check of %s = %v, want %v", what, err, want)
	}
}

func useNewKey(s *tokenSpec) { s.header["kid"], s.key = "b", key2() }

func TestFetchInterval(t *testing.T) {
	withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		for range 10 {
			exchange{collectionWith(t, []any{l.token(t, "1.0", useNewKey)}, changeItem(ann, set("clientState", "x"))), 202, nil, 0, counts{"forged": 1}}.
				run(t, webhook.NotificationPath, tokens, nil)
		}
		if got := l.fetchCount(); got != 2 {
			t.Errorf("metadata fetched %d times for forged items, want only once for each version, in advance", got)
		}
		time.Sleep(3*time.Hour + time.Minute)
		if got := l.fetchCount(); got != 8 {
			t.Errorf("metadata fetched %d times after 3 hours, want 4 for each version", got)
		}
		checkTokens(t, "valid tokens", tokens, nil, l.token(t, "1.0"), l.token(t, "2.0"))
	})
}

// TestNewKey rotates keys right after the start, beside tokens with unknown ones.
func TestNewKey(t *testing.T) {
	for _, version := range versions {
		withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
			checkTokens(t, "an unknown key", tokens, webhook.ErrBadToken, l.token(t, version, useNewKey))
			l.change(func() { delete(l.keys, "a"); l.keys["b"] = key2() })
			checkTokens(t, "the old key before a fetch", tokens, nil, l.token(t, version))
			checkTokens(t, "the new key", tokens, nil, l.token(t, version, useNewKey))
			if got := l.fetchCount(); got != 4 {
				t.Errorf("metadata fetched %d times, want twice in advance and once for each unknown key", got)
			}
			checkTokens(t, "the withdrawn key", tokens, webhook.ErrBadToken, l.token(t, version))
		})
	}
}

// TestConcurrentCallersShareFetch has a first caller that leaves during the fetch.
func TestConcurrentCallersShareFetch(t *testing.T) {
	withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		time.Sleep(10 * time.Minute)
		l.change(func() { l.delay = time.Second; l.keys["b"] = key2() })
		var callers sync.WaitGroup
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			time.AfterFunc(100*time.Millisecond, cancel)
			if err := tokens.Check(ctx, []string{l.token(t, "1.0", useNewKey)}); !errors.Is(err, webhook.ErrNoMetadata) {
				t.Errorf("Check of a caller that left = %v, want %v", err, webhook.ErrNoMetadata)
			}
		})
		synctest.Wait()
		for range 20 {
			callers.Go(func() { checkTokens(t, "the new key", tokens, nil, l.token(t, "1.0", useNewKey)) })
		}
		callers.Wait()
		if got := l.fetchCount(); got != 3 {
			t.Errorf("metadata fetched %d times, want twice in advance and once for all callers", got)
		}
	})
}

func TestUnknownKeyInOutage(t *testing.T) {
	withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		time.Sleep(10 * time.Minute)
		l.change(func() { l.delay = time.Hour; l.keys["b"] = key2() })
		for i, want := range []time.Duration{time.Second, 0, 0} {
			if i == 2 {
				time.Sleep(61 * time.Second) // the next fetch is in flight
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			if err := tokens.Check(ctx, []string{l.token(t, "1.0", useNewKey)}); !errors.Is(err, webhook.ErrNoMetadata) {
				t.Errorf("Check = %v, want %v", err, webhook.ErrNoMetadata)
			}
			if waited := time.Since(began); waited != want {
				t.Errorf("caller %d waited %v, want %v", i, waited, want)
			}
			cancel()
		}
		l.change(func() { l.delay = 0 })
		time.Sleep(2 * time.Minute)
		checkTokens(t, "the new key after the outage", tokens, nil, l.token(t, "1.0", useNewKey))
	})
}

func TestUnknownKeyFlood(t *testing.T) {
	withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		const minutes = 10
		for i := range minutes * 12 {
			for _, version := range versions {
				checkTokens(t, "an unknown key", tokens, webhook.ErrBadToken, l.token(t, version, setHeader("kid", fmt.Sprint("unknown", i))))
			}
			time.Sleep(5 * time.Second)
		}
		if got := l.fetchCount(); got > 2*(minutes+5) || got < 2*(minutes-1) {
			t.Errorf("metadata fetched %d times in %d minutes, want five times and about once a minute for each version", got, minutes)
		}
		l.change(func() { l.keys["b"] = key2() })
		time.Sleep(time.Minute)
		checkTokens(t, "a new key after the flood", tokens, nil, l.token(t, "1.0", useNewKey))
	})
}

func TestKeysSurviveOutageForADay(t *testing.T) {
	withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		l.change(func() { l.down = true })
		time.Sleep(23 * time.Hour)
		checkTokens(t, "a known key after 23 hours", tokens, nil, l.token(t, "2.0"))
		checkTokens(t, "a key that may be new", tokens, webhook.ErrNoMetadata, l.token(t, "2.0", useNewKey))
		time.Sleep(2 * time.Hour)
		checkTokens(t, "a known key after 25 hours", tokens, webhook.ErrNoMetadata, l.token(t, "2.0"))
	})
}

func TestOutageAtStart(t *testing.T) {
	withTokens(t, func(l *loginEndpoint) { l.down = true }, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		began := time.Now()
		early := l.token(t, "1.0")
		checkTokens(t, "a valid token", tokens, webhook.ErrNoMetadata, early)
		checkTokens(t, "a token that is invalid without keys", tokens, webhook.ErrBadToken, early, l.token(t, "1.0", setClaim("aud", otherTenant)))
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited %v for an endpoint that just failed, want no wait", waited)
		}
		time.Sleep(time.Hour)
		if got := l.fetchCount(); got < 2*60 || got > 2*70 {
			t.Errorf("metadata fetched %d times in an hour, want about once a minute for each version", got)
		}
		l.change(func() { l.down = false })
		time.Sleep(time.Minute + time.Second)
		checkTokens(t, "a token that has expired", tokens, webhook.ErrBadToken, early, l.token(t, "2.0"))
		checkTokens(t, "valid tokens after the outage", tokens, nil, l.token(t, "1.0"), l.token(t, "2.0"))
	})
}
