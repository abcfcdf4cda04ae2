package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/webhook"
)

// inTime runs a test in a bubble with a login endpoint and a checker of tokens
// that has had time to fetch, unless the endpoint was changed before.
func inTime(t *testing.T, before func(*login), test func(t *testing.T, l *login, tokens *webhook.Tokens)) {
	signer()
	otherSigner()
	weakKey()
	synctest.Test(t, func(t *testing.T) {
		l := globalLogin()
		if before != nil {
			before(l)
		}
		tokens := check(t, l.config())
		synctest.Wait()
		test(t, l, tokens)
	})
}

func newer(d *draft) { d.header["kid"], d.key = "b", otherSigner() }

func TestKeysAreFetchedAheadAndHourly(t *testing.T) {
	inTime(t, nil, func(t *testing.T, l *login, tokens *webhook.Tokens) {
		if got := l.fetched(); got != 2 {
			t.Errorf("metadata fetched %d times before any token, want once for each version", got)
		}
		time.Sleep(3*time.Hour + time.Minute)
		if got := l.fetched(); got != 8 {
			t.Errorf("metadata fetched %d times after 3 hours, want 4 for each version", got)
		}
		if err := tokens.Check(t.Context(), []string{l.token(t, "1.0"), l.token(t, "2.0")}); err != nil {
			t.Errorf("Check = %v, want nil", err)
		}
	})
}

func TestANewKeyIsFetchedAtOnce(t *testing.T) {
	for _, version := range versions {
		inTime(t, nil, func(t *testing.T, l *login, tokens *webhook.Tokens) {
			time.Sleep(10 * time.Minute)
			old := l.token(t, version)
			l.set(func() { delete(l.keys, "a"); l.keys["b"] = otherSigner() })
			if err := tokens.Check(t.Context(), []string{old}); err != nil {
				t.Errorf("Check of the old key before anyone knows = %v, want nil", err)
			}
			if err := tokens.Check(t.Context(), []string{l.token(t, version, newer)}); err != nil {
				t.Errorf("Check of the new key = %v, want nil", err)
			}
			if got := l.fetched(); got != 3 {
				t.Errorf("metadata fetched %d times, want twice ahead and once for the new key", got)
			}
			if err := tokens.Check(t.Context(), []string{old}); !errors.Is(err, webhook.ErrBadToken) {
				t.Errorf("Check of the withdrawn key = %v, want %v", err, webhook.ErrBadToken)
			}
		})
	}
}

func TestAFloodOfUnknownKeysIsFetchedForOnceAMinute(t *testing.T) {
	inTime(t, nil, func(t *testing.T, l *login, tokens *webhook.Tokens) {
		const minutes = 10
		for i := range minutes * 60 {
			for _, version := range versions {
				token := l.token(t, version, header("kid", fmt.Sprint("unknown", i)))
				if err := tokens.Check(t.Context(), []string{token}); !errors.Is(err, webhook.ErrBadToken) {
					t.Fatalf("Check = %v, want %v", err, webhook.ErrBadToken)
				}
			}
			time.Sleep(time.Second)
		}
		if got := l.fetched(); got > 2*(minutes+1) || got < 2*(minutes-1) {
			t.Errorf("metadata fetched %d times in %d minutes, want about once a minute for each version", got, minutes)
		}
		l.set(func() { l.keys["b"] = otherSigner() })
		time.Sleep(time.Minute)
		if err := tokens.Check(t.Context(), []string{l.token(t, "1.0", newer)}); err != nil {
			t.Errorf("Check of a new key after the flood = %v, want nil", err)
		}
	})
}

func TestKeysOutliveTheirEndpointForADay(t *testing.T) {
	inTime(t, nil, func(t *testing.T, l *login, tokens *webhook.Tokens) {
		l.set(func() { l.down = true })
		time.Sleep(23 * time.Hour)
		if err := tokens.Check(t.Context(), []string{l.token(t, "2.0")}); err != nil {
			t.Errorf("Check after 23 hours = %v, want nil", err)
		}
		if err := tokens.Check(t.Context(), []string{l.token(t, "2.0", newer)}); !errors.Is(err, webhook.ErrNoMetadata) {
			t.Errorf("Check of a key that may be new = %v, want %v", err, webhook.ErrNoMetadata)
		}
		time.Sleep(2 * time.Hour)
		if err := tokens.Check(t.Context(), []string{l.token(t, "2.0")}); !errors.Is(err, webhook.ErrNoMetadata) {
			t.Errorf("Check after 25 hours = %v, want %v", err, webhook.ErrNoMetadata)
		}
	})
}

func TestTheEndpointIsDownAtStart(t *testing.T) {
	inTime(t, func(l *login) { l.down = true }, func(t *testing.T, l *login, tokens *webhook.Tokens) {
		began := time.Now()
		good := l.token(t, "1.0")
		if err := tokens.Check(t.Context(), []string{good}); !errors.Is(err, webhook.ErrNoMetadata) {
			t.Errorf("Check = %v, want %v", err, webhook.ErrNoMetadata)
		}
		if err := tokens.Check(t.Context(), []string{good, l.token(t, "1.0", claim("aud", stranger))}); !errors.Is(err, webhook.ErrBadToken) {
			t.Errorf("Check with a token that needs no key to be bad = %v, want %v", err, webhook.ErrBadToken)
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited %v for an endpoint that just failed, want not at all", waited)
		}
		time.Sleep(time.Hour)
		if got := l.fetched(); got < 2*60 || got > 2*70 {
			t.Errorf("metadata asked for %d times in an hour, want about once a minute for each version", got)
		}
		l.set(func() { l.down = false })
		time.Sleep(time.Minute)
		if err := tokens.Check(t.Context(), []string{good, l.token(t, "2.0")}); !errors.Is(err, webhook.ErrBadToken) {
			t.Errorf("Check of a token that has expired meanwhile = %v, want %v", err, webhook.ErrBadToken)
		}
		if err := tokens.Check(t.Context(), []string{l.token(t, "1.0"), l.token(t, "2.0")}); err != nil {
			t.Errorf("Check after it came back = %v, want nil", err)
		}
	})
}

func TestAnEndpointThatHangsIsWaitedForOnce(t *testing.T) {
	inTime(t, func(l *login) { l.delay = time.Hour }, func(t *testing.T, l *login, tokens *webhook.Tokens) {
		time.Sleep(7 * time.Second) // the first fetch is given up, the second under way
		began := time.Now()
		if err := tokens.Check(t.Context(), []string{l.token(t, "1.0")}); !errors.Is(err, webhook.ErrNoMetadata) {
			t.Errorf("Check = %v, want %v", err, webhook.ErrNoMetadata)
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited %v, want not at all", waited)
		}
	})
}

func TestTheFirstKeysAreWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		delay, patience time.Duration
		want            error
	}{
		{time.Second, 3 * time.Second, nil},
		{4 * time.Second, time.Second, webhook.ErrNoMetadata},
	} {
		t.Run(fmt.Sprintf("%v for keys that take %v twice", tt.patience, tt.delay), func(t *testing.T) {
			inTime(t, func(l *login) { l.delay = tt.delay }, func(t *testing.T, l *login, tokens *webhook.Tokens) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.patience)
				defer cancel()
				began := time.Now()
				if err := tokens.Check(ctx, []string{l.token(t, "1.0")}); !errors.Is(err, tt.want) {
					t.Errorf("Check = %v, want %v", err, tt.want)
				}
				if took := time.Since(began); took > tt.patience {
					t.Errorf("Check took %v, want %v at most", took, tt.patience)
				}
			})
		})
	}
}
