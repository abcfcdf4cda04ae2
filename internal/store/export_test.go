package store

import "github.com/redis/go-redis/v9"

// Client is the client of a store.
func Client(s *Store) redis.UniversalClient { return s.client }
