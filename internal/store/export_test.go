package store

import "github.com/redis/go-redis/v9"

// Clients returns the client of a store, and the one for its rounds.
func Clients(s *Store) []redis.UniversalClient { return []redis.UniversalClient{s.client, s.rounds} }
