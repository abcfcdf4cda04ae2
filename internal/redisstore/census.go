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
	censusStep = 1000
)

// count counts some users of a shard. It writes no user. A hash that grows or
// shrinks meanwhile may show a user twice; the next census will not.
//
//	KEYS   digest, brief, checked, hold of reading, hold of subscribing
//	ARGV   life of the digest, cursor, how many, now as RFC 3339, resources
//	result cursor of the rest (0: none), the two holds in ms, users out of office,
//	       oldest pending ms, oldest read ms, uncovered users, first expiry; then
//	       kind (cond, delivery, sub), value, how many; and so on; 0: ask again
var count = digestScript(`
local wanted = {}
for i = 5, #ARGV do wanted[#wanted+1] = '\t' .. ARGV[i] .. '\t' end
local function add(counts, name, n) if name and name ~= '' then counts[name] = (counts[name] or 0) + n end end
local function least(a, b) if b and b ~= '' and b ~= '0' and (a == '' or b < a) then return b end return a end
local conds, deliveries, subs, kinds, watching = {}, {}, {}, {}, {}
local away, uncovered, pending, read, expiry = 0, 0, '', '', ''
local scan = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
for i = 2, #scan[2], 2 do
	local line = scan[2][i]
	local tab = string.find(line, '\t', 1, true)
	local standing = string.sub(line, 1, tab - 1)
	local kind = kinds[standing]
	if not kind then
		local cond, away, told, own = string.match(standing, '^(.-)|(.-)|(.-)|(.*)$')
		kind = {n=0, cond=cond, away=away, told=told, own=own}
		kinds[standing] = kind
	end
	kind.n = kind.n + 1
	if kind.told == 'pending' then pending = least(pending, string.match(line, '^%d+', tab + 1)) end
	if kind.cond == 'watching' then watching[#watching+1] = scan[2][i-1] end
	local bare = false
	for j = 1, #wanted do
		local _, at = string.find(line, wanted[j], 1, true)
		local state, ends
		if at then state, ends = string.match(line, '^(%a+) ([^\t]*)', at + 1) end
		if state == 'live' then
			if ends <= ARGV[4] then state = 'expired' else expiry = least(expiry, ends) end
		end
		add(subs, state, 1)
		bare = bare or state ~= 'live'
	end
	if bare and kind.own == 'own' then uncovered = uncovered + 1 end
end
for _, kind in pairs(kinds) do
	add(conds, kind.cond, kind.n)
	add(deliveries, kind.told, kind.n)
	if kind.away == '1' then away = away + kind.n end
end
if #watching > 0 then
	for _, at in ipairs(redis.call('HMGET', KEYS[3], unpack(watching))) do read = least(read, at) end
end
local out = {scan[1], redis.call('GET', KEYS[4]) or '', redis.call('GET', KEYS[5]) or '', tostring(away), pending, read, tostring(uncovered), expiry}
for kind, counts in pairs({cond=conds, delivery=deliveries, sub=subs}) do
	for name, n in pairs(counts) do
		out[#out+1], out[#out+2], out[#out+3] = kind, name, tostring(n)
	end
end
return out`)

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
	keys := []string{checkedKey(shard), holdKey(shard, ooo.ReadQueue), holdKey(shard, ooo.SubscribeQueue)}
	for {
		fields, err := s.overlook(ctx, count, shard, keys, args)
		if err != nil {
			return err
		}
		if len(fields) < 8 {
			return fmt.Errorf("redis: count answered %d fields", len(fields))
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
