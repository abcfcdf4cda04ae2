package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

const (
	// replicaLife is how long a replica that is silent counts as alive.
	replicaLife = 30 * time.Second
	// loadLife is how long a load is kept.
	loadLife = time.Hour
	// maxLoads bounds the loads that are kept, of all replicas together.
	maxLoads = 4000
)

// Fields of an entry of the loads. The ids of entries are times by the clock of Redis,
// which is the only one that replicas share.
const (
	replicaField = "r" // JSON of an ooo.Replica with its load
	leftField    = "l" // id of a replica that ended
)

// Beat notes that this replica is alive, and its load since the beat before, for the
// operator's page. Who owns what does not depend on it: see [Store.Round].
func (s *Store) ReportLoad(ctx context.Context, r ooo.Replica) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode replica: %w", err)
	}
	return s.addLoad(ctx, replicaField, string(text))
}

// Leave notes that a replica ends.
func (s *Store) ReportStop(ctx context.Context, id string) error {
	return s.addLoad(ctx, leftField, id)
}

func (s *Store) addLoad(ctx context.Context, field, value string) error {
	pipe := s.client.Pipeline()
	pipe.XAdd(ctx, &redis.XAddArgs{Stream: loadsKey, MaxLen: maxLoads, Approx: true, Values: []string{field, value}})
	pipe.PExpire(ctx, loadsKey, loadLife)
	_, err := pipe.Exec(ctx)
	return translate(err)
}

// Replicas returns the replicas that are alive, the oldest first.
func (s *Store) Replicas(ctx context.Context) ([]ooo.Replica, error) {
	alive := map[string]ooo.Replica{}
	_, err := s.eachLoad(ctx, replicaLife, func(r ooo.Replica, left string) {
		delete(alive, left)
		if left == "" {
			alive[r.ID] = r
		}
	})
	return slices.SortedFunc(maps.Values(alive), func(a, b ooo.Replica) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	}), err
}

// Loads returns what all replicas did in the last hour, oldest first, and the time by
// the clock of Redis.
func (s *Store) Loads(ctx context.Context) (loads []ooo.LoadAt, now time.Time, err error) {
	now, err = s.eachLoad(ctx, loadLife, func(r ooo.Replica, left string) {
		if left == "" {
			loads = append(loads, ooo.LoadAt{At: r.SeenAt, Replica: r.ID, Load: r.Load})
		}
	})
	return loads, now, err
}

// eachLoad calls f for each entry of the last while, oldest first: with a replica, or
// with the id of one that left. Entries that can't be read are skipped. It returns the
// time by the clock of Redis.
func (s *Store) eachLoad(ctx context.Context, last time.Duration, f func(r ooo.Replica, left string)) (time.Time, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return now, err
	}
	since := strconv.FormatInt(now.Add(-last).UnixMilli(), 10)
	entries, err := s.client.XRangeN(ctx, loadsKey, since, "+", 2*maxLoads).Result()
	if err != nil {
		return now, translate(err)
	}
	for _, entry := range entries {
		left, _ := entry.Values[leftField].(string)
		text, _ := entry.Values[replicaField].(string)
		var r ooo.Replica
		if left == "" && json.Unmarshal([]byte(text), &r) != nil {
			s.report(ctx, damaged("load", entry.ID))
			continue
		}
		ms, _, _ := strings.Cut(entry.ID, "-")
		r.SeenAt, _ = fromMillis(ms)
		f(r, left)
	}
	return now, nil
}
