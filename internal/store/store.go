// Package store keeps in Redis what must outlive the owner of a mailbox, and carries the
// messages between replicas. It is the only package that knows go-redis, and miniredis
// for the Redis inside the process.
//
// It owns the table of owners, the records of each partition with a short row for each
// address, wishes, hints, histories and the feed; secrets, certificates and locks that
// replicas share. All keys are in keys.go and have one hash tag, so that every act is
// one atomic script on a single Redis, behind Sentinel and in a Cluster. It promises:
//
//   - A record is written by the owner of its partition alone: [Store.Save] is one
//     script that first compares the lease and the version. It is carried out as a
//     whole or not at all, and may be repeated as it is until it is answered.
//   - Wishes, leases and hints change by compare-and-set of a random nonce, so of two
//     writers one wins and both know who. A swap that is repeated after its answer was
//     lost says that it was carried out.
//   - Messages are not relied on. What they say is in Redis before they are sent, and
//     one that can't be sent fails nothing: some users of a managed Redis may write
//     keys but not publish. That is why no script publishes.
//   - What can't be read is logged and counted once, and never hides the rest.
//   - No script asks Redis for its time or reads JSON; no expiry decides who owns what.
//
// An error that is none of this package's or of ooo means that the outcome is not
// known: the call may or may not have been carried out.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/auth"
	"github.com/redis/go-redis/v9/logging"

	"outlook-monitor/internal/schedule"
)

// schema is the version of what is stored.
const schema = 2

var (
	// ErrNewerSchema means that a newer version of this program has used this Redis.
	ErrNewerSchema = errors.New("this Redis was used by a newer version of outlook-monitor: run that version, or use another Redis or database number")
	// ErrOlderSchema means that this Redis has the data of an older version.
	ErrOlderSchema = errors.New("this Redis has the data of an older version of outlook-monitor: export its users with that version (outlook-monitor users export), empty this database or use another one, then import them (outlook-monitor users import), or let the mediator name its users")
	// ErrReplica means that what is written here is refused, or thrown away later.
	ErrReplica = errors.New("this Redis is a read-only replica: name its master in REDIS_URL, or the Sentinels that know it")
)

// Config says where Redis is.
type Config struct {
	// URL is redis:// or rediss://, with ?addr=… for a Cluster, or with
	// ?master_name=… and ?addr=… for Sentinel (go-redis' own forms).
	URL string
	// Token returns what logs in to Redis in place of the user and password of the URL
	// (not behind Sentinel): a valid token and the name of its user. If it was renewed,
	// call [Store.Reauthenticate]. nil: the URL's.
	Token func(ctx context.Context) (user, token string, err error)
	// Fingerprint tells this service's messages from those of others.
	Fingerprint string
	// Observe is called for every command or pipeline and how long Redis took; it may
	// be nil.
	Observe func(command string, took time.Duration, err error)
	// OnDamaged is called once for each entry that can't be read, such as a "record"; it may
	// be nil. The entry is logged too.
	OnDamaged func(kind string)
	Log       *slog.Logger
}

// Store is Redis.
type Store struct {
	client redis.UniversalClient
	rounds redis.UniversalClient // for [Store.Round] alone: no retries, never queued behind others
	// messages listens. It is client, unless connections log in with tokens.
	messages redis.UniversalClient
	login    *login // nil: with the URL's user and password
	channel  string
	log      *slog.Logger

	overviews    overviews
	configDenied atomic.Bool // Redis does not show its configuration

	onDamaged func(kind string)
	reportsMu sync.Mutex
	reports   map[damagedError]bool // that were reported; guarded by reportsMu
}

// Open reads the URL and returns the store. It makes no connection.
func Open(cfg Config) (*Store, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.OnDamaged == nil {
		cfg.OnDamaged = func(string) {}
	}
	logging.Disable() // our own errors and warnings say it better
	s := &Store{channel: channel(cfg.Fingerprint), log: cfg.Log, onDamaged: cfg.OnDamaged, reports: map[damagedError]bool{}}
	if cfg.Token != nil {
		s.login = newLogin(cfg.Token)
	}
	var err error
	if s.client, err = dial(cfg, s.login, 1); err != nil {
		return nil, err
	}
	if s.rounds, err = dial(cfg, s.login, -1); err != nil {
		return nil, errors.Join(err, s.client.Close())
	}
	s.messages = s.client
	if s.login != nil {
		// go-redis never forgets the listener of a connection that subscribes, so these
		// have none.
		if s.messages, err = dial(cfg, nil, 1); err != nil {
			return nil, errors.Join(err, s.client.Close(), s.rounds.Close())
		}
	}
	if cfg.Observe != nil {
		s.client.AddHook(observer(cfg.Observe))
		s.rounds.AddHook(observer(cfg.Observe))
	}
	s.overviews.reading = make(chan struct{}, 1)
	return s, nil
}

const (
	// dialTimeout and callTimeout bound each try, whatever longer the caller's context
	// allows.
	dialTimeout = 2 * time.Second
	callTimeout = 2 * time.Second
	// bufferSize is that of a connection, each way. With the default, 32 KiB, the buffers
	// alone take 64 KiB for each of some twenty connections.
	bufferSize = 4 << 10
	// pipelineBufferSize is that of a connection of pipelines, of which the default gives
	// 256 KiB to each of ten.
	pipelineBufferSize = 16 << 10
)

// dial returns a client for the URL. Its open connections are logged in again by login;
// nil: they stay logged in as they were. Retries of -1 are none.
func dial(cfg Config, login *login, retries int) (redis.UniversalClient, error) {
	raw, token := cfg.URL, cfg.Token
	var renewing auth.StreamingCredentialsProvider
	if login != nil {
		renewing, token = login, nil
	}
	// The errors of net/url and go-redis may repeat a password.
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, errors.New("REDIS_URL can't be understood: write redis://user:password@host:6379/0 or rediss://…, " +
			"and percent-encode what a URL can't hold in a password, such as / as %2F, # as %23, ? as %3F, % as %25")
	}
	wrong := errors.New("REDIS_URL has a database number or an option that can't be understood: " +
		"see deploy/SIZING.md for its forms, and percent-encode what a URL can't hold in a password")
	switch query := u.Query(); {
	case query.Has("master_name"):
		o, err := redis.ParseFailoverURL(raw)
		if err != nil {
			return nil, wrong
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
		o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
		o.PipelineReadBufferSize, o.PipelineWriteBufferSize = pipelineBufferSize, pipelineBufferSize
		o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, retries, 1
		return redis.NewFailoverClient(o), nil
	case query.Has("addr"):
		o, err := redis.ParseClusterURL(raw)
		if err != nil {
			return nil, wrong
		}
		// What is sent again is for MaxRedirects: a slot that moved has to be followed.
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
		o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
		o.PipelineReadBufferSize, o.PipelineWriteBufferSize = pipelineBufferSize, pipelineBufferSize
		o.ContextTimeoutEnabled, o.DialerRetries = true, 1
		o.DisableRoutingPolicies = true
		o.StreamingCredentialsProvider, o.CredentialsProviderContext = renewing, token
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, wrong
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
	o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
	o.PipelineReadBufferSize, o.PipelineWriteBufferSize = pipelineBufferSize, pipelineBufferSize
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, retries, 1
	o.StreamingCredentialsProvider, o.CredentialsProviderContext = renewing, token
	return redis.NewClient(o), nil
}

// observer is a hook that reports every command.
type observer func(command string, took time.Duration, err error)

// DialHook reports nothing: a connection is not a command.
func (observer) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook reports one command by its name.
func (o observer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		o.report(cmd, began, err)
		return err
	}
}

// ProcessPipelineHook reports each command of a pipeline with the pipeline's time.
func (o observer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			o.report(cmd, began, cmd.Err())
		}
		return err
	}
}

// report takes it for no error that a key does not exist, or a script has to be sent.
func (o observer) report(cmd redis.Cmder, began time.Time, err error) {
	if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = nil
	}
	o(cmd.Name(), time.Since(began), err)
}

// Reauthenticate logs open connections in with a token that was renewed. It does not block.
func (s *Store) Reauthenticate(user, token string) {
	if s.login != nil {
		s.login.renew(user, token)
	}
}

// Close ends all connections. An error would only say that Redis was first.
func (s *Store) Close() {
	for _, client := range []redis.UniversalClient{s.client, s.rounds, s.messages} {
		_ = client.Close() // messages may be client, which can be closed again
	}
}

// Ping reports whether Redis answers.
func (s *Store) Ping(ctx context.Context) error { return translate(s.client.Ping(ctx).Err()) }

// Now returns the time of Redis' clock. It decides nothing.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.client.Time(ctx).Result()
	return now.UTC(), translate(err)
}

// Pool returns how the connections to Redis stand, those to all servers of a Cluster
// together.
func (s *Store) PoolStats() *redis.PoolStats { return s.client.PoolStats() }

// Ready tries, with growing waits, until Redis answers and its schema is ours. The
// error is [ErrNewerSchema], [ErrOlderSchema] or ctx's.
func (s *Store) Ready(ctx context.Context) (err error) {
	answered := schedule.Retry(ctx, 100*time.Millisecond, 3*time.Second, func(failures int) error {
		err = translate(s.client.SetNX(ctx, schemaKey, schema, 0).Err())
		switch {
		case err == nil:
			err = s.checkSchema(ctx)
		case redis.IsReadOnlyError(err):
			err = ErrReplica
		}
		if errors.Is(err, ErrNewerSchema) || errors.Is(err, ErrOlderSchema) {
			return nil // it stays so
		}
		if err != nil && failures == 1 {
			s.log.WarnContext(ctx, "redis not usable, retrying", "err", err)
		}
		return err
	})
	if !answered {
		return ctx.Err()
	}
	return err
}

// checkSchema returns nil for a Redis that nobody has used.
func (s *Store) checkSchema(ctx context.Context) error {
	version, err := s.client.Get(ctx, schemaKey).Int()
	switch {
	case errors.Is(err, redis.Nil):
		return nil
	case err != nil:
		return translate(err)
	case version > schema:
		return ErrNewerSchema
	case version < schema:
		return ErrOlderSchema
	}
	return nil
}

// translate says of an error where it came from.
func translate(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redis: %w", err)
}
