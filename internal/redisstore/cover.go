package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
)

// saveSubscription writes one subscription of a user.
//
//	KEYS   as userCall
//	ARGV   key, token of the claim in the subscribe queue, field, JSON ('': delete)
//	result 1, or -1 if the claim is lost
var saveSubscription = userScript([]ooo.Queue{ooo.SubscribeQueue}, `
if not holds('subscribe', ARGV[2]) or redis.call('EXISTS', user) == 0 then return -1 end
if ARGV[4] == '' then drop(ARGV[3]) else set(ARGV[3], ARGV[4]) end
return 1`)

// SaveSubscription notes how a subscription stands. The error is [ooo.ErrStale]
// when the claim is lost.
func (s *Store) SaveSubscription(ctx context.Context, c ooo.Claim, sub ooo.Subscription) error {
	sub.SpokeAt = time.Time{}
	body, err := json.Marshal(sub)
	if err != nil {
		return fmt.Errorf("encode a subscription: %w", err)
	}
	return s.write(ctx, saveSubscription, c, subscriptionPrefix+sub.Resource, body)
}

// DropSubscription forgets a user's subscription to a resource. The error is
// [ooo.ErrStale] when the claim is lost.
func (s *Store) DropSubscription(ctx context.Context, c ooo.Claim, resource string) error {
	return s.write(ctx, saveSubscription, c, subscriptionPrefix+resource, "")
}

// mostLifecycle bounds the events noted of one user: whoever knows a clientState
// could send any number of subscription ids.
const mostLifecycle = 32

// heard notes lifecycle events of an active user.
//
//	KEYS   as userCall
//	ARGV   key, how many may be noted, then field, at ms; and so on
//	result 1 if the user is active, 0 if not
var heard = userScript([]ooo.Queue{ooo.SubscribeQueue}, `
if get('active') ~= '1' then return 0 end
local noted = 0
for _, field in ipairs(redis.call('HKEYS', user)) do
	if string.sub(field, 1, 5) == 'life:' then noted = noted + 1 end
end
for i = 3, #ARGV - 1, 2 do
	if noted < tonumber(ARGV[2]) or redis.call('HEXISTS', user, ARGV[i]) == 1 then
		noted = noted + redis.call('HSET', user, ARGV[i], ARGV[i+1])
	end
end
mark(queues.subscribe, key, 0, true, '')
return 1`)

// Heard notes lifecycle events and makes the user due for its cover. A user that
// is not monitored is left out.
func (s *Store) Heard(ctx context.Context, key ooo.Key, events ...ooo.Lifecycle) error {
	args := []any{mostLifecycle}
	for _, e := range events {
		if len(e.SubscriptionID) <= 64 && !strings.ContainsAny(string(e.Kind), ": ") {
			args = append(args, lifecycleField(e), toMS(e.At))
		}
	}
	_, err := s.run(ctx, heard, heard.userCall(key, args...))
	s.nudge(key, ooo.SubscribeQueue)
	return err
}

func lifecycleField(e ooo.Lifecycle) string {
	return lifecyclePrefix + string(e.Kind) + ":" + string(e.SubscriptionID)
}

// clearLifecycle deletes events that were acted on, unless they came again.
//
//	KEYS   as userCall
//	ARGV   key, token of the claim in the subscribe queue, then field, at ms; and so on
//	result 1, or -1 if the claim is lost
var clearLifecycle = userScript([]ooo.Queue{ooo.SubscribeQueue}, `
if not holds('subscribe', ARGV[2]) then return -1 end
for i = 3, #ARGV - 1, 2 do
	if get(ARGV[i]) == ARGV[i+1] then redis.call('HDEL', user, ARGV[i]) end
end
return 1`)

// ClearLifecycle forgets events that were acted on. The error is [ooo.ErrStale]
// when the claim is lost.
func (s *Store) ClearLifecycle(ctx context.Context, c ooo.Claim, events ...ooo.Lifecycle) error {
	var args []any
	for _, e := range events {
		args = append(args, lifecycleField(e), toMS(e.At))
	}
	return s.write(ctx, clearLifecycle, c, args...)
}
