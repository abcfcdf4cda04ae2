package redisstore

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// What is asked about all users at once is kept a second time: a line for each
// active user, all lines of a shard in one hash. To read 1,600 lines costs Redis
// a tenth of 1,600 records. Every script that writes a record writes its line too.
// The hash may be lost or deleted: whoever looks makes the lines that are missing,
// and it ends by itself now and then, so that a line that something else left
// behind does not stay.

// luaDigest makes the line of a record. digest returns
//
//	condition|away|delivery|own (in the directory, and covered by nobody else),
//	a tab, queued ms of what is pending, a tab,
//	for each subscription: resource, a tab, state, a space, its end, a tab;
//	a line feed, the address, a line feed, the name, both in lower case
//
// complete makes up to 400 missing lines of a shard and says whether all are there.
const luaDigest = `
local function digest(user)
	local f = redis.call('HMGET', user, 'cond', 'away', 'dstate', 'oid', 'cover', 'queued', 'addr', 'name')
	for i = 1, 8 do f[i] = f[i] or '' end
	local own = f[4] ~= '' and f[5] == '' and 'own' or ''
	local parts = {f[1] .. '|' .. f[2] .. '|' .. f[3] .. '|' .. own, f[3] == 'pending' and f[6] or ''}
	for _, field in ipairs(redis.call('HKEYS', user)) do
		if string.sub(field, 1, 4) == 'sub:' then
			local sub = redis.call('HGET', user, field)
			parts[#parts+1] = string.sub(field, 5)
			parts[#parts+1] = (string.match(sub, '"State":"(%a+)"') or '') .. ' ' .. (string.match(sub, '"ExpiresAt":"([^"]+)"') or '')
		end
	end
	return table.concat(parts, '\t') .. '\t\n' .. string.lower(f[7]) .. '\n' .. string.lower(f[8])
end
local function complete(digests, brief, life)
	if redis.call('PTTL', digests) == -1 then redis.call('PEXPIRE', digests, life) end
	if redis.call('HLEN', digests) == redis.call('HLEN', brief) then return true end
	local prefix, there, made = string.sub(brief, 1, #brief - 5) .. 'u:', {}, {}
	for _, key in ipairs(redis.call('HKEYS', digests)) do there[key] = true end
	for _, key in ipairs(redis.call('HKEYS', brief)) do
		if not there[key] and #made < 800 then made[#made+1], made[#made+2] = key, digest(prefix .. key) end
		there[key] = nil
	end
	for key in pairs(there) do redis.call('HDEL', digests, key) end
	if #made > 0 then redis.call('HSET', digests, unpack(made)) end
	return redis.call('HLEN', digests) == redis.call('HLEN', brief)
end
`

// digestScript is a script on the lines of a shard; see overlook.
func digestScript(body string) script {
	return script{Script: redis.NewScript(luaDigest + "if not complete(KEYS[1], KEYS[2], ARGV[1]) then return 0 end\n" + body)}
}

// digestLife is how long lines are believed, up to twice as long: not all shards
// are to begin anew at once.
const digestLife = time.Hour

// overlook runs a script on the lines of a shard, which answers 0 as long as some
// are missing.
//
//	KEYS[1] digest   KEYS[2] brief   KEYS[3…] keys
//	ARGV[1] life of the lines in ms  ARGV[2…] args
func (s *Store) overlook(ctx context.Context, sc script, shard int, keys []string, args []any) ([]any, error) {
	keys = append([]string{digestKey(shard), briefKey(shard)}, keys...)
	args = append([]any{(digestLife + rand.N(digestLife)).Milliseconds()}, args...)
	for {
		answer, err := s.run(ctx, sc, call{keys, args})
		if err != nil {
			return nil, err
		}
		if all, ok := answer.([]any); ok {
			return all, nil
		}
	}
}
