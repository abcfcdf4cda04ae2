package redisstore

import (
	"context"
	"strings"

	"outlook-monitor/internal/ooo"
)

// People returns the users who are monitored and found in the directory, by
// object id. It asks Redis once for each shard.
func (s *Store) People(ctx context.Context) (map[ooo.ObjectID][]ooo.Key, error) {
	people := map[ooo.ObjectID][]ooo.Key{}
	for shard := range shards {
		briefs, err := s.client.HGetAll(ctx, briefKey(shard)).Result()
		if err != nil {
			return nil, err
		}
		for key, brief := range briefs {
			if id, _, _ := strings.Cut(brief, "\n"); id != "" {
				people[ooo.ObjectID(id)] = append(people[ooo.ObjectID(id)], ooo.Key(key))
			}
		}
	}
	return people, nil
}
