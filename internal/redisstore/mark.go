package redisstore

import (
	"context"
	"strings"
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// mark moves due times of active users, each of whom comes once, in one shard or
// in several.
//
//	KEYS   as shardKeys, mates; and so on for each shard
//	ARGV   for each shard how many users; then the token and lease ms of claims that
//	       this makes, and how many of these at most; then for each user: key, at ms
//	       (0: now), urgent 0|1, why, tags of the resources whose subscriptions
//	       spoke, with spaces between
//	result for each shard a list: as one text, for each user 0 if it is not active, 1
//	       if it is due, 2 if it is held, 3 if it was claimed; then a list: for each
//	       who spoke and has mates, the number of its mark and their keys; then a
//	       list: for each who was claimed, as claim has it
var mark = wakingScript(`
-- said puts the time behind the tags of those that spoke: tag=ms; and so on.
local stamp = ms(now) .. ';'
local function said(all, tags)
	if not string.find(tags, ' ', 1, true) and #all <= #tags + 15 and string.sub(all, 1, #tags) == tags then
		return tags .. '=' .. stamp -- nobody else spoke so far
	end
	for tag in string.gmatch(tags, '%S+') do
		local from = string.find(all, tag .. '=', 1, true)
		if from then
			all = string.sub(all, 1, from - 1) .. string.sub(all, (string.find(all, ';', from, true) or #all) + 1)
		end
		all = all .. tag .. '=' .. stamp
	end
	return all
end
local shards = #KEYS / 11
local token, lease, left = ARGV[shards+1], ARGV[shards+2], tonumber(ARGV[shards+3])
-- Few users ever have to wait, or have mates: mostly there is nothing to ask for.
local function any(at)
	local names = {}
	for k = 0, #KEYS - 1, 11 do names[#names+1] = KEYS[k+at] end
	return redis.call('EXISTS', unpack(names)) > 0
end
local floored, mated = any(4), any(11)
local function markShard(k, from, count)
	local q, keys, tagged = Q(k+1), {}, false
	local open = left > 0 and tonumber(redis.call('GET', KEYS[k+8]) or '0') <= now
	for i = from, from + 5*count - 1, 5 do
		keys[#keys+1] = ARGV[i]
		tagged = tagged or ARGV[i+4] ~= ''
	end
	local brief = redis.call('HMGET', KEYS[k+7], unpack(keys))
	local held = redis.call('HMGET', q.held, unpack(keys))
	local floors = floored and redis.call('HMGET', q.floor, unpack(keys)) or {}
	local whys = redis.call('HMGET', q.why, unpack(keys))
	local scores = redis.call('ZMSCORE', q.due, unpack(keys))
	local spoke, mates = {}, {}
	if tagged then
		spoke = redis.call('HMGET', KEYS[k+10], unpack(keys))
		mates = mated and redis.call('HMGET', KEYS[k+11], unpack(keys)) or {}
	end
	local active, along, due, reasons, spoken, recalled = {}, {}, {}, {}, {}, false
	local mine, taken, told = {}, {}, false
	for n, key in ipairs(keys) do
		local i = from + 5*(n - 1)
		local tags = ARGV[i+4]
		if tags ~= '' and mates[n] then along[#along+1], along[#along+2] = n, mates[n] end
		if brief[n] and tags ~= '' then spoken[#spoken+1], spoken[#spoken+2] = key, said(spoke[n] or '', tags) end
		if not brief[n] then
			active[n] = '0'
		elseif not held[n] and string.byte(scores[n] or '0') == 45 and string.find(whys[n] or '', '|notifi', 1, true) then
			active[n] = '1' -- urgent already (below zero), and known to be
		else
			active[n] = held[n] and '2' or '1'
			local score, at = aim(tonumber(ARGV[i+1]), ARGV[i+2] == '1', floors[n])
			local noted = reason(ARGV[i+3], whys[n], at, scores[n], held[n])
			local ours = held[n] and held[n] == token -- the call is made a second time
			if ours or (open and left > 0 and not held[n] and score < 0) then
				if not ours then left = left - 1 end
				told = told or whys[n]
				active[n] = '3'
				mine[#mine+1] = key
				for _, part in ipairs({key, ms(at), noted or whys[n] or '', '0', brief[n]}) do taken[#taken+1] = part end
			elseif noted then
				reasons[#reasons+1], reasons[#reasons+2] = key, noted
			end
			if active[n] == '3' then
				due[#due+1], due[#due+2] = ms(now + lease), key
			elseif held[n] then
				if before(score, redis.call('HGET', q.again, key)) then
					redis.call('HSET', q.again, key, ms(score))
					recalled = true
				end
			elseif not scores[n] or score < tonumber(scores[n]) then
				due[#due+1], due[#due+2] = ms(score), key
			end
		end
	end
	if #reasons > 0 then redis.call('HSET', q.why, unpack(reasons)) end
	if #spoken > 0 then redis.call('HSET', KEYS[k+10], unpack(spoken)) end
	if #due > 0 then
		local first = tonumber(head(q))
		redis.call('ZADD', q.due, unpack(due))
		if #due > 2*#mine and (not first or first > now) then wake(q.due) end -- else all are awake
	end
	if #mine > 0 then
		local held, fails = {}, redis.call('HMGET', q.fails, unpack(mine))
		for n, key in ipairs(mine) do
			held[2*n-1], held[2*n] = key, token
			taken[5*n-1] = fails[n] or '0'
		end
		redis.call('HSET', q.held, unpack(held))
		redis.call('HDEL', q.floor, unpack(mine))
		if told then redis.call('HDEL', q.why, unpack(mine)) end
	end
	if recalled then wake(q.again) end
	return {table.concat(active), along, taken}
end
local out, from = {}, shards + 4
for n = 1, shards do
	local count = tonumber(ARGV[n])
	out[n] = markShard(11*(n - 1), from, count)
	from = from + 5*count
end
return out`)

// Mark makes users due in q at the marks' times, or leaves them due earlier.
// Users that are not monitored are left out; known counts the others. If a user's
// subscription spoke, those whose mailbox it covers too are made due along with it.
//
// Marks that come while Redis takes others are gathered and given to it together,
// each user once, so that a storm of notifications costs Redis no more than it
// has to.
func (s *Store) Mark(ctx context.Context, q ooo.Queue, marks ...ooo.Mark) (known int, err error) {
	if len(marks) == 0 {
		return 0, nil
	}
	g := s.gathers[q]
	r, first := g.join(marks)
	if first { // for all, so it goes on when this caller has left
		s.rounds.Go(func() {
			g.turns <- struct{}{}
			defer func() { <-g.turns }()
			g.leave(r)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTime)
			defer cancel()
			r.err = s.markAll(ctx, q, r)
			close(r.done)
		})
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for _, m := range marks {
		if r.marks[m.Key].known {
			known++
		}
	}
	return known, r.err
}

const (
	markTime  = 2500 * time.Millisecond
	mostMarks = 2000 // in one round
	markChunk = 500  // of one shard, in one call of the script

	// marksInFlight is how many rounds of a queue Redis has at once. With one alone
	// each mark would wait for half of the one before, with many nothing would come
	// together.
	marksInFlight = 2
)

// gather brings marks of one queue together.
type gather struct {
	turns chan struct{} // capacity marksInFlight: rounds that talk to Redis

	mu   sync.Mutex
	next *round // that takes marks still; guarded by mu
}

func newGather() *gather { return &gather{turns: make(chan struct{}, marksInFlight)} }

// round is marks that go to Redis together.
type round struct {
	marks map[ooo.Key]*gathered
	done  chan struct{} // closed when known and err are final
	err   error
}

// gathered is what all marks of one user amount to.
type gathered struct {
	ooo.Mark
	tags  string
	known bool
}

// join adds marks to the next round; first says that the caller has to see to it.
func (g *gather) join(marks []ooo.Mark) (r *round, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if first = g.next == nil; first {
		g.next = &round{marks: map[ooo.Key]*gathered{}, done: make(chan struct{})}
	}
	r = g.next
	for _, m := range marks {
		r.add(m)
	}
	if len(r.marks) >= mostMarks {
		g.next = nil
	}
	return r, first
}

// leave lets no more marks into r.
func (g *gather) leave(r *round) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == r {
		g.next = nil
	}
}

func (r *round) add(m ooo.Mark) {
	all, some := r.marks[m.Key]
	if !some {
		all = &gathered{Mark: m}
		r.marks[m.Key] = all
	}
	if m.At.IsZero() || !all.At.IsZero() && m.At.Before(all.At) {
		all.At = m.At
	}
	all.Urgent = all.Urgent || m.Urgent
	if m.Source == ooo.SourceNotification && all.Source != ooo.SourceNotification {
		all.Source, all.ID, all.Trace = m.Source, m.ID, m.Trace
	}
	if m.Spoke != "" && !strings.Contains(all.tags, m.Spoke) {
		all.tags = strings.TrimPrefix(all.tags+" "+m.Spoke, " ")
	}
}

// markAll gives a round to Redis, and then those who are marked along with it.
func (s *Store) markAll(ctx context.Context, q ooo.Queue, r *round) error {
	along, err := s.markSome(ctx, q, r)
	if err != nil || len(along) == 0 {
		return err
	}
	more := &round{marks: map[ooo.Key]*gathered{}}
	for _, m := range along {
		m.Spoke = "" // they have no mates of their own
		more.add(m)
	}
	_, err = s.markSome(ctx, q, more)
	return err
}

// share is the marks of one shard that one call of the script takes.
type share struct {
	shard int
	marks []*gathered
}

// markSome gives a round to Redis and returns who is to be marked along with it.
func (s *Store) markSome(ctx context.Context, q ooo.Queue, r *round) (along []ooo.Mark, err error) {
	calls := chunk(s, r.parts())
	now := s.shared()
	scripts, ahead := make([]call, len(calls)), make([]advance, len(calls))
	for i, parts := range calls {
		if q == ooo.ReadQueue {
			ahead[i] = s.desks[q].reserve(len(urgentKeys(parts)))
		}
		scripts[i] = markCall(q, parts, now, ahead[i])
	}
	answers, err := s.runAll(ctx, mark, scripts)
	for i, answer := range answers {
		list, _ := answer.([]any)
		var claims []ooo.Claim
		for n := range min(len(list), len(calls[i])) {
			mates, taken := s.marked(q, calls[i][n], list[n])
			along, claims = append(along, mates...), append(claims, taken...)
		}
		if answer == nil {
			s.unsure(ctx, q, ahead[i], urgentKeys(calls[i])...)
			continue
		}
		s.settle(ctx, ahead[i], claims...)
	}
	return along, err
}

// parts takes a round apart by shard.
func (r *round) parts() (parts []share) {
	open := map[int]int{} // share that takes more, by shard
	for key, m := range r.marks {
		shard := shardOf(key)
		at, some := open[shard]
		if !some || len(parts[at].marks) == markChunk {
			at = len(parts)
			open[shard] = at
			parts = append(parts, share{shard: shard})
		}
		parts[at].marks = append(parts[at].marks, m)
	}
	return parts
}

// urgentKeys are the users whose marks do not wait for others.
func urgentKeys(parts []share) (keys []ooo.Key) {
	for _, p := range parts {
		for _, m := range p.marks {
			if m.Urgent {
				keys = append(keys, m.Key)
			}
		}
	}
	return keys
}

func markCall(q ooo.Queue, parts []share, now time.Time, ahead advance) (c call) {
	for _, p := range parts {
		c.keys = append(append(c.keys, shardKeys(p.shard, q)...), matesKey(p.shard))
		c.args = append(c.args, len(p.marks))
	}
	c.args = append(c.args, ahead.token, ahead.lease.Milliseconds(), ahead.places)
	for _, p := range parts {
		for _, m := range p.marks {
			c.args = append(c.args, string(m.Key), toMS(m.At), flag(m.Urgent), why(m.Source, now, packTrace(m.Trace, m.ID)), m.tags)
		}
	}
	return c
}

// marked takes in what the script says of a share, and returns who goes along and
// who was claimed.
func (s *Store) marked(q ooo.Queue, p share, answer any) (along []ooo.Mark, taken []ooo.Claim) {
	list, _ := answer.([]any)
	if len(list) != 3 {
		return nil, nil
	}
	active, _ := list[0].(string)
	for n := range min(len(active), len(p.marks)) {
		p.marks[n].known = active[n] != '0'
	}
	if strings.Contains(active, "1") {
		s.boards[q].sooner(p.shard)
	}
	if strings.Contains(active, "2") {
		ring(s.boards[q].recall)
	}
	friends, _ := list[1].([]any)
	claims, _ := list[2].([]any)
	return mates(p.marks, friends), claimsOf(q, claims, "")
}

// mates returns the marks that go along with those that were sent: list is number
// of the mark from 1, keys; and so on.
func mates(sent []*gathered, list []any) (along []ooo.Mark) {
	for i := 0; i+1 < len(list); i += 2 {
		n, _ := list[i].(int64)
		keys, _ := list[i+1].(string)
		if n < 1 || int(n) > len(sent) {
			continue
		}
		for _, key := range strings.Fields(keys) {
			m := sent[n-1].Mark
			m.Key = ooo.Key(key)
			along = append(along, m)
		}
	}
	return along
}
