package ui

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

// Counting takes about 50 ms at 26,000 users, so counts are cached for countsAge, or for
// countsCost times as long as counting took if that is longer.
const (
	countsAge  = 5 * time.Second
	countsCost = 50
)

// counts caches the number of users for each filter.
type counts struct {
	mu         sync.Mutex // also held while counting, so that concurrent requests share the result
	validUntil time.Time
	byFilter   map[ooo.Filter]int
}

// countUsers returns how many users match each filter. The counts may be a few seconds old.
func (u *UI) countUsers(ctx context.Context) (map[ooo.Filter]int, error) {
	u.counts.mu.Lock()
	defer u.counts.mu.Unlock()
	began := time.Now()
	if began.Before(u.counts.validUntil) {
		return u.counts.byFilter, nil
	}
	page, err := u.cfg.Store.Search(ctx, ooo.Query{Filter: ooo.FilterAll, Resources: u.cfg.Resources})
	if err != nil {
		return nil, err
	}
	u.counts.validUntil, u.counts.byFilter = began.Add(max(countsAge, countsCost*time.Since(began))), page.Counts
	return page.Counts, nil
}

// summary answers with the data for the header of the page.
func (u *UI) summary(c *gin.Context) {
	ctx := c.Request.Context()
	counts, err := u.countUsers(ctx)
	if err != nil {
		u.fail(c, err)
		return
	}
	reports, _, err := u.cfg.Replicas.Reports(ctx, replicaTTL)
	if err != nil {
		u.fail(c, err)
		return
	}
	views := []replicaView{}
	for _, r := range newest(reports) {
		views = append(views, replicaOf(r))
	}
	c.JSON(http.StatusOK, gin.H{
		"counts": counts, "replicas": views, "self": u.self.ID, "version": u.cfg.Version,
		"intervalMs": u.cfg.Interval.Milliseconds(), "resources": u.cfg.Resources, "login": u.cfg.Token != "",
	})
}

// replicaTTL is how long after its last report a replica is shown.
const replicaTTL = 3 * reportInterval

// newest returns the last report of each replica, the replica that runs longest first.
func newest(reports []ooo.Replica) []ooo.Replica {
	byID := map[string]ooo.Replica{}
	for _, r := range reports {
		byID[r.ID] = r
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b ooo.Replica) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
}

// replicaView is a replica as JSON.
type replicaView struct {
	ID           string    `json:"id"`
	Host         string    `json:"host"`
	Version      string    `json:"version"`
	Since        time.Time `json:"since"`
	SeenAt       time.Time `json:"seenAt"`
	ReadsASecond float64   `json:"readsASecond"`
	LateMS       int64     `json:"lateMs"`
	Throttled    int       `json:"throttled"`
}

func replicaOf(r ooo.Replica) replicaView {
	v := replicaView{
		ID: r.ID, Host: r.Host, Version: r.Version, Since: r.Since.UTC(), SeenAt: r.SeenAt,
		LateMS: r.Load.Late.Milliseconds(), Throttled: r.Load.Throttled,
	}
	if r.Load.Span > 0 {
		v.ReadsASecond = float64(r.Load.Reads) / r.Load.Span.Seconds()
	}
	return v
}
