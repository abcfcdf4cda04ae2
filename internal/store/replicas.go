package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

const (
	// loadTTL is how long a load is kept.
	loadTTL = time.Hour
	// maxLoads limits the stored loads of all replicas together.
	maxLoads = 4000
)

// replicaField of an entry of the loads is the JSON of an ooo.Replica with its load. The ids
// of entries are times by the Redis clock, the only one that replicas share.
const replicaField = "r"

// ReportLoad records that this replica is alive, and its load since the last report, for the
// operator's page. Ownership does not depend on it: see [Store.Round].
func (s *Store) ReportLoad(ctx context.Context, r ooo.Replica) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode replica: %w", err)
	}
	pipe := s.client.Pipeline()
	pipe.XAdd(ctx, &redis.XAddArgs{Stream: loadsKey, MaxLen: maxLoads, Approx: true, Values: []string{replicaField, string(text)}})
	pipe.PExpire(ctx, loadsKey, loadTTL)
	_, err = pipe.Exec(ctx)
	return translate(err)
}

// Reports returns the reports of all replicas that are at most age old, oldest first, and the
// current time of the Redis clock. Reports are kept for an hour. It skips damaged ones.
func (s *Store) Reports(ctx context.Context, age time.Duration) (reports []ooo.Replica, now time.Time, err error) {
	if now, err = s.Now(ctx); err != nil {
		return nil, now, err
	}
	since := strconv.FormatInt(now.Add(-age).UnixMilli(), 10)
	entries, err := s.client.XRangeN(ctx, loadsKey, since, "+", 2*maxLoads).Result()
	if err != nil {
		return nil, now, translate(err)
	}
	for _, entry := range entries {
		text, ok := entry.Values[replicaField].(string)
		if !ok {
			continue // an older version in a rolling upgrade adds such an entry when it stops
		}
		var r ooo.Replica
		if json.Unmarshal([]byte(text), &r) != nil {
			_ = s.damaged(ctx, "load", entry.ID)
			continue
		}
		ms, _, _ := strings.Cut(entry.ID, "-")
		r.SeenAt, _ = fromMillis(ms)
		reports = append(reports, r)
	}
	return reports, now, nil
}
