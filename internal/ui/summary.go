package ui

import (
	"cmp"
	"maps"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

// summary answers with the data for the header of the page.
func (u *UI) summary(c *gin.Context) {
	reports, _, err := u.cfg.Store.Reports(c.Request.Context(), replicaTTL)
	if err != nil {
		u.fail(c, err)
		return
	}
	views := []gin.H{}
	for _, r := range newest(reports) {
		reads := 0.0 // per second
		if r.Load.Span > 0 {
			reads = float64(r.Load.Reads) / r.Load.Span.Seconds()
		}
		views = append(views, gin.H{
			"id": r.ID, "host": r.Host, "version": r.Version, "since": r.Since.UTC(), "seenAt": r.SeenAt,
			"readsASecond": reads, "lateMs": r.Load.Late.Milliseconds(),
		})
	}
	c.JSON(http.StatusOK, gin.H{
		"replicas": views, "self": u.self.ID, "version": u.cfg.Version,
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
