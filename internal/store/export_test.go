package store

import "github.com/redis/go-redis/v9"

// Client is the client of a store.
func Client(s *Store) redis.UniversalClient { return s.client }

// Forget makes the overview out of date.
func Forget(s *Store) { s.overviews.writes.Add(1) }
