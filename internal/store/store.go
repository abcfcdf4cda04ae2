// Package store keeps in Redis what must outlive the owner of a mailbox, and carries the
// messages between replicas. Only this package knows go-redis, and miniredis for the Redis
// inside the process.
//
// It owns the table of owners; the records of each partition, with a summary row for each
// address; wishes, hints, histories and the feed; and the secrets, certificates and locks that
// replicas share. All keys are in keys.go and have one hash tag, so that every operation is one
// atomic script on a single Redis, behind Sentinel and in a Cluster. It guarantees:
//
//   - Only the owner of its partition writes a record: [Store.Save] is one script that first
//     compares the lease and the version. It writes everything or nothing, and may be repeated
//     unchanged until it is answered.
//   - Wishes, leases and hints change by compare-and-set, so that one of two writers wins and
//     both know which. Repeating a swap whose answer was lost reports that it was carried out.
//   - Messages are not relied on. Their content is in Redis before they are sent, and a failed
//     message fails no operation: some users of a managed Redis may write keys but not publish.
//     That is why no script publishes.
//   - A damaged entry is logged and counted once, and never hides others.
//   - No script reads JSON or uses the Redis clock, except for the ids of streams; no expiry
//     decides ownership.
//
// After an error other than those of this package and of ooo the outcome is unknown: the call may
// or may not have been carried out.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/auth"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"outlook-monitor/internal/schedule"
)

// schema is the version of what is stored.
const schema = 2

var (
	// ErrNewerSchema means that a newer version of this program has used this Redis.
	ErrNewerSchema = errors.New("this Redis was used by a newer version of outlook-monitor: run that version, or use another Redis or database number")
	// ErrOlderSchema means that this Redis has the data of an older version of this program.
	ErrOlderSchema = errors.New("this Redis has the data of an older version of outlook-monitor: export its users with that version (outlook-monitor users export), empty this database or use another one, then import them (outlook-monitor users import), or let the mediator name its users")
	// ErrForeign means that this Redis holds the data of another service.
	ErrForeign = errors.New("this Redis belongs to another tenant, app or Graph: use another Redis or database number")
	// ErrReplica means that this Redis is a replica, which refuses writes or loses them.
	ErrReplica = errors.New("this Redis is a read-only replica: name its master in REDIS_URL, or the Sentinels that know it")
)

// Config configures a [Store].
type Config struct {
	// URL is redis:// or rediss://, with ?addr=… for a Cluster, or with ?master_name=… and
	// ?addr=… for Sentinel, as go-redis defines them.
	URL string
	// Token returns a valid token and its user, to log in with instead of the user and password
	// of the URL; not supported with Sentinel. When the token is renewed, call
	// [Store.Reauthenticate]. nil: use the URL.
	Token func(ctx context.Context) (user, token string, err error)
	// Fingerprint identifies this service: its replicas ignore messages of other services.
	Fingerprint string
	// Observe is called for every command with the time that Redis took; it may be nil.
	Observe func(command string, took time.Duration, err error)
	// OnDamaged is called once for each damaged entry, with its kind, such as "record"; it may
	// be nil. The store logs the entry too.
	OnDamaged func(kind string)
	Log       *slog.Logger
}

// Store is a client of the Redis that all replicas share.
type Store struct {
	client    redis.UniversalClient
	rounds    redis.UniversalClient // only for [Store.Round], which is never queued behind other commands
	reopening singleflight.Group    // of a connection of rounds
	messages  redis.UniversalClient // only for [Store.Listen]
	login     *login                // nil: with the user and password of the URL
	channel   string
	log       *slog.Logger

	hintWrites *semaphore.Weighted // in flight

	overviews overviews

	onDamaged func(kind string)
	reportsMu sync.Mutex
	reports   map[damagedError]bool // already reported; guarded by reportsMu
}

// Open returns a store. It does not connect yet.
func Open(cfg Config) (*Store, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.OnDamaged == nil {
		cfg.OnDamaged = func(string) {}
	}
	logging.Disable() // the store's own errors and warnings are clearer
	s := &Store{channel: channel(cfg.Fingerprint), log: cfg.Log, onDamaged: cfg.OnDamaged, reports: map[damagedError]bool{}}
	if cfg.Token != nil {
		s.login = &login{token: cfg.Token}
	}
	var errs [3]error
	s.client, errs[0] = newClient(cfg, s.login)
	s.rounds, errs[1] = newClient(cfg, s.login)
	s.messages, errs[2] = newClient(cfg, nil)  // go-redis never unsubscribes a Pub/Sub connection's credentials listener
	if err := cmp.Or(errs[:]...); err != nil { // all or none: the URL is the same
		return nil, err
	}
	if cfg.Observe != nil {
		s.client.AddHook(observer(cfg.Observe))
		s.rounds.AddHook(observer(cfg.Observe))
	}
	s.hintWrites = semaphore.NewWeighted(maxHintWrites)
	return s, nil
}

const (
	// dialTimeout and callTimeout limit each attempt, even if the caller's context allows more.
	dialTimeout = 2 * time.Second
	callTimeout = 2 * time.Second
	// clusterReload is how often a client asks a Cluster for its masters. It does not ask after a
	// failed call, and with the default it would call a dead master for up to a minute.
	clusterReload = 2 * time.Second
	// bufferSize is the size of each of a connection's two buffers. The default of 32 KiB would
	// take 64 KiB for each of up to poolSize connections.
	bufferSize = 4 << 10
	// pipelineBufferSize is the same for pipeline connections. The default would take 256 KiB for
	// each of ten.
	pipelineBufferSize = 16 << 10
	// poolSize is the number of connections of a client, unless the URL has another. The default
	// is too few on a small machine if Redis is slow: calls would time out waiting for one.
	poolSize = 64
)

// CheckURL returns what is wrong with a REDIS_URL, nil if nothing. It makes no connection.
func CheckURL(raw string) error {
	client, err := newClient(Config{URL: raw}, nil)
	if err != nil {
		return err
	}
	return client.Close()
}

// understood reports whether go-redis finds in the URL what its author meant. A special character
// ends a password, and go-redis ignores the rest of it, or takes it for a path or query.
func understood(u *url.URL) bool {
	_, queryErr := url.ParseQuery(u.RawQuery)
	port, portErr := strconv.ParseUint(cmp.Or(u.Port(), "6379"), 10, 16)
	cut := u.Fragment != "" || strings.Contains(u.RawQuery, "+") || strings.Contains(u.EscapedPath()+u.RawQuery, "@")
	return (u.Scheme == "redis" || u.Scheme == "rediss") && u.Hostname() != "" && port > 0 && !cut && cmp.Or(queryErr, portErr) == nil
}

// newClient returns a client for the URL. login reauthenticates its open connections; if it is
// nil they keep their credentials.
func newClient(cfg Config, login *login) (_ redis.UniversalClient, err error) {
	raw, token := cfg.URL, cfg.Token
	var renewing auth.StreamingCredentialsProvider
	if login != nil {
		renewing, token = login, nil
	}
	// Errors of net/url and go-redis are dropped: they may contain the password.
	u, err := url.Parse(raw)
	if err != nil || !understood(u) {
		return nil, errors.New("REDIS_URL can't be understood: write redis://user:password@host:6379/0 or rediss://…, and percent-encode " +
			"special characters in the password: / as %2F, ? as %3F, # as %23, @ as %40, % as %25, + as %2B")
	}
	wrong := errors.New("REDIS_URL has a database number or an option that can't be used: " +
		"see deploy/SIZING.md for its forms, and percent-encode what a URL can't hold in a password")
	defer func() {
		if recover() != nil { // go-redis does so for some values, such as pool_size=-1
			err = wrong
		}
	}()
	// What go-redis would tell and ask Redis on each new connection takes round trips.
	noMaintenance := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch query := u.Query(); {
	case query.Has("master_name"):
		o, err := redis.ParseFailoverURL(raw)
		if err != nil {
			return nil, wrong
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
		o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
		o.PipelineReadBufferSize, o.PipelineWriteBufferSize = pipelineBufferSize, pipelineBufferSize
		o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, 1, 1
		o.PoolSize, o.DisableIdentity = cmp.Or(o.PoolSize, poolSize), true
		return redis.NewFailoverClient(o), nil
	case query.Has("addr") && strings.Trim(u.Path, "/0") != "":
		return nil, errors.New("REDIS_URL has a database number, but a Cluster has only database 0: " +
			"remove the number, and use another Cluster if another service uses this one")
	case query.Has("addr"):
		o, err := redis.ParseClusterURL(raw)
		if err != nil {
			return nil, wrong
		}
		// MaxRedirects limits retries too, so it keeps its default: a moved slot must be followed.
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
		o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
		o.PipelineReadBufferSize, o.PipelineWriteBufferSize = pipelineBufferSize, pipelineBufferSize
		o.ContextTimeoutEnabled, o.DialerRetries = true, 1
		o.PoolSize, o.DisableIdentity, o.MaintNotificationsConfig = cmp.Or(o.PoolSize, poolSize), true, noMaintenance
		o.DisableRoutingPolicies, o.ClusterStateReloadInterval = true, clusterReload
		o.StreamingCredentialsProvider, o.CredentialsProviderContext = renewing, token
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(raw)
	if err != nil || o.DB < 0 {
		return nil, wrong
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
	o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
	o.PipelineReadBufferSize, o.PipelineWriteBufferSize = pipelineBufferSize, pipelineBufferSize
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, 1, 1
	o.PoolSize, o.DisableIdentity, o.MaintNotificationsConfig = cmp.Or(o.PoolSize, poolSize), true, noMaintenance
	o.StreamingCredentialsProvider, o.CredentialsProviderContext = renewing, token
	return redis.NewClient(o), nil
}

// observer is a go-redis hook that reports every command.
type observer func(command string, took time.Duration, err error)

// DialHook reports nothing.
func (observer) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook reports one command.
func (o observer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		o.report(cmd, began, err)
		return err
	}
}

// ProcessPipelineHook reports each command of a pipeline, with the time of the whole pipeline.
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

// report ignores the errors of missing keys and of scripts that Redis does not know yet.
func (o observer) report(cmd redis.Cmder, began time.Time, err error) {
	if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = nil
	}
	o(cmd.Name(), time.Since(began), err)
}

// Reauthenticate logs the open connections in with a renewed token of [Config].Token. It does
// not block.
func (s *Store) Reauthenticate(user, token string) { s.login.renew(user, token) }

// Close closes all connections. It ignores errors: Redis may have closed them first.
func (s *Store) Close() {
	for _, client := range []redis.UniversalClient{s.client, s.rounds, s.messages} {
		_ = client.Close()
	}
	_, _, _ = s.reopening.Do("", func() (any, error) { return nil, nil }) // ends after a reopen
}

// Ping returns an error if Redis does not answer.
func (s *Store) Ping(ctx context.Context) error { return translate(s.client.Ping(ctx).Err()) }

// Now returns the time of the Redis clock. No decision depends on it.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.client.Time(ctx).Result()
	return now.UTC(), translate(err)
}

// PoolStats returns statistics of the connection pools, of all servers of a Cluster together.
func (s *Store) PoolStats() *redis.PoolStats { return s.client.PoolStats() }

// Ready retries with backoff until Redis accepts writes and has the schema of this version. It
// returns [ErrNewerSchema], [ErrOlderSchema] or the error of ctx.
func (s *Store) Ready(ctx context.Context) (err error) {
	answered := schedule.Retry(ctx, 100*time.Millisecond, 3*time.Second, func(attempt int) error {
		err = translate(s.client.SetNX(ctx, schemaKey, schema, 0).Err())
		switch {
		case err == nil:
			err = s.checkSchema(ctx)
		case redis.IsReadOnlyError(err):
			err = ErrReplica
		}
		if errors.Is(err, ErrNewerSchema) || errors.Is(err, ErrOlderSchema) {
			return nil // retrying would not help
		}
		if err != nil && attempt == 1 {
			s.log.WarnContext(ctx, "redis not usable, retrying", "err", err)
		}
		return err
	})
	if !answered {
		return ctx.Err()
	}
	return err
}

// checkSchema compares the schema version. An empty Redis is fine.
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

// exec runs a pipeline. A missing key or field is no error, and hides none that follows it: of
// several errors, a Cluster's client returns the first.
func exec(ctx context.Context, pipe redis.Pipeliner) error {
	commands, err := pipe.Exec(ctx)
	if !errors.Is(err, redis.Nil) {
		return translate(err)
	}
	for _, c := range commands {
		if c.Err() != nil && !errors.Is(c.Err(), redis.Nil) {
			return translate(c.Err())
		}
	}
	return nil
}

// translate wraps an error of go-redis.
func translate(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redis: %w", err)
}
