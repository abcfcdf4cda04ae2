package store

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9/auth"
)

// login authenticates connections with a token that expires. New connections get the current
// token. When the token is renewed, go-redis reauthenticates the open connections of its
// pools: idle ones before their next use, others after the command in flight. The connection
// of Listen is in no pool: when Redis closes it with its token's end, it is opened again.
type login struct {
	token     func(context.Context) (user, token string, err error)
	listeners sync.Map // its keys are the [auth.CredentialsListener] of the open connections
}

// Subscribe implements [auth.StreamingCredentialsProvider]. go-redis calls it for each new
// connection of a pool.
func (l *login) Subscribe(listener auth.CredentialsListener) (auth.Credentials, auth.UnsubscribeFunc, error) {
	// Register before asking for the token, so that no renewal is missed in between.
	l.listeners.Store(listener, nil)
	unsubscribe := func() error {
		l.listeners.Delete(listener)
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
	l.listeners.Range(func(listener, _ any) bool {
		listener.(auth.CredentialsListener).OnNext(auth.NewBasicCredentials(user, token))
		return true
	})
}
