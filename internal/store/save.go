package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// save writes a record and all that goes with it, if the lease is ours and the
// version follows on that of Redis. A removed record leaves nothing to compare: that
// there is none is then taken for a repetition. A history keeps about 200 entries, the
// feed about 3000.
//
//	KEYS table, records, rows, wants, hints, feed; then histories
//	ARGV field and text of the lease, field of the saves, id, version, record ('' to
//	remove it), 1 to overwrite any older version; then lists, each after its length:
//	addresses that left · address, row · history (number of its key), event, address,
//	name · histories that go (numbers) · hint, tag of those carried out · hint, value ·
//	address, tag of its wish, new one ('' for none)
//	returns saved, same (nothing was done, Redis has it), owner, version
var save = redis.NewScript(`
local n = 0
local function arg() n = n + 1 return ARGV[n] end
local function each(f) for _ = 1, tonumber(arg()) do f() end end
local function tag(value) return string.match(value or '', '^[^:]*') end
local owners, records, rows, wants, hints, feed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local field, lease, saves = arg(), arg(), arg()
if redis.call('HGET', owners, field) ~= lease then return 'owner' end

local id, version, record, overwrite = arg(), tonumber(arg()), arg(), arg() == '1'
local found = redis.call('HGET', records, id)
local older = tonumber(tag(found)) or 0
if found == record or (overwrite and older == version) then return 'same' end
if not found and record == '' and version > 1 then return 'same' end
if older ~= version - 1 and not (overwrite and older < version) then return 'version' end

if record == '' then redis.call('HDEL', records, id) else redis.call('HSET', records, id, record) end
each(function()
	local address = arg()
	local row = redis.call('HGET', rows, address) or ''
	if string.sub(row, 1, #id + 1) == id .. '\t' then redis.call('HDEL', rows, address) end
end)
each(function() redis.call('HSET', rows, arg(), arg()) end)
each(function()
	local history, event, address, name = KEYS[tonumber(arg())], arg(), arg(), arg()
	redis.call('XADD', history, 'MAXLEN', '~', 200, '*', 'e', event)
	redis.call('XADD', feed, 'MAXLEN', '~', 3000, '*', 'e', event, 'a', address, 'n', name)
end)
each(function() redis.call('DEL', KEYS[tonumber(arg())]) end)
each(function()
	local hint, nonce = arg(), arg()
	if tag(redis.call('HGET', hints, hint)) == nonce then redis.call('HDEL', hints, hint) end
end)
each(function() redis.call('HSET', hints, arg(), arg()) end)
each(function()
	local address, nonce, wish = arg(), arg(), arg()
	if tag(redis.call('HGET', wants, address)) ~= nonce then return end
	if wish == '' then redis.call('HDEL', wants, address) else redis.call('HSET', wants, address, wish) end
end)
redis.call('HINCRBY', owners, saves, 1)
return 'saved'`)

// Save writes a record with all that goes with it, or nothing. It is nil if that was
// carried out, now or by a save that was the same. The error is [ooo.ErrNotOwner] if
// the table names another lease, and [ErrVersion] if the record in Redis is not the
// one that this follows on; of an Overwrite, if it is a newer one. After any other
// error the outcome is not known: repeat the save as it is.
//
// Each save that is carried out counts for the partition, a repetition does not.
func (s *Store) Save(ctx context.Context, sv Save) error {
	keys, args, err := encodeSave(sv)
	if err != nil {
		return err
	}
	answer, err := s.run(ctx, save, keys, args...)
	if err != nil {
		return err
	}
	switch answer {
	case "owner":
		return ooo.ErrNotOwner
	case "version":
		return ErrVersion
	}
	s.announce(ctx, sv.Leave)
	return nil
}

// encodeSave returns the keys and arguments of the script.
func encodeSave(sv Save) (keys []string, args []any, err error) {
	m := sv.Record
	p := m.ID.Partition()
	keys = []string{ownersKey, recordsKey(p), rowsKey(p), wantsKey, hintsKey, feedKey}
	histories := map[string]int{}
	history := func(address string) int {
		key := historyKey(address)
		if histories[key] == 0 {
			keys = append(keys, key)
			histories[key] = len(keys)
		}
		return histories[key]
	}

	record := ""
	left := sv.Left
	var rows []any
	if sv.Remove {
		for i := range m.Addresses {
			left = append(left[:len(left):len(left)], m.Addresses[i].Folded())
		}
	} else {
		text, err := json.Marshal(m)
		if err != nil {
			return nil, nil, fmt.Errorf("encode record: %w", err)
		}
		record = tagged(strconv.FormatInt(m.Version, 10), text)
		for i := range m.Addresses {
			rows = append(rows, m.Addresses[i].Folded(), encodeSummary(m.Summary(&m.Addresses[i])))
		}
	}
	args = []any{LeaseField(p), sv.Lease.String(), SavesField(p), string(m.ID), m.Version, record, sv.Overwrite, len(left)}
	for _, address := range left {
		args = append(args, ooo.FoldAddress(address))
	}
	args = append(append(args, len(rows)/2), rows...)
	args = append(args, len(sv.Events))
	for _, e := range sv.Events {
		text, err := encodeEvent(e)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, history(e.Address), text, e.Address, e.Name)
	}
	args = append(args, len(sv.Forget))
	for _, address := range sv.Forget {
		args = append(args, history(address))
	}
	args = append(args, len(sv.Done))
	for _, h := range sv.Done {
		args = append(args, hintField(h), h.Nonce)
	}
	args = append(args, len(sv.Leave))
	for _, h := range sv.Leave {
		value, err := encodeHint(h)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, hintField(h), value)
	}
	args = append(args, len(sv.Wishes))
	for _, w := range sv.Wishes {
		value := ""
		if w.New != nil {
			if value, err = encodeWish(*w.New); err != nil {
				return nil, nil, err
			}
		}
		args = append(args, ooo.FoldAddress(w.Address), w.Nonce, value)
	}
	return keys, args, nil
}

// newest is above every version that a record gets.
const newest = 1 << 52

// RemoveRecords removes records of a partition whatever their versions, after Redis
// came back with some that were removed before.
func (s *Store) RemoveRecords(ctx context.Context, lease Lease, p int, ids ...ooo.RecordID) error {
	for _, id := range ids {
		value, err := s.client.HGet(ctx, recordsKey(p), string(id)).Result()
		if errors.Is(err, redis.Nil) {
			continue
		} else if err != nil {
			return translate(err)
		}
		m, err := decodeRecord(id, value)
		if err != nil { // its rows are of nobody then, and listed no more
			m = &ooo.Mailbox{ID: id}
		}
		m.Version = newest
		if err := s.Save(ctx, Save{Lease: lease, Record: m, Remove: true, Overwrite: true}); err != nil {
			return err
		}
	}
	return nil
}
