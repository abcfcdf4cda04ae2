package redisstore

import (
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// ShardOf is shardOf, for tests that need users of one shard.
var ShardOf = shardOf

// Soonest is when the next user of q is due, as far as s knows.
func (s *Store) Soonest(q ooo.Queue) time.Time { return fromMS(s.boards[q].soonest()) }

// Client is the connection to Redis.
func (s *Store) Client() redis.UniversalClient { return s.client }

// Hinder keeps marks of q from Redis until they are freed.
func (s *Store) Hinder(q ooo.Queue) (free func()) {
	turns := s.gathers[q].turns
	for range cap(turns) {
		turns <- struct{}{}
	}
	return func() {
		for range cap(turns) {
			<-turns
		}
	}
}

// Gathered is how many users' marks of q wait to be taken to Redis together.
func (s *Store) Gathered(q ooo.Queue) int {
	g := s.gathers[q]
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		return 0
	}
	return len(g.next.marks)
}

// Origin is what s says of itself when it wakes others.
func (s *Store) Origin() string { return s.origin }
