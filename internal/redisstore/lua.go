package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// luaQueue is what scripts on a queue share: the clock, and how a mark moves a
// due time. q is {due, held, again, floor, why, fails}. Numbers go to Redis as
// text without exponent.
const luaQueue = `
local SHIFT = 8796093022208 -- 2^43 ms: what urgent marks are set back by
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function ms(x) return string.format('%.0f', x) end
local function Q(i) return {due=KEYS[i], held=KEYS[i+1], again=KEYS[i+2], floor=KEYS[i+3], why=KEYS[i+4], fails=KEYS[i+5]} end
-- wake tells other replicas that something in q is due sooner than they know, or
-- that they should give back without delay what they hold. The last of ARGV says
-- who we are: this replica knows from the answer.
local function wake(name) redis.call('PUBLISH', 'om:wake', name .. ' ' .. ARGV[#ARGV]) end
-- aim is the score of a mark, and the time that it means.
local function aim(at, urgent, floor)
	if at <= 0 then at = now end
	floor = tonumber(floor or '0')
	if floor > now and at < floor then return floor, at end
	if urgent then return at - SHIFT, at end
	return at, at
end
-- reason is what to note of why a user is marked; nil: what is noted stays. The
-- lead is how long before the user was due by itself the mark came.
local function reason(why, old, at, due, held)
	if why == '' or (old and (string.sub(why, 1, 6) ~= 'notifi' or string.find(old, '^%d+|notifi'))) then return nil end
	local lead = 0
	if due and not held and tonumber(due) > at then lead = tonumber(due) - at end
	return ms(lead) .. '|' .. why
end
-- before says whether a mark comes before what is noted for when a held user is given back.
local function before(score, again) return not again or again == 'x' or score < tonumber(again) end
local function mark(q, key, at, urgent, why)
	local score
	score, at = aim(at, urgent, redis.call('HGET', q.floor, key))
	local held, due = redis.call('HEXISTS', q.held, key) == 1, redis.call('ZSCORE', q.due, key)
	if why ~= '' then
		local noted = reason(why, redis.call('HGET', q.why, key), at, due, held)
		if noted then redis.call('HSET', q.why, key, noted) end
	end
	if held then
		if before(score, redis.call('HGET', q.again, key)) then
			redis.call('HSET', q.again, key, ms(score))
			wake(q.again)
		end
	elseif not due or score < tonumber(due) then
		redis.call('ZADD', q.due, ms(score), key)
		wake(q.due)
	end
end
local function leave(q, key)
	redis.call('ZREM', q.due, key)
	redis.call('HDEL', q.held, key)
	redis.call('HDEL', q.again, key)
	redis.call('HDEL', q.floor, key)
	redis.call('HDEL', q.why, key)
	redis.call('HDEL', q.fails, key)
end
-- release gives a held key back: due at next (0: leaves), or sooner if marked meanwhile.
local function release(q, key, next, floor)
	redis.call('HDEL', q.held, key)
	local again = redis.call('HGET', q.again, key)
	if again then redis.call('HDEL', q.again, key) end
	if again == 'x' then leave(q, key) return end
	if floor > now then redis.call('HSET', q.floor, key, ms(floor)) end
	if again then
		again = tonumber(again)
		local at = again
		if at < 0 then at = at + SHIFT end
		if floor > now and at < floor then again = floor end
		if next == 0 or again < next then next = again end
	end
	if next == 0 then leave(q, key) else redis.call('ZADD', q.due, ms(next), key) end
end
local function head(q)
	local first = redis.call('ZRANGE', q.due, 0, 0, 'WITHSCORES')
	if #first == 0 then return '' end
	return first[2]
end
`

// luaPlaces says when a user is due who has a place of its own in each interval.
const luaPlaces = `
-- slots is into how many parts an interval of so many ms is divided: about a batch
-- of users is due together, or as many more as need it not to be done more than
-- twenty times a second. To be woken often costs more than the work itself.
local function slots(users, every)
	local n = 1
	while n * 20 < users and n * 100 <= every do n = n * 2 end
	return n
end
-- tick is the next time after now at which key is due, if it is due at its own
-- place in each interval. Places follow from the key: they stay whoever reads, and
-- are spread evenly; part moves all of them by a part of a slot.
local function tick(key, every, slots, part)
	local place = 0
	for i = 1, 3 do
		local c = string.byte(key, i) or 97
		place = place * 32 + (c >= 97 and c - 97 or c - 24) % 32
	end
	local phase = math.floor((math.floor(place * slots / 32768) + part) * every / slots)
	return now + every - (now - phase) % every
end
`

// luaUser is what scripts on one user share; see userCall.
const luaUser = `
local user, history, brief, checked, names, spoke, feed, digests = unpack(KEYS, 1, 8)
local key = ARGV[1]
local function get(field) return redis.call('HGET', user, field) or '' end
local function several(...)
	local values = redis.call('HMGET', user, ...)
	for i = 1, #values do values[i] = values[i] or '' end
	return unpack(values)
end
local digested, stale = {active=1, cond=1, away=1, dstate=1, oid=1, cover=1, queued=1, addr=1, name=1}, false
local function set(...)
	redis.call('HSET', user, ...)
	local named = {...}
	for i = 1, #named, 2 do
		if digested[named[i]] or string.sub(named[i], 1, 4) == 'sub:' then stale = true end
	end
end
local function drop(...)
	redis.call('HDEL', user, ...)
	stale = true
end
local function freshen()
	if not stale then return end
	if get('active') == '1' then redis.call('HSET', digests, key, digest(user)) else redis.call('HDEL', digests, key) end
end
local function tell(at, kind, ...)
	redis.call('XADD', history, 'MAXLEN', '200', '*', 'at', at, 'kind', kind, ...)
	redis.call('XADD', feed, 'MAXLEN', '~', '200', '*', 'key', key, 'at', at, 'kind', kind, ...)
end
local function holds(queue, token) return redis.call('HGET', queues[queue].held, key) == token end
`

// script is a Lua script that survives a restart of Redis.
type script struct {
	*redis.Script
	wakes  bool        // its last argument is who we are
	queues []ooo.Queue // of a script on one user, which it works on
}

func queueScript(body string) script { return script{Script: redis.NewScript(luaQueue + body)} }

// wakingScript is a queueScript that makes users due.
func wakingScript(body string) script {
	s := queueScript(body)
	s.wakes = true
	return s
}

// userScript is a script on one user and its places in some queues. It keeps the
// digest as the record is.
func userScript(queues []ooo.Queue, body string) script {
	var named strings.Builder
	for i, q := range queues {
		fmt.Fprintf(&named, "%s=Q(%d),", q, userNames+1+i*queueNames)
	}
	return script{
		Script: redis.NewScript(fmt.Sprintf("%s\nlocal queues = {%s}\n%s", luaQueue+luaDigest, named.String(), luaUser) +
			"local function body()\n" + body + "\nend\nlocal result = body()\nfreshen()\nreturn result"),
		wakes: true, queues: queues,
	}
}

// userCall is a call of a script on one user: the record, its history, what its
// shard has of all users, and the queues that the script works on.
func (sc script) userCall(key ooo.Key, args ...any) call {
	shard := shardOf(key)
	keys := make([]string, 0, userNames+len(sc.queues)*queueNames)
	keys = append(keys, userKey(key), historyKey(key), briefKey(shard), checkedKey(shard), namesKey(shard),
		spokeKey(shard), feedKey(shard), digestKey(shard))
	for _, q := range sc.queues {
		keys = append(keys, queueKeys(shard, q)...)
	}
	return call{keys, append([]any{string(key)}, args...)}
}

// userNames is how many keys come before those of queues.
const userNames = 8

// together is how many shards one call of a script may work on: all where there is
// one Redis, and one alone where shards live on different ones.
func (s *Store) together() int {
	if _, cluster := s.client.(*redis.ClusterClient); cluster || s.apart.Load() {
		return 1
	}
	return shards
}

// chunk divides what one script is to do with several shards into calls.
func chunk[T any](s *Store, parts []T) [][]T {
	return slices.Collect(slices.Chunk(parts, s.together()))
}

// call is one run of a script.
type call struct {
	keys []string
	args []any
}

// run runs a script once.
func (s *Store) run(ctx context.Context, sc script, c call) (any, error) {
	answers, err := s.runAll(ctx, sc, []call{c})
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// runAll runs a script for all calls in one pipeline. Those that Redis does not
// know the script for (it was restarted, or is another master) are repeated with
// its text.
func (s *Store) runAll(ctx context.Context, sc script, calls []call) ([]any, error) {
	if sc.wakes {
		for i := range calls {
			calls[i].args = append(calls[i].args, s.origin)
		}
	}
	commands := make([]*redis.Cmd, len(calls))
	send := func(pick []int, do func(redis.Pipeliner, call) *redis.Cmd) {
		pipe := s.client.Pipeline()
		for _, i := range pick {
			commands[i] = do(pipe, calls[i])
		}
		pipe.Exec(ctx) //nolint:errcheck // each command has its own error
	}
	all := make([]int, len(calls))
	for i := range all {
		all[i] = i
	}
	send(all, func(p redis.Pipeliner, c call) *redis.Cmd { return p.EvalSha(ctx, sc.Hash(), c.keys, c.args...) })
	var unknown []int
	for i, command := range commands {
		if err := command.Err(); err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) > 0 {
		send(unknown, func(p redis.Pipeliner, c call) *redis.Cmd { return sc.Eval(ctx, p, c.keys, c.args...) })
	}
	answers := make([]any, len(calls))
	var failed error
	for i, command := range commands {
		answer, err := command.Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			if strings.HasPrefix(err.Error(), "CROSSSLOT") {
				s.apart.Store(true) // a Cluster behind one address; the next call is for one shard
			}
			failed = fmt.Errorf("redis: %w", err)
		}
		answers[i] = answer
	}
	return answers, failed
}
