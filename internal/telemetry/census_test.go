package telemetry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/telemetry"
)

var census = telemetry.Census{
	States: map[string]int{"pending": 1, "watching": 7, "unknown": 2}, Deliveries: map[string]int{"pending": 3, "refused": 0},
	Away: 4, Undelivered: 1500 * time.Millisecond, Unread: -time.Second, Covered: true,
	Subscriptions: map[string]int{"live": 8, "failed": 1}, Uncovered: 2, FirstExpiry: time.Unix(1900000000, 0),
	Held: map[string]time.Duration{"read": 20 * time.Second, "subscribe": 0},
}

// asked returns a reader of the census that later changes its mind.
func asked(c *telemetry.Census, err *error) func(context.Context) (telemetry.Census, error) {
	return func(context.Context) (telemetry.Census, error) { return *c, *err }
}

func TestTheCensusIsTold(t *testing.T) {
	m := telemetry.NewMetrics(build)
	c, err := census, error(nil)
	m.WatchCensus(asked(&c, &err))
	got := scrape(t, m)
	for name, want := range map[string]string{
		`outlook_monitor_users{state="watching"}`:               "7",
		`outlook_monitor_users{state="unknown"}`:                "2",
		`outlook_monitor_users_away`:                            "4",
		`outlook_monitor_users_by_delivery{delivery="refused"}`: "0",
		`outlook_monitor_undelivered_seconds`:                   "1.5",
		`outlook_monitor_unread_seconds`:                        "0",
		`outlook_monitor_subscriptions{state="live"}`:           "8",
		`outlook_monitor_uncovered_users`:                       "2",
		`outlook_monitor_subscription_expiry_timestamp_seconds`: "1.9e+09",
		`outlook_monitor_graph_hold_seconds{queue="read"}`:      "20",
		`outlook_monitor_graph_hold_seconds{queue="subscribe"}`: "0",
	} {
		if value := series(got, name); value != want {
			t.Errorf("%s = %q, want %q", name, value, want)
		}
	}
}

func TestWithoutSubscriptionsNobodyIsBare(t *testing.T) {
	m := telemetry.NewMetrics(build)
	c, err := census, error(nil)
	c.Covered = false
	m.WatchCensus(asked(&c, &err))
	got := scrape(t, m)
	if strings.Contains(got, "uncovered") || strings.Contains(got, "outlook_monitor_subscription") && strings.Contains(got, "expiry") {
		t.Error("the scrape tells of coverage, want none where there are no subscriptions")
	}
	if series(got, "outlook_monitor_users_away") != "4" {
		t.Error("the scrape does not tell of the users")
	}
}

func TestWhatIsNotKnownIsNotTold(t *testing.T) {
	m := telemetry.NewMetrics(build)
	c, trouble := census, errors.New("redis is away")
	m.WatchCensus(asked(&c, &trouble))
	m.WatchProblems(func(context.Context) (int, error) { return 0, trouble })
	m.WatchLogin(func() time.Time { return time.Time{} }, func() time.Time { return time.Time{} })
	got := scrape(t, m)
	for _, name := range []string{
		"outlook_monitor_users", "outlook_monitor_uncovered", "outlook_monitor_redis_problems",
		"outlook_monitor_graph_token_expiry", "outlook_monitor_credential_expiry",
	} {
		if strings.Contains(got, "\n"+name) {
			t.Errorf("%s is told, want it absent", name)
		}
	}
	if strings.Contains(got, trouble.Error()) {
		t.Error("the scrape repeats the error")
	}
}

func TestThePoolIsAskedAtEachScrape(t *testing.T) {
	m := telemetry.NewMetrics(build)
	p := telemetry.Pool{Total: 5, Idle: 2, Hits: 10, Misses: 5, Timeouts: 1}
	m.WatchPool(func() telemetry.Pool { return p })
	scrape(t, m)
	p.Idle, p.Hits = 4, 11
	got := scrape(t, m)
	for name, want := range map[string]string{
		`outlook_monitor_redis_pool_connections{state="idle"}`:     "4",
		`outlook_monitor_redis_pool_connections{state="used"}`:     "1",
		`outlook_monitor_redis_pool_events_total{event="hit"}`:     "11",
		`outlook_monitor_redis_pool_events_total{event="miss"}`:    "5",
		`outlook_monitor_redis_pool_events_total{event="stale"}`:   "0",
		`outlook_monitor_redis_pool_events_total{event="timeout"}`: "1",
	} {
		if value := series(got, name); value != want {
			t.Errorf("%s = %q, want %q", name, value, want)
		}
	}
}
