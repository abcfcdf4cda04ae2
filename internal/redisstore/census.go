package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Census is how all monitored users stand.
type Census struct {
	Conditions map[ooo.Condition]int
	Deliveries map[ooo.DeliveryState]int
	Away       int // out of office

	PendingSince time.Time // when the oldest state was recorded that is still to be delivered; zero: none is
	ReadAt       time.Time // when the mailbox was last read that was so longest ago, of those that can be read; zero: there is none

	// Subscriptions to the resources that were asked about, by how they stand;
	// [ExpiredSubscription] are those that are live by the record alone.
	Subscriptions map[ooo.SubscriptionState]int
	Uncovered     int       // users in the directory who lack a live one, and nobody else's covers their mailbox
	FirstExpiry   time.Time // of the live ones; zero: there is none

	Holds map[ooo.Queue]time.Time // until when Graph wants a queue to be left alone; zero: it does not
	At    time.Time               // by the shared clock
}

// ExpiredSubscription is the state of one whose time is up and that nobody has
// renewed.
const ExpiredSubscription ooo.SubscriptionState = "expired"

const (
	censusKey = "om:census" // STRING the last census as JSON, PX
	// censusLife is how long a census is good enough, for all replicas.
	censusLife = 15 * time.Second
	// censusStep is how many users are counted in one call: Redis does one thing
	// after the other, and those who are waiting come in between.
	censusStep = 400
)

// count counts some users of a shard. It writes nothing. A hash that grows or
// shrinks meanwhile may show a user twice; the next census will not.
//
//	KEYS[1] brief   KEYS[2] checked   KEYS[3] hold of reading   KEYS[4] of subscribing
//	ARGV    cursor, how many, now as RFC 3339, resources
//	result  cursor of the rest (0: none), the two holds in ms, users out of office,
//	        oldest pending ms, oldest read ms, uncovered users, first expiry; then
//	        kind (cond, delivery, sub), value, how many; and so on
var count = script{redis.NewScript(`
local prefix = string.sub(KEYS[1], 1, #KEYS[1] - 5) .. 'u:'
local fields = {'active', 'cond', 'away', 'dstate', 'queued', 'oid', 'cover'}
local first = #fields
for i = 4, #ARGV do fields[#fields+1] = 'sub:' .. ARGV[i] end
local function add(counts, name) if name and name ~= '' then counts[name] = (counts[name] or 0) + 1 end end
local function least(a, b) if b and b ~= '' and b ~= '0' and (a == '' or b < a) then return b end return a end
local conds, deliveries, subs = {}, {}, {}
local away, uncovered, pending, read, expiry = 0, 0, '', '', ''
local scan = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
for i = 1, #scan[2], 2 do
	local key = scan[2][i]
	local f = redis.call('HMGET', prefix .. key, unpack(fields))
	if f[1] == '1' then
		add(conds, f[2])
		add(deliveries, f[4])
		if f[3] == '1' then away = away + 1 end
		if f[4] == 'pending' then pending = least(pending, f[5]) end
		if f[2] == 'watching' then read = least(read, redis.call('HGET', KEYS[2], key)) end
		local bare = false
		for j = first + 1, #fields do
			local sub, state = f[j] or '', nil
			if sub ~= '' then state = string.match(sub, '"State":"(%a+)"') end
			if state == 'live' then
				local ends = string.match(sub, '"ExpiresAt":"([^"]+)"') or ''
				if ends <= ARGV[3] then state = 'expired' else expiry = least(expiry, ends) end
			end
			add(subs, state)
			bare = bare or state ~= 'live'
		end
		if bare and (f[6] or '') ~= '' and (f[7] or '') == '' then uncovered = uncovered + 1 end
	end
end
local out = {scan[1], redis.call('GET', KEYS[3]) or '', redis.call('GET', KEYS[4]) or '', tostring(away), pending, read, tostring(uncovered), expiry}
for kind, counts in pairs({cond=conds, delivery=deliveries, sub=subs}) do
	for name, n in pairs(counts) do
		out[#out+1], out[#out+2], out[#out+3] = kind, name, tostring(n)
	end
end
return out`)}

// Census counts all users, or returns what this or another replica counted in
// the last 15 s. Resources are what each user should be covered for. It asks one
// shard after the other.
func (s *Store) Census(ctx context.Context, resources []string) (Census, error) {
	s.counting.Lock()
	defer s.counting.Unlock()
	var c Census
	kept, err := s.client.Get(ctx, censusKey).Bytes()
	switch {
	case err == nil && json.Unmarshal(kept, &c) == nil:
		return c, nil
	case err != nil && !errors.Is(err, redis.Nil):
		return c, fmt.Errorf("redis: %w", err)
	}
	c = Census{
		Conditions: map[ooo.Condition]int{}, Deliveries: map[ooo.DeliveryState]int{},
		Subscriptions: map[ooo.SubscriptionState]int{}, Holds: map[ooo.Queue]time.Time{}, At: s.shared(),
	}
	for shard := range shards {
		if err := s.countShard(ctx, shard, resources, &c); err != nil {
			return c, err
		}
	}
	body, err := json.Marshal(c)
	if err != nil {
		return c, fmt.Errorf("encode a census: %w", err)
	}
	if err := s.client.Set(ctx, censusKey, body, censusLife).Err(); err != nil {
		return c, fmt.Errorf("redis: %w", err)
	}
	return c, nil
}

func (s *Store) countShard(ctx context.Context, shard int, resources []string, c *Census) error {
	args := []any{"0", censusStep, c.At.Format(time.RFC3339)}
	for _, resource := range resources {
		args = append(args, resource)
	}
	keys := []string{briefKey(shard), checkedKey(shard), holdKey(shard, ooo.ReadQueue), holdKey(shard, ooo.SubscribeQueue)}
	for {
		answer, err := s.run(ctx, count, call{keys, args})
		if err != nil {
			return err
		}
		fields, ok := answer.([]any)
		if !ok || len(fields) < 8 {
			return fmt.Errorf("redis: count answered %T", answer)
		}
		text := make([]string, len(fields))
		for i, f := range fields {
			text[i] = fmt.Sprint(f)
		}
		c.add(text)
		if text[0] == "0" {
			return nil
		}
		args[0] = text[0]
	}
}

// add adds what one call counted.
func (c *Census) add(text []string) {
	number := func(i int) int { ms, _, _ := parseMS(text[i]); return int(ms) }
	at := func(i int) time.Time { return fromMS(int64(number(i))) }
	for i, q := range []ooo.Queue{ooo.ReadQueue, ooo.SubscribeQueue} {
		if until := at(1 + i); until.After(c.Holds[q]) {
			c.Holds[q] = until
		}
	}
	c.Away += number(3)
	c.PendingSince = earlier(c.PendingSince, at(4))
	c.ReadAt = earlier(c.ReadAt, at(5))
	c.Uncovered += number(6)
	ends, _ := time.Parse(time.RFC3339, text[7])
	c.FirstExpiry = earlier(c.FirstExpiry, ends)
	for i := 8; i+2 < len(text); i += 3 {
		switch name, n := text[i+1], number(i+2); text[i] {
		case "cond":
			c.Conditions[ooo.Condition(name)] += n
		case "delivery":
			c.Deliveries[ooo.DeliveryState(name)] += n
		case "sub":
			c.Subscriptions[ooo.SubscriptionState(name)] += n
		}
	}
}

// earlier returns the earlier one of those that are not zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
