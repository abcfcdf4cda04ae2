package redisstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// A mailbox may be monitored under several addresses, whose users live in
// different shards. Who they are is kept twice, because no script may touch two
// slots: a set by object id, in the order of joining, says who owns the cover; and
// in the owner's shard, where its notifications arrive, lie the keys that they
// wake too. Both are hints: each entry is believed only if that user's record says
// the same. So they are changed by steps that may be done twice or cut short, and
// each user's next step mends them.

// join takes a user into the set of a mailbox, behind all others if it had left.
//
//	KEYS[1] mailbox   ARGV key
//	result key, score; and so on, in order
var join = queueScript(`
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) >= SHIFT then redis.call('ZADD', KEYS[1], ms(now), ARGV[1]) end
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')`)

// part puts a user behind all others of a mailbox: it has something there, and
// wants nothing any more.
//
//	KEYS[1] mailbox   ARGV key
//	result as of join
var part = queueScript(`
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then redis.call('ZADD', KEYS[1], ms(SHIFT + now), ARGV[1]) end
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')`)

// befriend notes that a user's notifications wake another one too, or no longer.
//
//	KEYS[1] mates   ARGV owner, mate, 1 or 0
var befriend = script{Script: redis.NewScript(`
local kept = {}
for key in string.gmatch(redis.call('HGET', KEYS[1], ARGV[1]) or '', '%S+') do
	if key ~= ARGV[2] then kept[#kept+1] = key end
end
if ARGV[3] == '1' then kept[#kept+1] = ARGV[2] end
if #kept == 0 then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], table.concat(kept, ' ')) end
return 1`)}

// belong notes which mailbox a user takes part in and who covers it.
//
//	KEYS   as userCall
//	ARGV   key, token of the claim in the subscribe queue, object id, key ('': itself)
//	result 1, or -1 if the claim is lost
var belong = userScript([]ooo.Queue{ooo.SubscribeQueue}, `
if not holds('subscribe', ARGV[2]) or redis.call('EXISTS', user) == 0 then return -1 end
set('box', ARGV[3], 'cover', ARGV[4])
return 1`)

// JoinMailbox has a user that is monitored take part in its mailbox, and no longer in
// the one that it had before, and records who owns the cover: the first that
// joined of those who are monitored. The error is [ooo.ErrStale] when the claim is
// lost. For a mailbox with one address it is one command, once it is recorded.
func (s *Store) JoinMailbox(ctx context.Context, c ooo.Claim, u ooo.User) (ooo.Mailbox, error) {
	id := u.Person.ID
	if u.Mailbox != "" && u.Mailbox != id {
		if err := s.LeaveMailbox(ctx, u); err != nil {
			return ooo.Mailbox{}, err
		}
	}
	answer, err := s.run(ctx, join, call{[]string{mailboxKey(id)}, []any{string(u.Key)}})
	if err != nil {
		return ooo.Mailbox{}, err
	}
	box, err := s.mailbox(ctx, id, u.Key, answer)
	if err != nil {
		return box, err
	}
	coveredBy := ooo.Key("")
	if box.Owner != u.Key {
		coveredBy = box.Owner
		if err := s.befriend(ctx, box.Owner, u.Key, true); err != nil {
			return box, err
		}
	}
	if u.Mailbox == id && u.CoveredBy == coveredBy {
		return box, nil
	}
	return box, s.write(ctx, belong, c, string(id), string(coveredBy))
}

// PartMailbox tells of the mailbox of a user that is no longer monitored. Its cover is
// another's by now, if there is one; what the user still has of it is to be taken
// away before [Store.LeaveMailbox].
func (s *Store) PartMailbox(ctx context.Context, u ooo.User) (ooo.Mailbox, error) {
	if u.Mailbox == "" {
		return ooo.Mailbox{}, nil
	}
	answer, err := s.run(ctx, part, call{[]string{mailboxKey(u.Mailbox)}, []any{string(u.Key)}})
	if err != nil {
		return ooo.Mailbox{}, err
	}
	return s.mailbox(ctx, u.Mailbox, u.Key, answer)
}

// LeaveMailbox ends a user's part in its mailbox.
func (s *Store) LeaveMailbox(ctx context.Context, u ooo.User) error {
	if u.Mailbox == "" {
		return nil
	}
	pipe := s.client.Pipeline()
	pipe.ZRem(ctx, mailboxKey(u.Mailbox), string(u.Key))
	rest := pipe.ZRange(ctx, mailboxKey(u.Mailbox), 0, -1)
	pipe.HDel(ctx, matesKey(shardOf(u.Key)), string(u.Key))
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	for _, other := range rest.Val() {
		if err := s.befriend(ctx, ooo.Key(other), u.Key, false); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) befriend(ctx context.Context, owner, mate ooo.Key, friends bool) error {
	_, err := s.run(ctx, befriend, call{[]string{matesKey(shardOf(owner))}, []any{string(owner), string(mate), flag(friends)}})
	return err
}

// mailbox says what an answer of join or part means to a user, by the records of
// the others. Whoever has none, or one of another mailbox, is taken out.
func (s *Store) mailbox(ctx context.Context, id ooo.ObjectID, key ooo.Key, answer any) (ooo.Mailbox, error) {
	members, _ := answer.([]any)
	box := ooo.Mailbox{}
	if len(members) == 2 && members[0] == any(string(key)) {
		box.Owner = key
		return box, nil
	}
	pipe := s.client.Pipeline()
	records := map[ooo.Key]*redis.SliceCmd{}
	var order []ooo.Key
	for i := 0; i+1 < len(members); i += 2 {
		other := ooo.Key(fmt.Sprint(members[i]))
		if order = append(order, other); other != key {
			records[other] = pipe.HMGet(ctx, userKey(other), "active", "oid")
		}
	}
	if len(records) > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return box, fmt.Errorf("redis: %w", err)
		}
	}
	var strangers []any
	for i, other := range order {
		score, _, _ := parseMS(fmt.Sprint(members[2*i+1]))
		left := score >= urgentShift
		if other != key {
			record := records[other].Val()
			switch {
			case record[0] == nil, record[0] == any("1") && record[1] != any(string(id)):
				strangers = append(strangers, string(other))
				continue
			case left, record[0] != any("1"):
				box.Leaving = true
				continue
			}
			box.Others = append(box.Others, other)
		}
		if box.Owner == "" && !left {
			box.Owner = other
		}
	}
	if len(strangers) > 0 {
		if err := s.client.ZRem(ctx, mailboxKey(id), strangers...).Err(); err != nil {
			return box, fmt.Errorf("redis: %w", err)
		}
	}
	return box, nil
}

// Named returns the records of keys, in any order, without those that don't
// exist.
func (s *Store) Named(ctx context.Context, keys []ooo.Key) ([]ooo.User, error) {
	var users []ooo.User
	for some := range slices.Chunk(keys, startChunk) {
		loaded, err := s.load(ctx, some)
		if err != nil {
			return nil, err
		}
		users = append(users, loaded...)
	}
	return users, nil
}
