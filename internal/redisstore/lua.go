package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
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
local function wake(q) redis.call('PUBLISH', 'om:wake', q.due) end
local function mark(q, key, at, urgent, why)
	if at <= 0 then at = now end
	local score = at
	if urgent then score = at - SHIFT end
	local floor = tonumber(redis.call('HGET', q.floor, key) or '0')
	if floor > now and at < floor then score = floor end
	if why ~= '' then
		local old = redis.call('HGET', q.why, key)
		if not old or (string.sub(why, 1, 6) == 'notifi' and not string.find(old, '^%d+|notifi')) then
			local due, lead = redis.call('ZSCORE', q.due, key), 0
			if due and tonumber(due) > at and redis.call('HEXISTS', q.held, key) == 0 then lead = tonumber(due) - at end
			redis.call('HSET', q.why, key, ms(lead) .. '|' .. why)
		end
	end
	if redis.call('HEXISTS', q.held, key) == 1 then
		local again = redis.call('HGET', q.again, key)
		if not again or again == 'x' or score < tonumber(again) then
			redis.call('HSET', q.again, key, ms(score))
			wake(q) -- whoever holds it should give it back without delay
		end
		return
	end
	if redis.call('ZADD', q.due, 'LT', 'CH', ms(score), key) == 1 then wake(q) end
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
-- slots is into how many parts the interval is divided, so that about a batch
-- of users is due together: few commands for few users, no crowds of many.
local function slots(q)
	local n, users = 1, redis.call('ZCARD', q.due)
	while n < 64 and n * 20 < users do n = n * 2 end
	return n
end
-- tick is the next time after now at which key is due, if it is due at its own
-- place in each interval. Places follow from the key: they stay whoever reads,
-- are spread evenly, and of all shards over all of the interval.
local function tick(key, every, slots, part)
	local place = 0
	for i = 1, 3 do
		local c = string.byte(key, i) or 97
		place = place * 32 + (c >= 97 and c - 97 or c - 24) % 32
	end
	local phase = math.floor((math.floor(place * slots / 32768) + part) * every / slots)
	return now + every - (now - phase) % every
end
local function head(q)
	local first = redis.call('ZRANGE', q.due, 0, 0, 'WITHSCORES')
	if #first == 0 then return '' end
	return first[2]
end
`

// luaUser is what scripts on one user share; see userKeys.
const luaUser = luaQueue + luaDigest + `
local user, history, brief, checked, names = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local queues = {read=Q(6), window=Q(12), deliver=Q(18), subscribe=Q(24)}
local spoke = KEYS[30]
local key = ARGV[1]
local function get(field) return redis.call('HGET', user, field) or '' end
local feed = string.sub(history, 1, #history - #key - 2) .. 'feed' -- feedKey
local digests = string.sub(history, 1, #history - #key - 2) .. 'digest' -- digestKey
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
type script struct{ *redis.Script }

func queueScript(body string) script { return script{redis.NewScript(luaQueue + body)} }

// userScript adds what keeps the digest as the record is.
func userScript(body string) script {
	return script{redis.NewScript(luaUser + "local function body()\n" + body + "\nend\nlocal result = body()\nfreshen()\nreturn result")}
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
			failed = fmt.Errorf("redis: %w", err)
		}
		answers[i] = answer
	}
	return answers, failed
}
