package redisstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
)

// survey looks at all active users of a shard and returns those that match, by
// folded address, and how many match each filter.
//
//	KEYS   digest, brief
//	ARGV   life of the digest, text in lowerASCII ('': any), number of the filter,
//	       folded address to begin after, how many to return, now as RFC 3339, resources
//	result for each filter how many match, then folded address, key of the first
//	       that match the text and the filter; 0: ask again
var survey = digestScript(`
local text, filter, after, limit, now = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), string.sub(ARGV[6], 1, 19)
local wanted = {}
for i = 7, #ARGV do wanted[#wanted+1] = '\t' .. ARGV[i] .. '\t' end
-- kinds are the users who stand alike, with the filters that they match.
local kinds, first, keys = {}, {}, {}
local function kind(standing, failed, covered)
	local cond, away, told, own = string.match(standing, '^(.-)|(.-)|(.-)|(.*)$')
	return {n=0, is={true, away == '1', away == '0', cond == 'unknown', cond == 'pending',
		told == 'pending', told == 'refused', failed, not covered and own == 'own'}}
end
local lines = redis.call('HGETALL', KEYS[1])
for i = 2, #lines, 2 do
	local line = lines[i]
	local rest = string.find(line, '\n', 1, true)
	if text == '' or string.find(line, text, rest + 1, true) then
		local failed, covered = false, true
		for j = 1, #wanted do
			local _, at = string.find(line, wanted[j], 1, true)
			local state = at and string.byte(line, at + 1)
			if state == 102 then failed = true end -- f
			if state ~= 108 or string.sub(line, at + 6, at + 24) <= now then covered = false end -- live
		end
		local standing = string.sub(line, 1, string.find(line, '\t', 1, true) - 1)
		local which = (failed and 1 or 0) + (covered and 2 or 0)
		local alike = kinds[standing]
		if not alike then
			alike = {}
			kinds[standing] = alike
		end
		if not alike[which] then alike[which] = kind(standing, failed, covered) end
		alike = alike[which]
		alike.n = alike.n + 1
		if limit > 0 and alike.is[filter] then
			local address = string.sub(line, rest + 1, string.find(line, '\n', rest + 1, true) - 1)
			if address > after and (#first < limit or address < first[limit]) then
				local low, high = 1, #first + 1
				while low < high do
					local middle = math.floor((low + high) / 2)
					if first[middle] < address then low = middle + 1 else high = middle end
				end
				table.insert(first, low, address)
				first[limit+1] = nil
				keys[address] = lines[i-1]
			end
		end
	end
end
local out = {0, 0, 0, 0, 0, 0, 0, 0, 0}
for _, alike in pairs(kinds) do
	for _, k in pairs(alike) do
		for i = 1, #k.is do if k.is[i] then out[i] = out[i] + k.n end end
	end
end
for _, address in ipairs(first) do
	out[#out+1] = address
	out[#out+1] = keys[address]
end
return out`)

// surveysAtOnce is how many shards are asked at a time: Redis does one thing
// after the other, and between two shards it serves those who are waiting.
const surveysAtOnce = 2

// Find returns a page of the monitored users that match. A cursor that this
// service did not return begins at the start. With the limit 0 it only counts.
func (s *Store) Find(ctx context.Context, q ooo.Query) (ooo.Page, error) {
	filter := slices.Index(ooo.Filters, cmp.Or(q.Filter, ooo.Everyone))
	if filter < 0 {
		return ooo.Page{}, fmt.Errorf("there is no filter %q", q.Filter)
	}
	after, _ := base64.RawURLEncoding.DecodeString(q.Cursor)
	args := []any{lowerASCII(strings.TrimSpace(q.Text)), filter + 1, string(after), 0, s.shared().Format(time.RFC3339)}
	if q.Limit > 0 {
		args[3] = q.Limit + 1
	}
	for _, resource := range q.Resources {
		args = append(args, resource)
	}
	answers := make([][]any, shards)
	asking, asked := errgroup.WithContext(ctx)
	asking.SetLimit(surveysAtOnce)
	for shard := range shards {
		asking.Go(func() error {
			answer, err := s.overlook(asked, survey, shard, nil, args)
			answers[shard] = answer
			return err
		})
	}
	if err := asking.Wait(); err != nil {
		return ooo.Page{}, err
	}
	return s.page(ctx, q, answers)
}

// lowerASCII is Lua's string.lower.
func lowerASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, text)
}

// hit is a user that matches.
type hit struct {
	name string // folded address
	key  ooo.Key
}

// page puts the shards' answers to survey together.
func (s *Store) page(ctx context.Context, q ooo.Query, answers [][]any) (ooo.Page, error) {
	page := ooo.Page{Counts: map[ooo.Filter]int{}}
	var hits []hit
	for _, answer := range answers {
		for i, filter := range ooo.Filters {
			if i < len(answer) {
				n, _ := answer[i].(int64)
				page.Counts[filter] += int(n)
			}
		}
		for i := len(ooo.Filters); i+1 < len(answer); i += 2 {
			hits = append(hits, hit{fmt.Sprint(answer[i]), ooo.Key(fmt.Sprint(answer[i+1]))})
		}
	}
	page.Total = page.Counts[cmp.Or(q.Filter, ooo.Everyone)]
	slices.SortFunc(hits, func(a, b hit) int { return strings.Compare(a.name, b.name) })
	if q.Limit > 0 && len(hits) > q.Limit {
		hits = hits[:q.Limit]
		page.Cursor = base64.RawURLEncoding.EncodeToString([]byte(hits[q.Limit-1].name))
	}
	keys := make([]ooo.Key, len(hits))
	for i, h := range hits {
		keys[i] = h.key
	}
	if len(keys) == 0 {
		return page, nil
	}
	var err error
	page.Users, err = s.load(ctx, keys)
	return page, err
}
