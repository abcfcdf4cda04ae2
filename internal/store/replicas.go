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
	// replicaTTL is how long after its last report a replica counts as alive.
	replicaTTL = 30 * time.Second
	// loadTTL is how long a load is kept.
	loadTTL = time.Hour
	// maxLoads limits the stored loads of all replicas together.
	maxLoads = 4000
)

// Fields of an entry of the loads. The ids of entries are times by the Redis clock, the only
// one that replicas share.
const (
	replicaField = "r" // JSON of an ooo.Replica with its load
	stoppedField = "l" // id of a replica that stopped
)

// ReportLoad records that this replica is alive, and its load since the last report, for the
// operator's page. Ownership does not depend on it: see [Store.Round].
func (s *Store) ReportLoad(ctx context.Context, r ooo.Replica) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode replica: %w", err)
	}
	return s.addLoad(ctx, replicaField, string(text))
}

// ReportStop records that a replica stops.
func (s *Store) ReportStop(ctx context.Context, id string) error {
	return s.addLoad(ctx, stoppedField, id)
}

func (s *Store) addLoad(ctx context.Context, field, value string) error {
	pipe := s.client.Pipeline()
	pipe.XAdd(ctx, &redis.XAddArgs{Stream: loadsKey, MaxLen: maxLoads, Approx: true, Values: []string{field, value}})
	pipe.PExpire(ctx, loadsKey, loadTTL)
	_, err := pipe.Exec(ctx)
	return translate(err)
}

// Replicas returns the live replicas, oldest first.
func (s *Store) Replicas(ctx context.Context) ([]ooo.Replica, error) {
	alive := map[string]ooo.Replica{}
	_, err := s.eachLoad(ctx, replicaTTL, func(r ooo.Replica, stopped string) {
		delete(alive, stopped)
		if stopped == "" {
			alive[r.ID] = r
		}
	})
	return slices.SortedFunc(maps.Values(alive), func(a, b ooo.Replica) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	}), err
}

// Loads returns the loads of all replicas in the last hour, oldest first, and the current time
// of the Redis clock.
func (s *Store) Loads(ctx context.Context) (loads []ooo.LoadAt, now time.Time, err error) {
	now, err = s.eachLoad(ctx, loadTTL, func(r ooo.Replica, stopped string) {
		if stopped == "" {
			loads = append(loads, ooo.LoadAt{At: r.SeenAt, Replica: r.ID, Load: r.Load})
		}
	})
	return loads, now, err
}

// eachLoad calls f for each entry that is at most age old, oldest first: with a replica, or with
// the id of one that stopped. It skips damaged entries. It returns the current time of the Redis
// clock.
func (s *Store) eachLoad(ctx context.Context, age time.Duration, f func(r ooo.Replica, stopped string)) (time.Time, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return now, err
	}
	since := strconv.FormatInt(now.Add(-age).UnixMilli(), 10)
	entries, err := s.client.XRangeN(ctx, loadsKey, since, "+", 2*maxLoads).Result()
	if err != nil {
		return now, translate(err)
	}
	for _, entry := range entries {
		stopped, _ := entry.Values[stoppedField].(string)
		text, _ := entry.Values[replicaField].(string)
		var r ooo.Replica
		if stopped == "" && json.Unmarshal([]byte(text), &r) != nil {
			s.report(ctx, damaged("load", entry.ID))
			continue
		}
		ms, _, _ := strings.Cut(entry.ID, "-")
		r.SeenAt, _ = fromMillis(ms)
		f(r, stopped)
	}
	return now, nil
}
