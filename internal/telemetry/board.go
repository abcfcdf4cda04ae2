package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Board is what is asked for when Prometheus asks.
type Board struct {
	Monitored int // users
	Queues    []QueueState
}

// QueueState is how full and how late a due queue is.
type QueueState struct {
	Queue string
	Depth int           // users in it
	Lag   time.Duration // how long the most overdue one has been due; 0 if none is
}

// boardTime is how long a scrape waits for the board.
const boardTime = time.Second

// WatchBoard adds the gauges that read returns at each scrape. Its context ends
// after a second, and read must then return. WatchBoard may be called once.
func (m *Metrics) WatchBoard(read func(context.Context) (Board, error)) {
	m.registry.MustRegister(&boardCollector{
		read: read,
		up: prometheus.NewDesc(namespace+"_board_up",
			"Whether Redis could be asked for the users and queues.", nil, nil),
		users: prometheus.NewDesc(namespace+"_monitored_users",
			"Users that are monitored, by all replicas.", nil, nil),
		depth: prometheus.NewDesc(namespace+"_queue_depth",
			"Users in a due queue, of all replicas.", []string{"queue"}, nil),
		lag: prometheus.NewDesc(namespace+"_queue_lag_seconds",
			"How long the most overdue user of a due queue has been due.", []string{"queue"}, nil),
	})
}

type boardCollector struct {
	read                  func(context.Context) (Board, error)
	up, users, depth, lag *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *boardCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.up
	out <- c.users
	out <- c.depth
	out <- c.lag
}

// Collect implements prometheus.Collector.
func (c *boardCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	board, err := c.ask()
	if err != nil {
		gauge(c.up, 0)
		return
	}
	gauge(c.up, 1)
	gauge(c.users, float64(board.Monitored))
	for _, q := range board.Queues {
		gauge(c.depth, float64(q.Depth), q.Queue)
		gauge(c.lag, max(q.Lag, 0).Seconds(), q.Queue)
	}
}

func (c *boardCollector) ask() (Board, error) {
	ctx, cancel := context.WithTimeout(context.Background(), boardTime)
	defer cancel()
	return c.read(ctx)
}
