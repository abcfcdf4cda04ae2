package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// schema is the version of what is stored. An older program refuses a newer one.
const schema = 1

// ErrNewerSchema means that a newer version of this program has used this Redis.
var ErrNewerSchema = errors.New("this Redis was used by a newer version of outlook-monitor: run that version, or use another Redis or database number")

// Config says where Redis is.
type Config struct {
	// URL is redis:// or rediss://, with ?addr=… for a Cluster, or with
	// ?master_name=… and ?addr=… for Sentinel (go-redis' own forms).
	URL string
	// Observe hears of every command or pipeline and how long Redis took; it may
	// be nil.
	Observe func(command string, took time.Duration, err error)
	Log     *slog.Logger
}

// Store is Redis.
type Store struct {
	client  redis.UniversalClient
	origin  string // tells our wake-ups from those of others
	log     *slog.Logger
	boards  map[ooo.Queue]*board
	gathers map[ooo.Queue]*gather
	desks   map[ooo.Queue]*desk
	offset  atomic.Int64 // of Redis' clock from ours, in ms

	compared atomic.Bool    // offset is known
	apart    atomic.Bool    // this Redis takes no call for several shards
	rounds   sync.WaitGroup // marks on their way to Redis

	secretive atomic.Bool // Redis does not tell its settings
	counting  sync.Mutex  // held during a census
}

// Open reads the URL and returns the store. It makes no connection.
func Open(cfg Config) (*Store, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	redis.SetLogger(chatter{cfg.Log})
	client, err := dial(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Observe != nil {
		client.AddHook(hook{cfg.Observe})
	}
	s := &Store{client: client, origin: rand.Text(), log: cfg.Log, boards: map[ooo.Queue]*board{}, gathers: map[ooo.Queue]*gather{},
		desks: map[ooo.Queue]*desk{}}
	for _, q := range ooo.Queues {
		s.boards[q], s.gathers[q], s.desks[q] = newBoard(), newGather(), newDesk()
	}
	return s, nil
}

// chatter takes what go-redis says of its connections, which our own errors and
// warnings tell better.
type chatter struct{ log *slog.Logger }

// Printf logs at debug level.
func (c chatter) Printf(ctx context.Context, format string, args ...any) {
	c.log.DebugContext(ctx, "go-redis", "says", fmt.Sprintf(format, args...))
}

const (
	dialTimeout = 2 * time.Second
	callTimeout = 2 * time.Second
	retries     = 1
)

func dial(raw string) (redis.UniversalClient, error) {
	u, err := url.Parse(raw)
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
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.MaxRetries = dialTimeout, callTimeout, callTimeout, retries
		o.ContextTimeoutEnabled = true
		return redis.NewFailoverClient(o), nil
	case query.Has("addr"):
		o, err := redis.ParseClusterURL(raw)
		if err != nil {
			return nil, wrong
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, callTimeout, callTimeout
		o.ContextTimeoutEnabled = true
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, wrong
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.MaxRetries = dialTimeout, callTimeout, callTimeout, retries
	o.ContextTimeoutEnabled = true
	return redis.NewClient(o), nil
}

// Close ends all connections.
func (s *Store) Close() error {
	s.rounds.Wait()
	return s.client.Close()
}

// Ping says whether Redis answers.
func (s *Store) Ping(ctx context.Context) error { return s.client.Ping(ctx).Err() }

// Ready tries, with growing waits, until Redis answers and its schema is ours.
// The error is [ErrNewerSchema] or ctx's.
func (s *Store) Ready(ctx context.Context) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 3*time.Second) {
		err := s.adopt(ctx)
		if err == nil || errors.Is(err, ErrNewerSchema) {
			return err
		}
		if wait == 100*time.Millisecond {
			s.log.WarnContext(ctx, "Redis can't be used yet, will try on", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// adopt checks the schema version, or writes it into an empty Redis.
func (s *Store) adopt(ctx context.Context) error {
	if err := s.client.SetNX(ctx, schemaKey, schema, 0).Err(); redis.IsReadOnlyError(err) {
		return ErrReplica
	} else if err != nil {
		return err
	}
	version, err := s.client.Get(ctx, schemaKey).Int()
	if err != nil {
		return err
	}
	if version > schema {
		return ErrNewerSchema
	}
	_, err = s.Emptied(ctx)
	return err
}

// Emptied says whether Redis, or a master of a Cluster, lost everything since
// [Store.Ready]. Of several callers only one is told.
func (s *Store) Emptied(ctx context.Context) (bool, error) {
	pipe := s.client.Pipeline()
	pipe.SetNX(ctx, schemaKey, schema, 0)
	markers := make([]*redis.BoolCmd, shards)
	for shard := range markers {
		markers[shard] = pipe.SetNX(ctx, markerKey(shard), 1, 0)
	}
	_, err := pipe.Exec(ctx)
	emptied := false
	for _, m := range markers {
		emptied = emptied || m.Val() // even if another master did not answer
	}
	if emptied {
		err = nil
	}
	return emptied, err
}

// Secret returns the secret kept under name, and keeps fresh if there is none.
func (s *Store) Secret(ctx context.Context, name, fresh string) (string, error) {
	if err := s.client.SetNX(ctx, secretPrefix+name, fresh, 0).Err(); err != nil {
		return "", err
	}
	return s.client.Get(ctx, secretPrefix+name).Result()
}

// Stamp returns the time that was stamped under name, zero if never.
func (s *Store) Stamp(ctx context.Context, name string) (time.Time, error) {
	at, err := s.client.Get(ctx, stampPrefix+name).Int64()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	return fromMS(at), err
}

// SetStamp stamps name with Redis' present time.
func (s *Store) SetStamp(ctx context.Context, name string) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	return s.client.Set(ctx, stampPrefix+name, now.UnixMilli(), 0).Err()
}

// ClearStamp makes name look as if it was never stamped.
func (s *Store) ClearStamp(ctx context.Context, name string) error {
	return s.client.Del(ctx, stampPrefix+name).Err()
}

// Now returns Redis' time.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.client.Time(ctx).Result()
	return now.UTC(), err
}

func fromMS(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// toMS returns ms since 1970, rounded up so that nothing is due before its time;
// 0 for the zero time.
func toMS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Add(time.Millisecond - 1).UnixMilli()
}

// theirs is a time of this process' clock in ms of Redis', as far as the difference
// is known; 0 for the zero time.
func (s *Store) theirs(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return toMS(at) + s.offset.Load()
}

// parseMS reads a due time as scripts return it; an urgent one is set back.
func parseMS(text string) (at int64, urgent, ok bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false, false
	}
	if f < 0 {
		return int64(f) + urgentShift, true, true
	}
	return int64(f), false, true
}

// urgentShift is SHIFT of luaQueue.
const urgentShift = 1 << 43
