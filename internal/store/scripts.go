package store

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Every script may be repeated, and last writes the value by which it recognizes a repetition.
// If a script fails midway, because an ACL denies a command, repeating it completes it.

// round writes the beat of a replica, unless the table has a later one, and returns the table
// as it was before.
//
//	KEYS[1] table   ARGV field, beat
//	returns all fields with their values
const round = `
local before = redis.call('HGETALL', KEYS[1])
local function number(beat) return tonumber(string.match(beat, '^%d*')) or -1 end
local last = -1
for i = 1, #before, 2 do
	if before[i] == ARGV[1] then last = number(before[i + 1]) end
end
if last < number(ARGV[2]) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return before`

// swap replaces fields of a hash if each has its old value, and sets other fields with them. If
// each already has its new value, it is a repetition and sets nothing.
//
//	KEYS[1] hash
//	ARGV number of swaps; field, old, new of each ('' for none); field, value of each other
//	field to set
//	returns 1 if all swapped fields have their new values, 0 if nothing was written
var swap = redis.NewScript(`
local last, fits, done = 1 + 3 * tonumber(ARGV[1]), true, true
for i = 2, last, 3 do
	local value = redis.call('HGET', KEYS[1], ARGV[i]) or ''
	fits = fits and value == ARGV[i + 1]
	done = done and value == ARGV[i + 2]
end
if not fits then return done and 1 or 0 end
for i = last + 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = 2, last, 3 do
	if ARGV[i + 2] == '' then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
for i = 2, last, 3 do
	if ARGV[i + 2] ~= '' then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2]) end
end
return 1`)

// swapTagged replaces fields of a hash, each if its tag is the expected one, and first sets a
// field of another hash. A field that already has its new value is a repetition.
//
//	KEYS hash, other hash
//	ARGV for each: field, tag ('' for none), new value ('' to delete it), field of the other
//	hash ('' for none), its value
//	returns for each: 1 if the field has its new value, 0 if nothing was written
var swapTagged = redis.NewScript(`
local answers = {}
for i = 1, #ARGV, 5 do
	local field, tag, new, other = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
	local value = redis.call('HGET', KEYS[1], field) or ''
	local fits = string.match(value, '^[^:]*') == tag
	if fits and other ~= '' then redis.call('HSET', KEYS[2], other, ARGV[i + 4]) end
	if fits and new == '' then redis.call('HDEL', KEYS[1], field) end
	if fits and new ~= '' then redis.call('HSET', KEYS[1], field, new) end
	table.insert(answers, (fits or value == new) and 1 or 0)
end
return answers`)

// save writes a record and the rest of a [Save], if the table has the lease and the version in
// Redis is the predecessor. A removed record leaves no version to compare, so a repeated removal
// is rejected, as if Redis had lost the record. If it then overwrites, it is not counted again.
//
//	KEYS table, records, rows, wants, hints, feed; then histories
//	ARGV lease field, lease, saves field, id, version, record ('' to remove it), 1 to overwrite
//	any lower version, length of a history, length of the feed; then lists, each after its length: removed address · address, row · new hint,
//	value · index in KEYS of a history to delete · index in KEYS of a history (0: none), event,
//	address, name · address, tag of its wish, new wish ('' to delete it) · done hint, tag
//	returns saved, same (a repetition: nothing was written), owner or version (rejected)
var save = redis.NewScript(`
local n = 0
local function arg() n = n + 1 return ARGV[n] end
local function each(f) for _ = 1, tonumber(arg()) do f() end end
local function tag(value) return string.match(value or '', '^[^:]*') end
local owners, records, rows, wants, hints, feed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local field, lease, saves = arg(), arg(), arg()
if redis.call('HGET', owners, field) ~= lease then return 'owner' end

local id, version, record, overwrite = arg(), tonumber(arg()), arg(), arg() == '1'
local historyLength, feedLength = arg(), arg()
local found = redis.call('HGET', records, id)
local stored = 0 -- there is no record
if found then stored = tonumber(tag(found)) or -1 end -- it can't be read
if found == record or (overwrite and stored == version) then return 'same' end
if stored ~= version - 1 and not (overwrite and stored < version) then return 'version' end

each(function()
	local address = arg()
	local row = redis.call('HGET', rows, address) or ''
	if string.sub(row, 1, #id + 1) == id .. '\t' then redis.call('HDEL', rows, address) end
end)
each(function() redis.call('HSET', rows, arg(), arg()) end)
each(function() redis.call('HSET', hints, arg(), arg()) end)
each(function() redis.call('DEL', KEYS[tonumber(arg())]) end)
each(function()
	local history, event, address, name = KEYS[tonumber(arg())], arg(), arg(), arg()
	if history then redis.call('XADD', history, 'MAXLEN', '~', historyLength, '*', 'e', event) end
	redis.call('XADD', feed, 'MAXLEN', '~', feedLength, '*', 'e', event, 'a', address, 'n', name)
end)
each(function()
	local address, nonce, wish = arg(), arg(), arg()
	if tag(redis.call('HGET', wants, address)) ~= nonce then return end
	if wish == '' then redis.call('HDEL', wants, address) else redis.call('HSET', wants, address, wish) end
end)
each(function()
	local hint, nonce = arg(), arg()
	if tag(redis.call('HGET', hints, hint)) == nonce then redis.call('HDEL', hints, hint) end
end)
if found or record ~= '' or version == 1 then redis.call('HINCRBY', owners, saves, 1) end
if record == '' then redis.call('HDEL', records, id) else redis.call('HSET', records, id, record) end
return 'saved'`)

// unlock deletes a lock if the holder still has it.
//
//	KEYS[1] lock   ARGV[1] holder
//	returns 1
var unlock = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`)

// probe tries the commands that the store uses, in scripts or on their own.
//
//	KEYS hash, stream, string; all are deleted at the end
//	returns command and error of each that failed
var probe = redis.NewScript(`
local hash, stream, text = KEYS[1], KEYS[2], KEYS[3]
local failed = {}
for _, command in ipairs({
	{'HSET', hash, 'a', '1'}, {'HINCRBY', hash, 'a', 1}, {'HGET', hash, 'a'}, {'HMGET', hash, 'a'}, {'HGETALL', hash}, {'HDEL', hash, 'a'},
	{'XADD', stream, 'MAXLEN', '~', 1, '*', 'e', '1'}, {'XRANGE', stream, '-', '+'}, {'XREVRANGE', stream, '+', '-'},
	{'SET', text, '1', 'PX', 1000, 'NX'}, {'GET', text}, {'PEXPIRE', text, 1000}, {'DEL', hash, stream, text},
}) do
	local answer = redis.pcall(unpack(command))
	if type(answer) == 'table' and answer.err then
		table.insert(failed, command[1])
		table.insert(failed, answer.err)
	end
end
return failed`)

// run runs a script by EVALSHA, or by EVAL if Redis does not know it yet.
func (s *Store) run(ctx context.Context, script *redis.Script, keys []string, args ...any) (any, error) {
	answer, err := script.Run(ctx, s.client, keys, args...).Result()
	return answer, translate(err)
}
