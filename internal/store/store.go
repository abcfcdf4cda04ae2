package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
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
	// Fingerprint tells this service's messages from those of others.
	Fingerprint string
	// Observe hears of every command or pipeline and how long Redis took; it may
	// be nil.
	Observe func(command string, took time.Duration, err error)
	Log     *slog.Logger
}

// Store is Redis.
type Store struct {
	client  redis.UniversalClient
	rounds  redis.UniversalClient // for [Store.Round] alone: no retries, never queued behind others
	channel string
	log     *slog.Logger
	written atomic.Int64 // grows with each own write of wishes: what was listed before is out of date
	reading reading
}

// Open reads the URL and returns the store. It makes no connection.
func Open(cfg Config) (*Store, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	redis.SetLogger(chatter{cfg.Log})
	client, err := dial(cfg.URL, 1)
	if err != nil {
		return nil, err
	}
	rounds, err := dial(cfg.URL, -1)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	if cfg.Observe != nil {
		client.AddHook(hook{cfg.Observe})
		rounds.AddHook(hook{cfg.Observe})
	}
	return &Store{client: client, rounds: rounds, channel: channel(cfg.Fingerprint), log: cfg.Log}, nil
}

// chatter takes what go-redis says of its connections, which our own errors and
// warnings tell better.
type chatter struct{ log *slog.Logger }

// Printf logs at debug level.
func (c chatter) Printf(ctx context.Context, format string, args ...any) {
	c.log.DebugContext(ctx, "go-redis", "message", fmt.Sprintf(format, args...))
}

// Of each try, whatever longer the caller's context allows.
const (
	dialTimeout = 2 * time.Second
	callTimeout = 2 * time.Second
)

// bufferSize is that of a connection, each way. With the default, 32 KiB, the buffers
// alone take 64 KiB for each of some twenty connections.
const bufferSize = 4 << 10

// dial returns a client for the URL. Retries of -1 are none.
func dial(raw string, retries int) (redis.UniversalClient, error) {
	u, err := url.Parse(raw)
	if strings.Contains(raw, "@") && (err != nil || u.User == nil) {
		return nil, errors.New("REDIS_URL can't be understood: percent-encode what a URL can't hold in the password, such as / as %2F, # as %23, ? as %3F, % as %25")
	}
	if err != nil || (u.Scheme != "redis" && u.Scheme != "rediss") {
		return nil, errors.New("REDIS_URL: write redis://host:6379/0 or rediss://…, with ?addr=host2:6379 for a Cluster or ?master_name=NAME for Sentinel")
	}
	// go-redis' own text may repeat a password.
	wrong := errors.New("REDIS_URL has a database number or an option that can't be understood: see the README of deploy for its forms")
	switch query := u.Query(); {
	case query.Has("master_name"):
		o, err := redis.ParseFailoverURL(raw)
		if err != nil {
			return nil, wrong
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
		o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
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
		o.ContextTimeoutEnabled, o.DialerRetries = true, 1
		o.DisableRoutingPolicies = true
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, wrong
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
	o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, retries, 1
	return redis.NewClient(o), nil
}

// Close ends all connections.
func (s *Store) Close() error { return errors.Join(s.client.Close(), s.rounds.Close()) }

// Ping says whether Redis answers.
func (s *Store) Ping(ctx context.Context) error { return translate(s.client.Ping(ctx).Err()) }

// Now returns the time of Redis' clock. Nothing is decided by it.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.client.Time(ctx).Result()
	return now.UTC(), translate(err)
}

// Pool returns how the connections to Redis stand, those to all servers of a Cluster
// together.
func (s *Store) Pool() *redis.PoolStats { return s.client.PoolStats() }

// Ready tries, with growing waits, until Redis answers and its schema is ours. The
// error is [ErrNewerSchema], [ErrOlderSchema] or ctx's.
func (s *Store) Ready(ctx context.Context) error {
	const first = 100 * time.Millisecond
	for wait := first; ; wait = min(2*wait, 3*time.Second) {
		err := s.adopt(ctx)
		if err == nil || errors.Is(err, ErrNewerSchema) || errors.Is(err, ErrOlderSchema) {
			return err
		}
		if wait == first {
			s.log.WarnContext(ctx, "redis not usable, retrying", "err", err)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// adopt checks the schema version, or writes it into an empty Redis.
func (s *Store) adopt(ctx context.Context) error {
	if err := s.client.SetNX(ctx, schemaKey, schema, 0).Err(); redis.IsReadOnlyError(err) {
		return ErrReplica
	} else if err != nil {
		return translate(err)
	}
	version, err := s.client.Get(ctx, schemaKey).Int()
	switch {
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

// sleep waits, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
