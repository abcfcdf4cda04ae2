package redisstore

import (
	"time"

	"outlook-monitor/internal/ooo"
)

// ShardOf is shardOf, for tests that need users of one shard.
var ShardOf = shardOf

// Soonest is when the next user of q is due, as far as s knows.
func (s *Store) Soonest(q ooo.Queue) time.Time { return fromMS(s.boards[q].soonest()) }
