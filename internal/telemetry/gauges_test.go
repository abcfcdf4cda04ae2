package telemetry_test

import (
	"context"
	"testing"
	"time"

	"outlook-monitor/internal/telemetry"
)

var gauges = telemetry.Gauges{
	Partitions: 32, Mailboxes: 9, Addresses: 10,
	States: map[string]int{"pending": 1, "watching": 7, "unknown": 2}, Deliveries: map[string]int{"pending": 3, "refused": 0},
	Away: 4, Undelivered: 1500 * time.Millisecond, Unread: -time.Second,
	Subscriptions: map[string]int{"live": 8, "failed": 1}, Uncovered: new(2), FirstExpiry: time.Unix(1900000000, 0),
	Waits:   map[string]time.Duration{"graph": 20 * time.Second, "subscriptions": -time.Second},
	Waiting: map[string]int{"read": 3, "deliver": 0}, Lag: map[string]time.Duration{"read": 1500 * time.Millisecond, "deliver": -time.Second},
	RedisUp: true, RedisProblems: new(2), PoolConnections: map[string]int{"idle": 4, "used": 1}, PoolEvents: map[string]int{"hit": 11, "stale": 0},
	Token: time.Unix(1700000000, 0), Credential: time.Unix(1800000000, 0), Certificates: map[string]time.Time{"tls": time.Unix(2000000000, 0)},
}

// compare checks series of a scrape; "" means absent.
func compare(t *testing.T, scrape string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := series(scrape, name); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
}

func TestGauges(t *testing.T) {
	m, g := telemetry.NewMetrics(build), gauges
	m.WatchGauges(func(ctx context.Context) telemetry.Gauges {
		if until, ok := ctx.Deadline(); !ok || time.Until(until) > time.Second {
			t.Errorf("deadline = %v %t, want within a second", until, ok)
		}
		return g
	})
	compare(t, scrape(t, m), map[string]string{
		`outlook_monitor_owned_partitions`:                                        "32",
		`outlook_monitor_mailboxes`:                                               "9",
		`outlook_monitor_addresses`:                                               "10",
		`outlook_monitor_users{state="watching"}`:                                 "7",
		`outlook_monitor_users_away`:                                              "4",
		`outlook_monitor_users_by_delivery{delivery="refused"}`:                   "0",
		`outlook_monitor_undelivered_seconds`:                                     "1.5",
		`outlook_monitor_unread_seconds`:                                          "0",
		`outlook_monitor_subscriptions{state="live"}`:                             "8",
		`outlook_monitor_uncovered_users`:                                         "2",
		`outlook_monitor_subscription_expiry_timestamp_seconds`:                   "1.9e+09",
		`outlook_monitor_graph_wait_seconds{scope="graph"}`:                       "20",
		`outlook_monitor_graph_wait_seconds{scope="subscriptions"}`:               "0",
		`outlook_monitor_backlog{work="read"}`:                                    "3",
		`outlook_monitor_backlog{work="deliver"}`:                                 "0",
		`outlook_monitor_backlog_lag_seconds{work="read"}`:                        "1.5",
		`outlook_monitor_backlog_lag_seconds{work="deliver"}`:                     "0",
		`outlook_monitor_redis_up`:                                                "1",
		`outlook_monitor_redis_problems`:                                          "2",
		`outlook_monitor_redis_pool_connections{state="idle"}`:                    "4",
		`outlook_monitor_redis_pool_events_total{event="hit"}`:                    "11",
		`outlook_monitor_redis_pool_events_total{event="stale"}`:                  "0",
		`outlook_monitor_graph_token_expiry_timestamp_seconds`:                    "1.7e+09",
		`outlook_monitor_credential_expiry_timestamp_seconds`:                     "1.8e+09",
		`outlook_monitor_certificate_expiry_timestamp_seconds{certificate="tls"}`: "2e+09",
	})
	// Unknown values are absent, and so are those of subscriptions if none are configured.
	g = telemetry.Gauges{Away: 6}
	compare(t, scrape(t, m), map[string]string{
		`outlook_monitor_users_away`: "6", `outlook_monitor_redis_up`: "0", `outlook_monitor_redis_problems`: "",
		`outlook_monitor_graph_token_expiry_timestamp_seconds`: "", `outlook_monitor_credential_expiry_timestamp_seconds`: "",
		`outlook_monitor_uncovered_users`: "", `outlook_monitor_subscriptions{state="live"}`: "",
		`outlook_monitor_subscription_expiry_timestamp_seconds`: "",
	})
}
