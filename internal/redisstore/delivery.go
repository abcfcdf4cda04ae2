package redisstore

import (
	"context"
	"fmt"
	"strconv"

	"outlook-monitor/internal/ooo"
)

// luaAttempt notes an attempt to deliver the newest state, unless it is noted for the
// given sequence number. States between the last one that was tried and this one
// have been overtaken. attempt returns address, away, message, sequence, epoch,
// queued ms, attempt, source, marked ms, traceparent; or 1 if there is nothing to
// send. take claims a user for delivery, unless somebody has it or the mediator
// asked for a wait.
const luaAttempt = `
local function attempt(noted)
	local away, seq, done, tried, addr, msg, epoch, queued, source, marked, trace = several('away', 'seq', 'dseq', 'dtried',
		'addr', 'msg', 'epoch', 'queued', 'source', 'marked', 'trace')
	seq, done, tried = tonumber(seq) or 0, tonumber(done) or 0, tonumber(tried) or 0
	if away == '' or seq == done then return 1 end
	if tried ~= seq then
		for skipped = math.max(done + 1, tried, seq - 20), seq - 1 do
			tell(ms(now), 'overtaken', 'seq', ms(skipped))
		end
		set('dtried', ms(seq), 'dtries', '0')
	end
	local tries = redis.call('HINCRBY', user, 'dtries', ms(seq) == noted and 0 or 1)
	return {addr, away, msg, ms(seq), epoch, queued, ms(tries), source, marked, trace}
end
local function take(q, key, token, lease)
	local floor = tonumber(redis.call('HGET', q.floor, key) or '0')
	if floor > now or redis.call('HSETNX', q.held, key, token) == 0 then return false end
	redis.call('ZADD', q.due, ms(now + lease), key)
	redis.call('HDEL', q.floor, key)
	wake(q.due) -- so that others know when the lease ends
	return true
end
`

// begin notes an attempt to deliver the newest state.
//
//	KEYS   as userCall
//	ARGV   key, token of the claim in the deliver queue, sequence number of the
//	       attempt that is noted already ('': none)
//	result -1 if the claim is lost, 0 if the user is not active, else as luaAttempt
var begin = userScript([]ooo.Queue{ooo.DeliverQueue}, luaAttempt+`
if not holds('deliver', ARGV[2]) then return -1 end
if get('active') ~= '1' then return 0 end
return attempt(ARGV[3])`)

// Begin returns the newest state and notes the attempt; send is false when the
// mediator has acknowledged it already. An attempt at the claim's own parcel, which
// was not made, is noted already. The error is [ooo.ErrStale] when the
// claim is lost, [ooo.ErrNotMonitored] when the user is no longer monitored.
func (s *Store) Begin(ctx context.Context, c ooo.Claim) (parcel ooo.Parcel, send bool, err error) {
	noted := ""
	if c.Parcel != nil {
		noted = strconv.FormatInt(c.Parcel.Sequence, 10)
	}
	answer, err := s.run(ctx, begin, begin.userCall(c.Key, c.Token, noted))
	if err != nil {
		return ooo.Parcel{}, false, err
	}
	switch answer {
	case int64(-1):
		return ooo.Parcel{}, false, ooo.ErrStale
	case int64(0):
		return ooo.Parcel{}, false, ooo.ErrNotMonitored
	case int64(1):
		return ooo.Parcel{}, false, nil
	}
	parcel, send = parcelOf(c.Key, answer)
	if !send {
		err = fmt.Errorf("redis: begin answered %T", answer)
	}
	return parcel, send, err
}

// parcelOf reads what luaAttempt returns, if answer is that.
func parcelOf(key ooo.Key, answer any) (ooo.Parcel, bool) {
	fields, ok := answer.([]any)
	if !ok || len(fields) != 10 {
		return ooo.Parcel{}, false
	}
	text := func(i int) string { t, _ := fields[i].(string); return t }
	number := func(i int) int64 { n, _ := strconv.ParseInt(text(i), 10, 64); return n }
	return ooo.Parcel{
		Key: key, Address: text(0),
		State:     ooo.State{Away: text(1) == "1", Message: text(2)},
		Sequence:  number(3),
		WebhookID: "msg_" + text(4) + "_" + text(3),
		ChangedAt: fromMS(number(5)), Attempt: int(number(6)),
		Source: ooo.Source(text(7)), MarkedAt: fromMS(number(8)), Trace: text(9),
	}, true
}

// finish notes how an attempt ended and gives the claim back. Of a row of
// failures that are no refusals the history tells the 1st, 2nd, 4th, 8th and so
// on, or a long outage would push everything else out.
//
//	KEYS   as userCall
//	ARGV   key, token of the claim in the deliver queue, sequence, state, error,
//	       next ms, floor ms, attempt, webhook id
//	result 1, or -1 if the claim is lost
var finish = userScript([]ooo.Queue{ooo.DeliverQueue}, `
if not holds('deliver', ARGV[2]) then return -1 end
local newest, epoch, active = several('seq', 'epoch', 'active')
local seq, next = tonumber(ARGV[3]), tonumber(ARGV[6])
newest = tonumber(newest) or 0
-- A call that began before the user was stopped and started anew says nothing.
local ours = ARGV[9] == 'msg_' .. epoch .. '_' .. ARGV[3]
active = ours and active == '1'
if active and ARGV[4] == 'delivered' then
	set('dseq', ARGV[3], 'dat', ms(now), 'derr', '')
	tell(ms(now), 'delivered', 'seq', ARGV[3], 'attempt', ARGV[8], 'wid', ARGV[9])
elseif active then
	local attempt = tonumber(ARGV[8])
	while attempt > 1 and attempt % 2 == 0 do attempt = attempt / 2 end
	local kind = ARGV[4] == 'refused' and 'refused' or 'failed'
	if attempt == 1 or kind == 'refused' then tell(ms(now), kind, 'seq', ARGV[3], 'attempt', ARGV[8], 'wid', ARGV[9], 'detail', ARGV[5]) end
	set('derr', ARGV[5])
end
if newest > seq or not ours then
	next = math.max(now, tonumber(ARGV[7]))
elseif active then
	set('dstate', ARGV[4], 'dnext', ARGV[6])
end
release(queues.deliver, key, next, tonumber(ARGV[7]))
if redis.call('ZSCORE', queues.deliver.due, key) then wake(queues.deliver.due) end
return 1`)

// Finish notes how an attempt ended and gives the claim back. The error is
// [ooo.ErrStale] when the claim is lost.
func (s *Store) Finish(ctx context.Context, c ooo.Claim, r ooo.Receipt) error {
	next, floor := toMS(r.Next), int64(0)
	if r.State == ooo.DeliveryDelivered {
		next = 0
	}
	if r.Floor {
		floor = next
	}
	defer s.nudge(c.Key, ooo.DeliverQueue)
	return s.write(ctx, finish, c, r.Parcel.Sequence, string(r.State), r.Error, next, floor,
		r.Parcel.Attempt, r.Parcel.WebhookID)
}
