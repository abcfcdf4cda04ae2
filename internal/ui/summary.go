package ui

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

// summary answers with the data for the header of the page.
func (u *UI) summary(c *gin.Context) {
	reports, _, err := u.cfg.Replicas.Reports(c.Request.Context(), replicaTTL)
	if err != nil {
		u.fail(c, err)
		return
	}
	views := []replicaView{}
	for _, r := range newest(reports) {
		views = append(views, replicaOf(r))
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

// replicaView is a replica as JSON.
type replicaView struct {
	ID           string    `json:"id"`
	Host         string    `json:"host"`
	Version      string    `json:"version"`
	Since        time.Time `json:"since"`
	SeenAt       time.Time `json:"seenAt"`
	ReadsASecond float64   `json:"readsASecond"`
	LateMS       int64     `json:"lateMs"`
}

func replicaOf(r ooo.Replica) replicaView {
	v := replicaView{
		ID: r.ID, Host: r.Host, Version: r.Version, Since: r.Since.UTC(), SeenAt: r.SeenAt,
		LateMS: r.Load.Late.Milliseconds(),
	}
	if r.Load.Span > 0 {
		v.ReadsASecond = float64(r.Load.Reads) / r.Load.Span.Seconds()
	}
	return v
}
