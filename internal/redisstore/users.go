package redisstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// User returns a record. The error is [ooo.ErrNotMonitored] if there is none.
func (s *Store) User(ctx context.Context, key ooo.Key) (ooo.User, error) {
	users, err := s.load(ctx, []ooo.Key{key})
	if err != nil {
		return ooo.User{}, err
	}
	if len(users) == 0 {
		return ooo.User{}, ooo.ErrNotMonitored
	}
	return users[0], nil
}

// Standing returns of a record who the user is and how it stands: its state,
// sequence number and revision, and nothing else. That is what a decision needs, and
// a fraction of what the whole costs. The error is [ooo.ErrNotMonitored] if there is
// no record.
func (s *Store) Standing(ctx context.Context, key ooo.Key) (ooo.User, error) {
	names := []string{"addr", "active", "oid", "seq", "rev", "away", "msg"}
	values, err := s.client.HMGet(ctx, userKey(key), names...).Result()
	if err != nil {
		return ooo.User{}, fmt.Errorf("redis: %w", err)
	}
	f := make(fields, len(names))
	for i, name := range names {
		if text, some := values[i].(string); some {
			f[name] = text
		}
	}
	if len(f) == 0 {
		return ooo.User{}, ooo.ErrNotMonitored
	}
	return decodeUser(key, f)
}

// load returns the records of keys in their order, without those that don't
// exist, in one round trip.
func (s *Store) load(ctx context.Context, keys []ooo.Key) ([]ooo.User, error) {
	pipe := s.client.Pipeline()
	records := make([]*redis.MapStringStringCmd, len(keys))
	reads := make([]*redis.StringCmd, len(keys))
	spoken := make([]*redis.StringCmd, len(keys))
	for i, key := range keys {
		records[i] = pipe.HGetAll(ctx, userKey(key))
		reads[i] = pipe.HGet(ctx, checkedKey(shardOf(key)), string(key))
		spoken[i] = pipe.HGet(ctx, spokeKey(shardOf(key)), string(key))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("redis: %w", err)
	}
	users := make([]ooo.User, 0, len(keys))
	for i, key := range keys {
		fields := records[i].Val()
		if len(fields) == 0 {
			continue
		}
		user, err := decodeUser(key, fields)
		if err != nil {
			return nil, err
		}
		checked, _ := reads[i].Int64()
		user.CheckedAt = fromMS(checked)
		tellSpoken(user.Subscriptions, spoken[i].Val())
		users = append(users, user)
	}
	return users, nil
}

// fields are a record's fields as Redis has them.
type fields map[string]string

func (f fields) number(name string) int64 { n, _ := strconv.ParseInt(f[name], 10, 64); return n }

// The fields of one subscription and of one lifecycle event.
const (
	subscriptionPrefix = "sub:"
	lifecyclePrefix    = "life:"
)

func decodeUser(key ooo.Key, f fields) (ooo.User, error) {
	u := ooo.User{
		Key: key, Address: f["addr"], Active: f["active"] == "1",
		Person:    ooo.Person{ID: ooo.ObjectID(f["oid"]), UserPrincipalName: f["upn"], DisplayName: f["name"]},
		Condition: ooo.Condition(f["cond"]), Reason: f["reason"],
		Mailbox: ooo.ObjectID(f["box"]), CoveredBy: ooo.Key(f["cover"]),
		Sequence: f.number("seq"), Revision: f.number("rev"), ChangedAt: fromMS(f.number("changed")),
		Delivery: ooo.Delivery{
			State: ooo.DeliveryState(f["dstate"]), Sequence: f.number("dseq"), Attempts: int(f.number("dtries")),
			DeliveredAt: fromMS(f.number("dat")), Error: f["derr"],
		},
	}
	if u.Delivery.State != ooo.DeliveryDelivered {
		u.Delivery.NextAttemptAt = fromMS(f.number("dnext"))
	}
	if f.number("dtried") != u.Sequence {
		u.Delivery.Attempts = 0
	}
	if f["away"] != "" {
		u.State = &ooo.State{Away: f["away"] == "1", Message: f["msg"]}
	}
	if f["setting"] != "" {
		u.Setting = new(ooo.Setting)
		if err := json.Unmarshal([]byte(f["setting"]), u.Setting); err != nil {
			return u, fmt.Errorf("record of %s: its setting is damaged: %w", key, err)
		}
	}
	for name, value := range f {
		if strings.HasPrefix(name, subscriptionPrefix) {
			var sub ooo.Subscription
			if err := json.Unmarshal([]byte(value), &sub); err != nil {
				return u, fmt.Errorf("record of %s: a subscription is damaged: %w", key, err)
			}
			u.Subscriptions = append(u.Subscriptions, sub)
		}
		if event, ok := strings.CutPrefix(name, lifecyclePrefix); ok {
			kind, id, _ := strings.Cut(event, ":")
			u.Lifecycle = append(u.Lifecycle, ooo.Lifecycle{
				SubscriptionID: ooo.SubscriptionID(id), Kind: ooo.LifecycleKind(kind), At: fromMS(f.number(name))})
		}
	}
	slices.SortFunc(u.Subscriptions, func(a, b ooo.Subscription) int { return cmp.Compare(a.Resource, b.Resource) })
	slices.SortFunc(u.Lifecycle, func(a, b ooo.Lifecycle) int { return a.At.Compare(b.At) })
	return u, nil
}

// tellSpoken reads when each subscription spoke last: tag=ms; and so on.
func tellSpoken(subs []ooo.Subscription, spoken string) {
	for part := range strings.SplitSeq(spoken, ";") {
		tag, text, _ := strings.Cut(part, "=")
		at, err := strconv.ParseInt(text, 10, 64)
		for i := range subs {
			if err == nil && ooo.ResourceTag(subs[i].Resource) == tag {
				subs[i].SpokeAt = fromMS(at)
			}
		}
	}
}

// Users returns up to limit monitored users by address, from after the cursor
// on, and the cursor of the next page; it is empty on the last. The error of a
// cursor that this service can't have returned is [ooo.ErrBadCursor].
func (s *Store) Users(ctx context.Context, limit int, cursor string) ([]ooo.User, string, error) {
	from := "-"
	if cursor != "" {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
		after := string(decoded)
		if _, odd := ooo.ParseAddress(after); err != nil || odd != nil || ooo.FoldAddress(after) != after {
			return nil, "", ooo.ErrBadCursor
		}
		from = "(" + after
	}
	pipe := s.client.Pipeline()
	pages := make([]*redis.StringSliceCmd, shards)
	for shard := range pages {
		pages[shard] = pipe.ZRangeByLex(ctx, namesKey(shard), &redis.ZRangeBy{Min: from, Max: "+", Count: int64(limit) + 1})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, "", fmt.Errorf("redis: %w", err)
	}
	var names []string
	for _, page := range pages {
		names = append(names, page.Val()...)
	}
	slices.Sort(names)
	next := ""
	if len(names) > limit {
		names = names[:limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(names[limit-1]))
	}
	keys := make([]ooo.Key, len(names))
	for i, name := range names {
		keys[i] = ooo.KeyOf(name)
	}
	if len(keys) == 0 {
		return nil, "", nil
	}
	users, err := s.load(ctx, keys)
	return users, next, err
}

// Depth is how full and how late one queue is.
type Depth struct {
	Queue ooo.Queue
	Users int
	// Lag is how long the most overdue user has been due that nobody works on; 0
	// if none is.
	Lag time.Duration
}

// Depths counts the monitored users and the users in each queue.
func (s *Store) Depths(ctx context.Context) (monitored int, depths []Depth, err error) {
	pipe := s.client.Pipeline()
	var names []*redis.IntCmd
	counts := map[ooo.Queue][]*redis.IntCmd{}
	heads := map[ooo.Queue][]*redis.ZSliceCmd{}
	for shard := range shards {
		names = append(names, pipe.ZCard(ctx, namesKey(shard)))
		for _, q := range ooo.Queues {
			due := queueKeys(shard, q)[0]
			counts[q] = append(counts[q], pipe.ZCard(ctx, due))
			heads[q] = append(heads[q], pipe.ZRangeByScoreWithScores(ctx, due, &redis.ZRangeBy{Min: "0", Max: "+inf", Count: 1}))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, nil, fmt.Errorf("redis: %w", err)
	}
	for _, n := range names {
		monitored += int(n.Val())
	}
	now := s.shared().UnixMilli()
	for _, q := range ooo.Queues {
		d := Depth{Queue: q}
		for shard := range shards {
			d.Users += int(counts[q][shard].Val())
			if head := heads[q][shard].Val(); len(head) > 0 {
				d.Lag = max(d.Lag, time.Duration(now-int64(head[0].Score))*time.Millisecond)
			}
		}
		depths = append(depths, d)
	}
	return monitored, depths, nil
}
