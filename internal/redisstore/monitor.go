package redisstore

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
)

// start makes a user active, or refreshes one that is.
//
//	KEYS   as userCall
//	ARGV   key, address, folded address, object id ('': not looked up), user
//	       principal name, display name, epoch
//	result 1 if it was active before, 0 if not
var start = userScript([]ooo.Queue{ooo.ReadQueue, ooo.SubscribeQueue, ooo.DeliverQueue}, `
local was = get('active') == '1'
local known = get('oid')
set('addr', ARGV[2], 'asked', ms(now))
if ARGV[4] ~= '' then
	set('oid', ARGV[4], 'upn', ARGV[5], 'name', ARGV[6])
	if known ~= ARGV[4] then set('fp', '') end
end
local why = 'request|' .. ms(now) .. '|'
if not was then
	drop('setting', 'away', 'msg', 'reason', 'changed', 'dat', 'dnext', 'derr')
	set('active', '1', 'cond', 'pending', 'fp', '', 'epoch', ARGV[7], 'dstate', 'none', 'dtries', '0')
	redis.call('HINCRBY', user, 'rev', 1)
	redis.call('ZADD', names, 0, ARGV[3])
	tell(ms(now), 'started', 'source', 'request')
end
redis.call('HSET', brief, key, get('oid') .. '\n' .. get('fp'))
if not was or get('oid') ~= known or get('cond') == 'unknown' or not redis.call('ZSCORE', queues.read.due, key) then mark(queues.read, key, 0, true, why) end
if get('oid') ~= '' and (not was or get('oid') ~= known) then mark(queues.subscribe, key, 0, false, '') end
if was and get('dstate') == 'refused' then mark(queues.deliver, key, 0, false, '') end
return was and 1 or 0`)

// Start begins to monitor the user with this address, spelled as the mediator
// spells it; a zero person is looked up later. One that is monitored already
// keeps its state: only the spelling is taken over, and what waits after a
// refusal or an unreadable mailbox is tried at once.
func (s *Store) Start(ctx context.Context, address string, person ooo.Person) (ooo.Started, error) {
	key := ooo.KeyOf(address)
	answer, err := s.run(ctx, start, start.userCall(key,
		strings.TrimSpace(address), ooo.FoldAddress(address),
		string(person.ID), person.UserPrincipalName, person.DisplayName, rand.Text()[:16]))
	s.nudge(key, start.queues...) // after an error too: it may have been carried out
	if err != nil {
		return ooo.Started{}, err
	}
	user, err := s.User(ctx, key)
	return ooo.Started{Key: key, Already: answer == int64(1), Found: user.Person.ID != "", User: user}, err
}

// startChunk is how many users are started in one round trip.
const startChunk = 500

// StartAll is [Store.Start] for many users who are looked up later. It is done
// once all are stored; after an error some are.
func (s *Store) StartAll(ctx context.Context, addresses []string) error {
	defer func() { // after an error too
		for _, q := range start.queues {
			s.boards[q].forget()
		}
	}()
	for some := range slices.Chunk(addresses, startChunk) {
		calls := make([]call, len(some))
		for i, address := range some {
			key := ooo.KeyOf(address)
			calls[i] = start.userCall(key,
				strings.TrimSpace(address), ooo.FoldAddress(address), "", "", "", rand.Text()[:16])
		}
		if _, err := s.runAll(ctx, start, calls); err != nil {
			return err
		}
	}
	return nil
}

// stop makes a user inactive. What is in hand ends without a trace; the
// subscriptions remain to be deleted. The feed alone tells of it, with the name:
// record and history are soon gone.
//
//	KEYS   as userCall
//	ARGV   key, folded address, ms (0: any)
//	result 1 if it was active and not started at or after that time, 0 if not
var stop = userScript([]ooo.Queue{ooo.ReadQueue, ooo.WindowQueue, ooo.DeliverQueue, ooo.SubscribeQueue}, `
if get('active') ~= '1' then return 0 end
if ARGV[3] ~= '0' and (tonumber(get('asked')) or 0) >= tonumber(ARGV[3]) then return 0 end
set('active', '0')
redis.call('HDEL', brief, key)
redis.call('HDEL', checked, key)
redis.call('HDEL', spoke, key)
redis.call('ZREM', names, ARGV[2])
for _, name in ipairs({'read', 'window', 'deliver'}) do
	local q = queues[name]
	if redis.call('HEXISTS', q.held, key) == 1 then redis.call('HSET', q.again, key, 'x') else leave(q, key) end
end
mark(queues.subscribe, key, 0, false, '')
redis.call('XADD', feed, 'MAXLEN', '~', '200', '*', 'key', key, 'at', ms(now), 'kind', 'stopped', 'source', 'request', 'addr', get('addr'), 'name', get('name'))
return 1`)

// Stop ends the monitoring of a user. The error is [ooo.ErrNotMonitored] if it
// was not monitored.
func (s *Store) Stop(ctx context.Context, key ooo.Key) error {
	return s.StopBefore(ctx, key, time.Time{})
}

// StopBefore is [Store.Stop] for what was asked for at the given time, by the
// clock of this process: a user that was started at or after it, by whichever
// replica, is left alone, and the error is [ooo.ErrNotMonitored] too. The zero time
// is now.
func (s *Store) StopBefore(ctx context.Context, key ooo.Key, at time.Time) error {
	user, err := s.User(ctx, key)
	if err != nil {
		return err
	}
	answer, err := s.run(ctx, stop, stop.userCall(key, ooo.FoldAddress(user.Address), s.theirs(at)))
	if err == nil && answer != int64(1) {
		return ooo.ErrNotMonitored
	}
	s.nudge(key, ooo.SubscribeQueue)
	return err
}

// forget deletes the record of a user who left, unless it was started again.
//
//	KEYS   as userCall
//	ARGV   key, token of the claim in the subscribe queue
//	result 1, or -1 if the claim is lost
var forget = userScript([]ooo.Queue{ooo.SubscribeQueue}, `
if not holds('subscribe', ARGV[2]) then return -1 end
if get('active') ~= '1' then redis.call('DEL', user, history) end
return 1`)

// Forget deletes what is left of a user who is no longer monitored.
func (s *Store) Forget(ctx context.Context, c ooo.Claim) error {
	return s.write(ctx, forget, c)
}

// resend gives the state a new sequence number.
//
//	KEYS   as userCall
//	ARGV   key
//	result 1, or 0 if the user is not active
var resend = userScript([]ooo.Queue{ooo.ReadQueue, ooo.DeliverQueue}, `
if get('active') ~= '1' then return 0 end
if get('away') == '' then
	mark(queues.read, key, 0, true, 'request|' .. ms(now) .. '|')
	return 1
end
redis.call('HINCRBY', user, 'rev', 1)
local seq = redis.call('HINCRBY', user, 'seq', 1)
set('source', 'request', 'marked', '0', 'trace', '', 'queued', ms(now), 'dstate', 'pending')
tell(ms(now), 'resend', 'source', 'request', 'seq', ms(seq), 'away', get('away'))
mark(queues.deliver, key, 0, false, '')
return 1`)

// Resend has the present state delivered again under a new webhook-id. A user
// without a state yet is read instead. The error is [ooo.ErrNotMonitored] if the
// user is not monitored.
func (s *Store) Resend(ctx context.Context, key ooo.Key) error {
	answer, err := s.run(ctx, resend, resend.userCall(key))
	if err == nil && answer != int64(1) {
		return ooo.ErrNotMonitored
	}
	s.nudge(key, ooo.DeliverQueue, ooo.ReadQueue)
	return err
}

// write runs a user script on behalf of a claim, which returns -1 if the claim
// is lost.
func (s *Store) write(ctx context.Context, sc script, c ooo.Claim, args ...any) error {
	answer, err := s.run(ctx, sc, sc.userCall(c.Key, append([]any{c.Token}, args...)...))
	if err == nil && answer == int64(-1) {
		return ooo.ErrStale
	}
	return err
}
