package store

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9/auth"
)

// login authenticates connections with a token that expires. New connections get the current
// token. When the token is renewed, go-redis reauthenticates the open connections of its
// pools: idle ones before their next use, others after the command in flight. The connection
// of Listen is in no pool, so it is replaced instead.
type login struct {
	token func(context.Context) (user, token string, err error)

	mu        sync.Mutex
	listeners map[auth.CredentialsListener]bool // one for each open connection; guarded by mu
	renewed   chan struct{}                     // closed at the next renewal; guarded by mu
}

func newLogin(token func(context.Context) (user, token string, err error)) *login {
	return &login{token: token, listeners: map[auth.CredentialsListener]bool{}, renewed: make(chan struct{})}
}

// Subscribe implements [auth.StreamingCredentialsProvider]. go-redis calls it for each new
// connection of a pool.
func (l *login) Subscribe(listener auth.CredentialsListener) (auth.Credentials, auth.UnsubscribeFunc, error) {
	// Register before asking for the token, so that no renewal is missed in between.
	l.mu.Lock()
	l.listeners[listener] = true
	l.mu.Unlock()
	unsubscribe := func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.listeners, listener)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	user, token, err := l.token(ctx)
	if err != nil {
		_ = unsubscribe()
		return nil, nil, err
	}
	return auth.NewBasicCredentials(user, token), unsubscribe, nil
}

// renew reauthenticates the open connections.
func (l *login) renew(user, token string) {
	l.mu.Lock()
	listeners := slices.Collect(maps.Keys(l.listeners))
	close(l.renewed)
	l.renewed = make(chan struct{})
	l.mu.Unlock()
	for _, listener := range listeners {
		listener.OnNext(auth.NewBasicCredentials(user, token))
	}
}

// untilRenewed returns a context that ends with ctx or at the next renewal.
func (l *login) untilRenewed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if l == nil {
		return ctx, cancel
	}
	l.mu.Lock()
	renewed := l.renewed
	l.mu.Unlock()
	go func() {
		select {
		case <-renewed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
