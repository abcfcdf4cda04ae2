package store

import "github.com/redis/go-redis/v9"

// Client is the client of a store.
func Client(s *Store) redis.UniversalClient { return s.client }

// Forget drops the overview.
func Forget(s *Store) { s.overviews.last.Store(nil) }
