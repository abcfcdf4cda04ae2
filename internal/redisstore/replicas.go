package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

const (
	// replicaLife is how long a process that says nothing counts as alive.
	replicaLife = 30 * time.Second
	// loadLife is how long a load is kept.
	loadLife = time.Hour
	// mostLoads bounds the loads that are kept, of all processes together.
	mostLoads = 4000
)

// beat notes that a process is alive and what it did, and forgets those that
// are not: one command for everything.
//
//	KEYS[1] replicas   KEYS[2] loads
//	ARGV    id, JSON of the replica ('': it stops), life ms, JSON of the load, load
//	        life ms, how many loads are kept
//	result  0
var beat = script{Script: redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local at = tonumber(string.match(all[i+1], '^%d+') or '0')
	if at < now - ARGV[3] then redis.call('HDEL', KEYS[1], all[i]) end
end
if ARGV[2] == '' then
	redis.call('HDEL', KEYS[1], ARGV[1])
	return 0
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. '|' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*', 'id', ARGV[1], 'at', string.format('%.0f', now), 'load', ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 0`)}

// Beat notes that this process is alive, and its load since the beat before. It
// is one command.
func (s *Store) Beat(ctx context.Context, r ooo.Replica) error {
	self, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a replica: %w", err)
	}
	return s.beat(ctx, r.ID, self, r.Load)
}

// Leave notes that a process ends.
func (s *Store) Leave(ctx context.Context, id string) error {
	return s.beat(ctx, id, nil, ooo.Load{})
}

func (s *Store) beat(ctx context.Context, id string, self []byte, load ooo.Load) error {
	body, err := json.Marshal(load)
	if err != nil {
		return fmt.Errorf("encode a load: %w", err)
	}
	_, err = s.run(ctx, beat, call{[]string{replicasKey, loadsKey}, []any{
		id, self, replicaLife.Milliseconds(), body, loadLife.Milliseconds(), mostLoads,
	}})
	return err
}

// Replicas returns the processes that are alive, the oldest first.
func (s *Store) Replicas(ctx context.Context) ([]ooo.Replica, error) {
	pipe := s.client.Pipeline()
	clock := pipe.Time(ctx)
	all := pipe.HGetAll(ctx, replicasKey)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	var alive []ooo.Replica
	for _, text := range all.Val() {
		at, body := cutStamp(text)
		var r ooo.Replica
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			return nil, fmt.Errorf("a replica's entry is damaged: %w", err)
		}
		r.SeenAt = at
		if clock.Val().Sub(at) < replicaLife {
			alive = append(alive, r)
		}
	}
	slices.SortFunc(alive, func(a, b ooo.Replica) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	return alive, nil
}

// cutStamp takes apart what beat puts together: ms|JSON.
func cutStamp(text string) (at time.Time, body string) {
	for i := range text {
		if text[i] == '|' {
			ms, _ := strconv.ParseInt(text[:i], 10, 64)
			return fromMS(ms), text[i+1:]
		}
	}
	return time.Time{}, text
}

// Loads returns what all processes did since then, at most in the last hour,
// oldest first, and the shared clock's time.
func (s *Store) Loads(ctx context.Context, since time.Time) ([]ooo.LoadAt, time.Time, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, now, fmt.Errorf("redis: %w", err)
	}
	if oldest := now.Add(-loadLife); since.Before(oldest) {
		since = oldest
	}
	entries, err := s.client.XRangeN(ctx, loadsKey, strconv.FormatInt(since.UnixMilli(), 10), "+", mostLoads).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, now, fmt.Errorf("redis: %w", err)
	}
	loads := make([]ooo.LoadAt, 0, len(entries))
	for _, entry := range entries {
		f := fieldsOf(entry.Values)
		one := ooo.LoadAt{At: fromMS(f.number("at")), Replica: f["id"]}
		if err := json.Unmarshal([]byte(f["load"]), &one.Load); err != nil {
			return nil, now, fmt.Errorf("a load is damaged: %w", err)
		}
		loads = append(loads, one)
	}
	return loads, now, nil
}
