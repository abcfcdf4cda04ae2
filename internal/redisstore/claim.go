package redisstore

import (
	"context"
	"crypto/rand"
	"math"
	"strconv"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
)

// claim takes up to ARGV[1] due keys of each shard.
//
//	KEYS   as shardKeys; and so on for each shard
//	ARGV   n, lease ms, token, 1 if a hold counts for this queue
//	result now ms, then for each shard a list: score of the next ('' if none), hold
//	       until ms or 0, then for each claim: key, score, why, failures, brief
var claim = queueScript(`
local most, lease, token = tonumber(ARGV[1]), ms(now + ARGV[2]), ARGV[3]
local function claimShard(k)
	local q, out = Q(k+1), {'', '0'}
	if ARGV[4] == '1' then
		local hold = tonumber(redis.call('GET', KEYS[k+8]) or '0')
		if hold > now then return {head(q), ms(hold)} end
	end
	local picked = redis.call('ZRANGEBYSCORE', q.due, '-inf', ms(now), 'WITHSCORES', 'LIMIT', 0, most)
	if most > 1 and #picked == 2*most and tonumber(picked[2*most]) < 0 then
		-- Urgent ones alone: a storm of them must leave half to those overdue.
		local overdue = redis.call('ZRANGEBYSCORE', q.due, 0, ms(now), 'WITHSCORES', 'LIMIT', 0, math.floor(most / 2))
		for i = 1, #overdue do picked[2*most - #overdue + i] = overdue[i] end
	end
	if #picked > 0 then
		local keys = {}
		for i = 1, #picked, 2 do keys[#keys+1] = picked[i] end
		local again = redis.call('HMGET', q.again, unpack(keys))
		local why = redis.call('HMGET', q.why, unpack(keys))
		local fails = redis.call('HMGET', q.fails, unpack(keys))
		local brief = redis.call('HMGET', KEYS[k+7], unpack(keys))
		local mine, held, due, told, marked = {}, {}, {}, false, false
		for i, key in ipairs(keys) do
			if again[i] == 'x' then
				leave(q, key) -- stopped while held, and the holder died
			else
				told = told or why[i]
				marked = marked or again[i]
				mine[#mine+1] = key
				held[#held+1], held[#held+2] = key, token
				due[#due+1], due[#due+2] = lease, key
				for _, part in ipairs({key, picked[2*i], why[i] or '', fails[i] or '0', brief[i] or ''}) do out[#out+1] = part end
			end
		end
		if #mine > 0 then
			redis.call('HSET', q.held, unpack(held))
			redis.call('ZADD', q.due, unpack(due))
			redis.call('HDEL', q.floor, unpack(mine))
			if told then redis.call('HDEL', q.why, unpack(mine)) end
			if marked then redis.call('HDEL', q.again, unpack(mine)) end
		end
	end
	out[1] = head(q)
	return out
end
local out = {ms(now)}
for k = 0, #KEYS - 1, 10 do out[#out+1] = claimShard(k) end
return out`)

// Claim takes up to n due users of q, hidden from others for the lease: urgent
// ones first, then the most overdue of each shard; if there are more of both than
// that, half and half. While Graph wants the whole app to wait, nothing is claimed
// for reading and subscribing.
func (s *Store) Claim(ctx context.Context, q ooo.Queue, n int, lease time.Duration) (ooo.Batch, error) {
	b := s.boards[q]
	asked := b.asking()
	batch := ooo.Batch{Now: s.shared()}
	if picked := b.due(batch.Now.UnixMilli(), n); len(picked) > 0 {
		token, held := rand.Text(), flag(q == ooo.ReadQueue || q == ooo.SubscribeQueue)
		groups := chunk(s, picked)
		calls := make([]call, len(groups))
		for i, group := range groups {
			calls[i].args = []any{n / len(picked), lease.Milliseconds(), token, held}
			for _, shard := range group {
				calls[i].keys = append(calls[i].keys, shardKeys(shard, q)...)
			}
		}
		sent := time.Now()
		answers, err := s.runAll(ctx, claim, calls)
		for i, answer := range answers {
			list, ok := answer.([]any)
			if !ok || len(list) != 1+len(groups[i]) {
				continue
			}
			s.read(list[0], sent, &batch)
			for j, shard := range groups[i] {
				b.learn(shard, readShard(q, list[1+j].([]any), token, &batch), asked)
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

// read takes in what claim says of the time.
func (s *Store) read(answer any, sent time.Time, batch *ooo.Batch) {
	text, _ := answer.(string)
	now, _, _ := parseMS(text)
	s.compare(now, sent)
	batch.Now = fromMS(now)
}

// readShard takes one shard's answer to claim apart and returns when it next has
// something due.
func readShard(q ooo.Queue, answer []any, token string, batch *ooo.Batch) int64 {
	text := func(i int) string { t, _ := answer[i].(string); return t }
	next := headOf(text(0))
	if hold, _, _ := parseMS(text(1)); hold > 0 {
		batch.Hold = fromMS(hold)
		next = max(next, hold)
	}
	batch.Claims = append(batch.Claims, claimsOf(q, answer[2:], token)...)
	return next
}

// claimsOf reads claims as scripts return them: key, score, why, failures, brief;
// and so on.
func claimsOf(q ooo.Queue, answer []any, token string) (claims []ooo.Claim) {
	text := func(i int) string { t, _ := answer[i].(string); return t }
	for i := 0; i+4 < len(answer); i += 5 {
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
		claims = append(claims, c)
	}
	return claims
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
