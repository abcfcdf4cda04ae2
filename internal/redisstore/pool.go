package redisstore

import "github.com/redis/go-redis/v9"

// Pool returns how the connections to Redis stand, those to all servers of a
// Cluster together.
func (s *Store) Pool() *redis.PoolStats { return s.client.PoolStats() }
