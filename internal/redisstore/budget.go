package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Budget bounds how often all replicas together do something. It never lets more
// than Burst + Rate·t pass in any time t.
type Budget struct {
	Name  string
	Rate  float64 // a second
	Burst int
}

// spend takes one from a budget (the generic cell rate algorithm: what is kept
// is the time at which the budget will be whole again).
//
//	KEYS[1] budget   ARGV ms a piece, ms that must stay free for others, burst in ms
//	result 0, or how many ms until it is worth asking again
var spend = script{Script: redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local piece, kept, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local whole = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = whole + piece - now - (burst - kept)
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.3f', whole + piece), 'PX', math.ceil(burst) + 60000)
return 0`)}

// Spend takes one from a budget and returns 0, or returns how long to wait
// before asking again. Kept is the share of the burst, 0 to 1, that is left to
// those who ask with less.
func (s *Store) Spend(ctx context.Context, b Budget, kept float64) (time.Duration, error) {
	piece := 1000 / b.Rate
	burst := piece * float64(b.Burst)
	answer, err := s.run(ctx, spend, call{[]string{budgetPrefix + b.Name}, []any{piece, burst * kept, burst}})
	if err != nil {
		return 0, err
	}
	ms, _ := answer.(int64)
	return time.Duration(ms) * time.Millisecond, nil
}
