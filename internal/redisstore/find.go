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
// folded address, and how many match each filter. It writes nothing and takes
// about 5 ms for 1,600 users.
//
//	KEYS[1] brief
//	ARGV    text in lowerASCII ('': any), number of the filter, folded address to
//	        begin after, how many to return, now as RFC 3339, resources
//	result  for each filter how many match, then folded address, key of the first
//	        that match the text and the filter
var survey = queueScript(`
local text, filter, after, limit = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local prefix = string.sub(KEYS[1], 1, #KEYS[1] - 5) .. 'u:'
local fields = {'addr', 'name', 'cond', 'away', 'dstate', 'cover', 'oid'}
for i = 6, #ARGV do fields[i+2] = 'sub:' .. ARGV[i] end
local counts, names, keys = {0, 0, 0, 0, 0, 0, 0, 0, 0}, {}, {}
for _, key in ipairs(redis.call('HKEYS', KEYS[1])) do
	local f = redis.call('HMGET', prefix .. key, unpack(fields))
	local address = string.lower(f[1] or '')
	if text == '' or string.find(address, text, 1, true) or string.find(string.lower(f[2] or ''), text, 1, true) then
		local failed, covered = false, true
		for i = 8, #fields do
			local sub = f[i] or ''
			if string.find(sub, '"State":"failed"', 1, true) then failed = true end
			if not string.find(sub, '"State":"live"', 1, true) or (string.match(sub, '"ExpiresAt":"([^"]+)"') or '') <= ARGV[5] then covered = false end
		end
		local is = {true, f[4] == '1', f[4] == '0', f[3] == 'unknown', f[3] == 'pending',
			f[5] == 'pending', f[5] == 'refused', failed, not covered and (f[6] or '') == '' and (f[7] or '') ~= ''}
		for i = 1, #is do if is[i] then counts[i] = counts[i] + 1 end end
		if is[filter] and address > after then
			names[#names+1] = address
			keys[address] = key
		end
	end
end
table.sort(names)
for i = 1, math.min(limit, #names) do
	counts[#counts+1] = names[i]
	counts[#counts+1] = keys[names[i]]
end
return counts`)

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
			answer, err := s.run(asked, survey, call{[]string{briefKey(shard)}, args})
			answers[shard], _ = answer.([]any)
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
