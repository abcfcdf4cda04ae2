package ui

import (
	"math"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

const (
	chartSpan = time.Hour
	chartStep = 10 * time.Second
)

// chart is the last hour of all replicas together, in steps, oldest first.
type chart struct {
	From      time.Time `json:"from"`
	StepMS    int64     `json:"stepMs"`
	Reads     []float64 `json:"reads"`     // per second
	Throttled []float64 `json:"throttled"` // answers of Graph with 429
	Late      []int64   `json:"late"`      // ms that the most overdue read was late
	Delivered []int     `json:"delivered"` // states acknowledged
	Median    []int64   `json:"median"`    // ms from change to acknowledgement; 0: none
	P95       []int64   `json:"p95"`       // likewise
}

// load answers with the data of the charts.
func (u *UI) load(c *gin.Context) {
	reports, now, err := u.cfg.Store.Reports(c.Request.Context(), chartSpan)
	if err != nil {
		u.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, chartOf(reports, now))
}

// chartOf adds up reports into a chart. It ends with the last step that all replicas have
// reported.
func chartOf(reports []ooo.Replica, now time.Time) chart {
	steps := int(chartSpan / chartStep)
	end := now.Add(-reportInterval).Truncate(chartStep)
	c := chart{
		From: end.Add(-chartSpan).UTC(), StepMS: chartStep.Milliseconds(),
		Reads: make([]float64, steps), Throttled: make([]float64, steps), Late: make([]int64, steps),
		Delivered: make([]int, steps), Median: make([]int64, steps), P95: make([]int64, steps),
	}
	latencies := make([]map[int]int, steps)
	for _, r := range reports {
		c.spread(r.Load, r.SeenAt)
		step := int(r.SeenAt.Sub(c.From) / chartStep)
		if step < 0 || step >= steps || r.SeenAt.Before(c.From) {
			continue
		}
		c.Late[step] = max(c.Late[step], r.Load.Late.Milliseconds())
		for bucket, n := range r.Load.Delivered {
			if latencies[step] == nil {
				latencies[step] = map[int]int{}
			}
			latencies[step][bucket] += n
			c.Delivered[step] += n
		}
	}
	for step, counted := range latencies {
		c.Median[step] = latencyQuantile(counted, 0.5).Milliseconds()
		c.P95[step] = latencyQuantile(counted, 0.95).Milliseconds()
	}
	for step := range steps {
		c.Reads[step] = round(c.Reads[step] / chartStep.Seconds())
		c.Throttled[step] = round(c.Throttled[step])
	}
	return c
}

// spread distributes the counts of a load, reported at a time, over the steps that its span
// overlaps.
func (c *chart) spread(l ooo.Load, at time.Time) {
	if l.Span <= 0 {
		return
	}
	ended := at.Sub(c.From)
	began := ended - l.Span
	for step := max(0, int(began/chartStep)); step <= min(len(c.Reads)-1, int(ended/chartStep)); step++ {
		from := time.Duration(step) * chartStep
		share := min(ended, from+chartStep) - max(began, from)
		if share <= 0 {
			continue
		}
		part := float64(share) / float64(l.Span)
		c.Reads[step] += part * float64(l.Reads)
		c.Throttled[step] += part * float64(l.Throttled)
	}
}

func round(x float64) float64 { return math.Round(x*10) / 10 }
