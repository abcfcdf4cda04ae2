package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
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

// claim takes up to ARGV[1] due keys.
//
//	KEYS   as shardKeys
//	ARGV   n, lease ms, token, 1 if a hold counts for this queue
//	result now ms, score of the next ('' if none), hold until ms or 0, then for
//	       each claim: key, score, why, failures, brief
var claim = queueScript(`
local q = Q(1)
local out = {ms(now), '', '0'}
if ARGV[4] == '1' then
	local hold = tonumber(redis.call('GET', KEYS[8]) or '0')
	if hold > now then
		out[2], out[3] = head(q), ms(hold)
		return out
	end
end
local most = tonumber(ARGV[1])
local picked = redis.call('ZRANGEBYSCORE', q.due, '-inf', ms(now), 'WITHSCORES', 'LIMIT', 0, most)
if most > 1 and #picked == 2*most and tonumber(picked[2*most]) < 0 then
	-- Urgent ones alone: a storm of them must leave half to those overdue.
	local overdue = redis.call('ZRANGEBYSCORE', q.due, 0, ms(now), 'WITHSCORES', 'LIMIT', 0, math.floor(most / 2))
	for i = 1, #overdue do picked[2*most - #overdue + i] = overdue[i] end
end
if #picked > 0 then
	local keys, lease = {}, ms(now + ARGV[2])
	for i = 1, #picked, 2 do keys[#keys+1] = picked[i] end
	local again = redis.call('HMGET', q.again, unpack(keys))
	local why = redis.call('HMGET', q.why, unpack(keys))
	local fails = redis.call('HMGET', q.fails, unpack(keys))
	local brief = redis.call('HMGET', KEYS[7], unpack(keys))
	local mine, held, due = {}, {}, {}
	for i, key in ipairs(keys) do
		if again[i] == 'x' then
			leave(q, key) -- stopped while held, and the holder died
		else
			mine[#mine+1] = key
			held[#held+1], held[#held+2] = key, ARGV[3]
			due[#due+1], due[#due+2] = lease, key
			for _, part in ipairs({key, picked[2*i], why[i] or '', fails[i] or '0', brief[i] or ''}) do out[#out+1] = part end
		end
	end
	if #mine > 0 then
		redis.call('HSET', q.held, unpack(held))
		redis.call('ZADD', q.due, unpack(due))
		for _, hash in ipairs({q.again, q.floor, q.why}) do redis.call('HDEL', hash, unpack(mine)) end
	end
end
out[2] = head(q)
return out`)

// Claim takes up to n due users of q, hidden from others for the lease: urgent
// ones first, then the most overdue of each shard; if there are more of both than
// that, half and half. While Graph wants the whole
// app to wait, nothing is claimed for reading and subscribing.
func (s *Store) Claim(ctx context.Context, q ooo.Queue, n int, lease time.Duration) (ooo.Batch, error) {
	b := s.boards[q]
	asked := b.asking()
	picked := b.due(time.Now().UnixMilli()+s.offset.Load(), n)
	batch := ooo.Batch{Now: s.shared()}
	if len(picked) > 0 {
		token := rand.Text()
		each := n / len(picked)
		held := flag(q == ooo.ReadQueue || q == ooo.SubscribeQueue)
		calls := make([]call, len(picked))
		for i, shard := range picked {
			calls[i] = call{shardKeys(shard, q), []any{each, lease.Milliseconds(), token, held}}
		}
		sent := time.Now()
		answers, err := s.runAll(ctx, claim, calls)
		for i, answer := range answers {
			if answer != nil {
				s.boards[q].learn(picked[i], s.read(q, answer.([]any), token, sent, &batch), asked)
			}
		}
		if err != nil {
			b.doubt()
			if len(batch.Claims) == 0 {
				return batch, err
			}
		}
	}
	batch.Next = s.Next(q)
	return batch, nil
}

// Next says when the next user of q is due as far as this process knows, or when
// to ask because another replica may have died; zero if the queue is empty.
func (s *Store) Next(q ooo.Queue) time.Time {
	next := s.boards[q].soonest()
	if next == math.MaxInt64 {
		return time.Time{}
	}
	at := time.UnixMilli(max(next, 1)).UTC()
	if sweep := s.shared().Add(sweepUsed); sweep.Before(at) {
		return sweep
	}
	return at
}

// shared is the clock that replicas share, as far as we know it.
func (s *Store) shared() time.Time {
	return time.Now().Add(time.Duration(s.offset.Load()) * time.Millisecond).UTC()
}

// read takes one shard's answer to claim apart and returns when it next has
// something due.
func (s *Store) read(q ooo.Queue, answer []any, token string, sent time.Time, batch *ooo.Batch) int64 {
	text := func(i int) string { t, _ := answer[i].(string); return t }
	now, _, _ := parseMS(text(0))
	s.compare(now, sent)
	batch.Now = fromMS(now)
	next := headOf(text(1))
	if hold, _, _ := parseMS(text(2)); hold > 0 {
		batch.Hold = fromMS(hold)
		next = max(next, hold)
	}
	for i := 3; i+4 < len(answer); i += 5 {
		due, _, _ := parseMS(text(i + 1))
		c := ooo.Claim{Queue: q, Key: ooo.Key(text(i)), Token: token, Due: fromMS(due), Source: ooo.SourcePoll}
		if parts := strings.SplitN(text(i+2), "|", 4); len(parts) == 4 {
			lead, _ := strconv.ParseInt(parts[0], 10, 64)
			at, _ := strconv.ParseInt(parts[2], 10, 64)
			c.Source, c.MarkedAt = ooo.Source(parts[1]), fromMS(at)
			c.Trace, c.SourceID = cutTrace(parts[3])
			c.Lead = time.Duration(lead) * time.Millisecond
		}
		c.Failures, _ = strconv.Atoi(text(i + 3))
		id, fingerprint, _ := strings.Cut(text(i+4), "\n")
		c.ObjectID, c.Fingerprint = ooo.ObjectID(id), fingerprint
		batch.Claims = append(batch.Claims, c)
	}
	return next
}

// mostRound is the longest round trip whose answer tells how clocks differ.
const mostRound = 200 * time.Millisecond

// compare learns from an answer how Redis' clock differs from ours.
func (s *Store) compare(now int64, sent time.Time) {
	if round := time.Since(sent); round < mostRound || s.compared.CompareAndSwap(false, true) {
		s.offset.Store(now - sent.Add(round/2).UnixMilli())
		s.compared.Store(true)
	}
}

// headOf reads the score of a queue's head: 0 if it is urgent, math.MaxInt64 if
// the queue is empty.
func headOf(score string) int64 {
	next, urgent, some := parseMS(score)
	switch {
	case !some:
		return math.MaxInt64
	case urgent:
		return 0
	}
	return next
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
//	KEYS   as shardKeys
//	ARGV   shard, of how many; then key, token, next ms (0: by every), every ms
//	       (0 too: leaves), from ms (the earliest then), floor ms, failures +1 | 0 | -1 (reset), read 0|1; and so on
//	result score of the next ('' if none)
var done = queueScript(`
local q, keys = Q(1), {}
for i = 3, #ARGV, 8 do keys[#keys+1] = ARGV[i] end
local held = redis.call('HMGET', q.held, unpack(keys))
local again = redis.call('HMGET', q.again, unpack(keys))
local places = slots(q)
local free, due, read = {}, {}, {}
for n, key in ipairs(keys) do
	local i = 8*n - 5
	if held[n] == ARGV[i+1] then
		local next, every, floor = tonumber(ARGV[i+2]), tonumber(ARGV[i+3]), tonumber(ARGV[i+5])
		if next == 0 and every > 0 then next = math.max(tick(key, every, places, ARGV[1] / ARGV[2]), tonumber(ARGV[i+4])) end
		if ARGV[i+6] == '1' then redis.call('HINCRBY', q.fails, key, 1)
		elseif ARGV[i+6] == '-1' then redis.call('HDEL', q.fails, key) end
		if again[n] or next == 0 or floor > now then
			release(q, key, next, floor)
		else
			free[#free+1] = key
			due[#due+1], due[#due+2] = ms(next), key
		end
		if ARGV[i+7] == '1' and again[n] ~= 'x' then
			read[#read+1], read[#read+2] = key, ms(now)
		end
	end
end
if #free > 0 then
	redis.call('HDEL', q.held, unpack(free))
	redis.call('ZADD', q.due, unpack(due))
end
if #read > 0 then redis.call('HSET', KEYS[9], unpack(read)) end
return head(q)`)

// doneChunk is how many claims one call of done gives back: Lua can't take any
// number of arguments.
const doneChunk = 500

// Done gives claims back. One whose token is no longer ours is left alone.
func (s *Store) Done(ctx context.Context, q ooo.Queue, finished []ooo.Finished) error {
	var calls []call
	var touched []int     // shard of each call
	open := map[int]int{} // call that takes more, by shard
	for _, f := range finished {
		failures := 0
		switch {
		case f.Again:
		case f.Failed:
			failures = 1
		case f.Claim.Failures > 0:
			failures = -1
		}
		shard := shardOf(f.Claim.Key)
		at, some := open[shard]
		if !some || len(calls[at].args) >= 2+8*doneChunk {
			at = len(calls)
			open[shard] = at
			calls = append(calls, call{shardKeys(shard, q), []any{shard, shards}})
			touched = append(touched, shard)
		}
		calls[at].args = append(calls[at].args, string(f.Claim.Key), f.Claim.Token, toMS(f.Next), f.Every.Milliseconds(), toMS(f.From), toMS(f.NotBefore), failures, flag(f.Read))
	}
	asked := s.boards[q].asking()
	answers, err := s.runAll(ctx, done, calls)
	for i, answer := range answers {
		if text, ok := answer.(string); ok {
			s.boards[q].learn(touched[i], headOf(text), asked)
		}
	}
	return err
}

// hold makes a shard wait, never shorter than it was told to.
//
//	KEYS[1] hold   ARGV[1] until ms
var hold = script{redis.NewScript(`
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
