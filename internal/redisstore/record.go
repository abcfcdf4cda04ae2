package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"outlook-monitor/internal/ooo"
)

// identify writes who a user is in the directory.
//
//	KEYS   as userCall
//	ARGV   key, token of the claim in the read queue, object id, user principal
//	       name, display name
//	result 1, or -1 if the claim is lost
var identify = userScript([]ooo.Queue{ooo.ReadQueue, ooo.SubscribeQueue}, `
if not holds('read', ARGV[2]) or get('active') ~= '1' then return -1 end
if get('oid') ~= ARGV[3] then
	set('fp', '')
	if ARGV[3] ~= '' then mark(queues.subscribe, key, 0, false, '') end
end
set('oid', ARGV[3], 'upn', ARGV[4], 'name', ARGV[5])
redis.call('HSET', brief, key, get('oid') .. '\n' .. get('fp'))
return 1`)

// Identify notes who a user is in the directory; a zero person has to be looked
// up again.
func (s *Store) Identify(ctx context.Context, c ooo.Claim, p ooo.Person) error {
	defer s.nudge(c.Key, ooo.SubscribeQueue)
	return s.write(ctx, identify, c, string(p.ID), p.UserPrincipalName, p.DisplayName)
}

// unknown notes that a mailbox can't be read. Without a fingerprint the next
// good read is recorded whatever it says.
//
//	KEYS   as userCall
//	ARGV   key, token of the claim in the read queue, reason, at ms
//	result 1, or -1 if the claim is lost
var unknown = userScript([]ooo.Queue{ooo.ReadQueue}, `
if not holds('read', ARGV[2]) or get('active') ~= '1' then return -1 end
if get('cond') ~= 'unknown' or get('reason') ~= ARGV[3] then
	tell(ARGV[4], 'unknown', 'detail', ARGV[3])
	set('cond', 'unknown', 'reason', ARGV[3])
end
if get('fp') ~= '' then
	set('fp', '')
	redis.call('HSET', brief, key, get('oid') .. '\n')
end
return 1`)

// Unknown notes why a mailbox can't be read. Its last state stands.
func (s *Store) Unknown(ctx context.Context, c ooo.Claim, reason string, at time.Time) error {
	return s.write(ctx, unknown, c, reason, toMS(at))
}

// record writes what a look found. The window queue follows the setting: its
// due time is set, not merely moved earlier.
//
//	KEYS   as userCall
//	ARGV   key, token, queue of the claim, revision, setting, fingerprint, at ms,
//	       edge ms (0: none), changed 0|1, away 0|1, message, source,
//	       notification id, marked ms, traceparent, token ('': none) and lease ms
//	       of the one who would deliver it
//	result the sequence number, or -1 if the claim is lost or the record moved on,
//	       or a parcel as luaAttempt has it if that one is to deliver it
var record = userScript([]ooo.Queue{ooo.ReadQueue, ooo.WindowQueue, ooo.DeliverQueue}, luaAttempt+`
local from, at, edge = ARGV[3], ARGV[7], tonumber(ARGV[8])
local active, rev, cond, oid = several('active', 'rev', 'cond', 'oid')
if not holds(from, ARGV[2]) or active ~= '1' or rev ~= ARGV[4] then return -1 end
redis.call('HINCRBY', user, 'rev', 1)
if from ~= 'window' then -- the edge of a window is no reading
	if cond == 'unknown' then tell(at, 'known') end
	set('setting', ARGV[5], 'fp', ARGV[6], 'cond', 'watching', 'reason', '')
	redis.call('HSET', brief, key, oid .. '\n' .. ARGV[6])
	local q = queues.window
	if redis.call('HEXISTS', q.held, key) == 1 then
		mark(q, key, edge, false, '') -- whoever holds it finds the record moved on
	elseif edge == 0 then
		leave(q, key)
	else
		redis.call('ZADD', q.due, ms(edge), key)
		wake(q.due)
	end
end
if ARGV[9] == '0' then return tonumber(get('seq')) or 0 end
local seq = redis.call('HINCRBY', user, 'seq', 1)
if ARGV[12] == 'notification' then set('announced', ms(seq)) end
set('away', ARGV[10], 'msg', ARGV[11], 'changed', at, 'queued', at,
	'source', ARGV[12], 'marked', ARGV[14], 'trace', ARGV[15], 'dstate', 'pending')
if ARGV[12] == 'notification' then tell(ARGV[14], 'notification', 'source', ARGV[12], 'nid', ARGV[13]) end
tell(at, 'changed', 'source', ARGV[12], 'seq', ms(seq), 'away', ARGV[10], 'nid', ARGV[13], 'nat', ARGV[14])
if ARGV[16] ~= '' and take(queues.deliver, key, ARGV[16], ARGV[17]) then return attempt('') end
mark(queues.deliver, key, 0, false, '')
return seq`)

// Record notes what a look found, in one step with the history and the deliver
// queue, and returns the sequence number of the state. If the loop of this process
// that delivers has room, the step claims the user for it. It is [ooo.ErrStale] when
// the claim is lost or the record is no longer the one that was decided on.
func (s *Store) Record(ctx context.Context, c ooo.Claim, change ooo.Change) (int64, error) {
	setting, err := json.Marshal(change.Setting)
	if err != nil {
		return 0, fmt.Errorf("encode a setting: %w", err)
	}
	d := change.Decision
	next := ooo.Claim{Queue: ooo.DeliverQueue, Key: c.Key, Source: ooo.SourcePoll, Due: change.At}
	var ahead advance
	if d.Changed {
		ahead = s.desks[ooo.DeliverQueue].reserve(1)
	}
	answer, err := s.run(ctx, record, record.userCall(c.Key,
		c.Token, string(c.Queue), change.Revision, setting, change.Fingerprint, toMS(change.At),
		toMS(d.Edge), flag(d.Changed), flag(d.State.Away), d.State.Message, string(c.Source), c.SourceID, toMS(c.MarkedAt),
		change.Trace, ahead.token, ahead.lease.Milliseconds()))
	if parcel, ok := parcelOf(c.Key, answer); ok {
		next.Parcel = &parcel
		s.settle(ctx, ahead, next)
		s.nudge(c.Key, ooo.WindowQueue)
		return parcel.Sequence, nil
	}
	sequence, _ := answer.(int64)
	if err != nil || sequence < 0 {
		s.unsure(ctx, ooo.DeliverQueue, ahead, c.Key)
		return 0, cmp.Or(err, ooo.ErrStale)
	}
	s.settle(ctx, ahead)
	if s.nudge(c.Key, ooo.WindowQueue); d.Changed {
		s.nudge(c.Key, ooo.DeliverQueue)
	}
	return sequence, nil
}

// mostLate is how long after a change a notification may still be about it.
const mostLate = 10 * time.Minute

// announce notes that a change that something else noticed has been announced
// after all.
//
//	KEYS   as userCall
//	ARGV   key, token of the claim in the read queue, notification id, marked ms,
//	       most ms late
//	result how many ms late, or -1 if there is nothing that it could be about
var announce = userScript([]ooo.Queue{ooo.ReadQueue}, `
local changed, marked = tonumber(get('changed')) or 0, tonumber(ARGV[4])
if not holds('read', ARGV[2]) or get('active') ~= '1' or changed == 0 or get('announced') == get('seq') then return -1 end
-- One that came while the poll was at it was marked a moment before the change.
if get('source') ~= 'poll' or marked < changed - 10000 or marked - changed > tonumber(ARGV[5]) then return -1 end
set('announced', get('seq'))
tell(ms(now), 'notification', 'source', 'notification', 'seq', get('seq'), 'nid', ARGV[3], 'nat', ARGV[4])
return math.max(marked - changed, 0)`)

// Announced notes a notification that found nothing new. If the poll has seen a
// change shortly before, it is taken to be about that: late is how long after
// the change it came. Otherwise known is false.
func (s *Store) Announced(ctx context.Context, c ooo.Claim) (late time.Duration, known bool, err error) {
	answer, err := s.run(ctx, announce, announce.userCall(c.Key,
		c.Token, c.SourceID, toMS(c.MarkedAt), mostLate.Milliseconds()))
	ms, _ := answer.(int64)
	return time.Duration(ms) * time.Millisecond, err == nil && ms >= 0, err
}
