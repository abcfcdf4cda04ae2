package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// why packs what a mark tells; the regular poll tells nothing.
func why(source ooo.Source, at time.Time, id string) string {
	if source == "" || source == ooo.SourcePoll {
		return ""
	}
	if len(id) > 200 {
		id = id[:200]
	}
	return fmt.Sprintf("%s|%d|%s", source, at.UnixMilli(), id)
}

// extend renews leases.
//
//	KEYS   as shardKeys
//	ARGV   lease ms, then key, token; and so on
//	result key, token of those whose token is no longer ours; and so on
var extend = queueScript(`
local q, lost = Q(1), {}
for i = 2, #ARGV, 2 do
	if redis.call('HGET', q.held, ARGV[i]) == ARGV[i+1] then
		redis.call('ZADD', q.due, ms(now + ARGV[1]), ARGV[i])
	else
		lost[#lost+1], lost[#lost+2] = ARGV[i], ARGV[i+1]
	end
end
return lost`)

// Extend renews the leases of claims and returns those that are lost.
func (s *Store) Extend(ctx context.Context, q ooo.Queue, claims []ooo.Claim, lease time.Duration) ([]ooo.Claim, error) {
	args := map[int][]any{}
	held := make(map[string]ooo.Claim, len(claims))
	for _, c := range claims {
		shard := shardOf(c.Key)
		if args[shard] == nil {
			args[shard] = []any{lease.Milliseconds()}
		}
		args[shard] = append(args[shard], string(c.Key), c.Token)
		held[string(c.Key)+c.Token] = c
	}
	var calls []call
	for shard, a := range args {
		calls = append(calls, call{shardKeys(shard, q), a})
	}
	answers, err := s.runAll(ctx, extend, calls)
	var lost []ooo.Claim
	for _, answer := range answers {
		list, _ := answer.([]any)
		for i := 0; i+1 < len(list); i += 2 {
			lost = append(lost, held[fmt.Sprint(list[i], list[i+1])])
		}
	}
	return lost, err
}

// done gives claims back. Most are due again after a while and nothing happened
// meanwhile: they cost a few commands together, not each.
//
//	KEYS   as shardKeys; and so on for each shard
//	ARGV   how many shards are read together, then for each shard: what part of a
//	       slot its places are moved by, how many claims; then for each claim: key,
//	       token, next ms (0: by every), every ms (0 too: leaves), from ms (the
//	       earliest then), floor ms, failures +1 | 0 | -1 (reset), read 0|1
//	result for each shard the score of the next ('' if none)
var done = wakingScript(luaPlaces + `
local function doneShard(k, part, from, count)
	local q, keys = Q(k+1), {}
	for n = 1, count do keys[n] = ARGV[from + 8*(n - 1)] end
	local held = redis.call('HMGET', q.held, unpack(keys))
	local again = redis.call('HMGET', q.again, unpack(keys))
	local users, cut = redis.call('ZCARD', q.due) * ARGV[1], {}
	local free, due, read, atOnce = {}, {}, {}, false
	for n, key in ipairs(keys) do
		local i = from + 8*(n - 1)
		if held[n] == ARGV[i+1] then
			local next, every, floor = tonumber(ARGV[i+2]), tonumber(ARGV[i+3]), tonumber(ARGV[i+5])
			if next == 0 and every > 0 then
				cut[every] = cut[every] or slots(users, every)
				next = math.max(tick(key, every, cut[every], part), tonumber(ARGV[i+4]))
			end
			if ARGV[i+6] == '1' then redis.call('HINCRBY', q.fails, key, 1)
			elseif ARGV[i+6] == '-1' then redis.call('HDEL', q.fails, key) end
			if again[n] or next == 0 or floor > now then
				release(q, key, next, floor)
			else
				free[#free+1] = key
				due[#due+1], due[#due+2] = ms(next), key
			end
			atOnce = atOnce or (next > 0 and next <= now)
			if ARGV[i+7] == '1' and again[n] ~= 'x' then
				read[#read+1], read[#read+2] = key, ms(now)
			end
		end
	end
	if #free > 0 then
		redis.call('HDEL', q.held, unpack(free))
		redis.call('ZADD', q.due, unpack(due))
	end
	if #read > 0 then redis.call('HSET', KEYS[k+9], unpack(read)) end
	if atOnce then wake(q.due) end -- left to whoever comes first
	return head(q)
end
local out, from = {}, 2
for k = 0, #KEYS - 1, 10 do
	local count = tonumber(ARGV[from+1])
	out[#out+1] = doneShard(k, tonumber(ARGV[from]), from + 2, count)
	from = from + 2 + 8*count
end
return out`)

// doneChunk is how many claims of one shard are given back together: Lua can't
// take any number of arguments.
const doneChunk = 500

// Done gives claims back. One whose token is no longer ours is left alone.
func (s *Store) Done(ctx context.Context, q ooo.Queue, finished []ooo.Finished) error {
	byShard := make([][]ooo.Finished, shards)
	for _, f := range finished {
		shard := shardOf(f.Claim.Key)
		byShard[shard] = append(byShard[shard], f)
	}
	var parts [][]ooo.Finished // each of one shard
	for _, all := range byShard {
		parts = slices.AppendSeq(parts, slices.Chunk(all, doneChunk))
	}
	groups := chunk(s, parts)
	calls := make([]call, len(groups))
	for i, group := range groups {
		calls[i] = s.doneCall(q, group)
	}
	asked := s.boards[q].asking()
	answers, err := s.runAll(ctx, done, calls)
	for i, answer := range answers {
		heads, _ := answer.([]any)
		for j := range min(len(heads), len(groups[i])) {
			if text, ok := heads[j].(string); ok {
				s.boards[q].learn(shardOf(groups[i][j][0].Claim.Key), headOf(text), asked)
			}
		}
	}
	return err
}

// doneCall is the call for parts of several shards. Shards that one call claims have
// common places, so that few calls claim many users; others take turns.
func (s *Store) doneCall(q ooo.Queue, group [][]ooo.Finished) (c call) {
	together := s.together()
	c.args = append(c.args, together)
	for _, part := range group {
		shard, moved := shardOf(part[0].Claim.Key), 0.
		if together == 1 {
			moved = float64(shard) / shards
		}
		c.keys = append(c.keys, shardKeys(shard, q)...)
		c.args = append(c.args, moved, len(part))
		for _, f := range part {
			failures := 0
			switch {
			case f.Again:
			case f.Failed:
				failures = 1
			case f.Claim.Failures > 0:
				failures = -1
			}
			c.args = append(c.args, string(f.Claim.Key), f.Claim.Token, toMS(f.Next), f.Every.Milliseconds(), toMS(f.From), toMS(f.NotBefore), failures, flag(f.Read))
		}
	}
	return c
}

// hold makes a shard wait, never shorter than it was told to.
//
//	KEYS[1] hold   ARGV[1] until ms
var hold = script{Script: redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local left = tonumber(ARGV[1]) - now
if left > 0 and tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or '0') then
	redis.call('SET', KEYS[1], ARGV[1], 'PX', string.format('%.0f', left))
end
return 0`)}

// Hold makes all replicas leave the queues alone until then.
func (s *Store) Hold(ctx context.Context, until time.Time, queues ...ooo.Queue) error {
	var calls []call
	for _, q := range queues {
		for shard := range shards {
			calls = append(calls, call{[]string{holdKey(shard, q)}, []any{toMS(until)}})
		}
	}
	_, err := s.runAll(ctx, hold, calls)
	return err
}

// Pause makes all replicas leave what is called name alone until then.
func (s *Store) Pause(ctx context.Context, name string, until time.Time) error {
	_, err := s.run(ctx, hold, call{[]string{pausePrefix + name}, []any{toMS(until)}})
	return err
}

// Paused returns until when name is to be left alone; zero if it is not.
func (s *Store) Paused(ctx context.Context, name string) (time.Time, error) {
	until, err := s.client.Get(ctx, pausePrefix+name).Int64()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	return fromMS(until), err
}
