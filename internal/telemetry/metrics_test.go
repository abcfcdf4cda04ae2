package telemetry_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"outlook-monitor/internal/telemetry"
)

var build = telemetry.BuildInfo{Version: "v1.2.0", Revision: "abc", GoVersion: "go1.26"}

// scrape returns the text of a scrape.
func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("scrape = %d %s, want 200", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// series returns the value of a series in a scrape, or "" if it is absent.
func series(scrape, name string) string {
	for line := range strings.Lines(scrape) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// countEach calls each counting method. Negative values must count as zero.
func countEach(m *telemetry.Metrics) {
	err := errors.New("Graph no longer has subscription 7f3a of ann@contoso.example")
	m.Read("same", time.Millisecond)
	m.Read("same", -time.Second)
	m.Changed("poll", 0)
	m.Changed("notification", time.Second)
	m.Notified("accepted", 3)
	m.Notified("forged", -1)
	m.GraphAnswered("read", 200, 20*time.Millisecond)
	m.GraphAnswered("read", 0, 30*time.Second)
	m.Stepped("create", "not covered yet", nil)
	m.Stepped("renew", "expires soon", err)
	m.Swept("unknown", 2)
	m.Attempted("delivered", "poll", true, time.Second, 2*time.Second)
	m.Attempted("delivered", "notification", true, time.Second, -time.Second)
	m.Attempted("failed", "poll", false, time.Second, time.Hour)
	m.Synced(err)
	m.RedisAnswered("evalsha", time.Millisecond, nil)
	m.AnnouncedFirst(time.Second)
	m.AnnouncedLate(time.Minute)
	m.Refused(429)
	m.Answered(4 * time.Second)
	m.Exported(5, nil)
	m.Exported(2, err)
	m.Damaged("record")
	m.UnknownHint("read")
	m.PartitionChanged("acquired")
	m.PresenceSwept(2, 1)
}

// TestCounts names every label of each series, so that a label per user would fail it. It
// counts and scrapes concurrently, for the race detector.
func TestCounts(t *testing.T) {
	m := telemetry.NewMetrics(build)
	m.WatchGauges(func(context.Context) telemetry.Gauges { return gauges })
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() { countEach(m) })
		running.Go(func() { scrape(t, m) })
	}
	running.Wait()
	compare(t, scrape(t, m), map[string]string{
		`outlook_monitor_reads_total{outcome="same"}`:                                                     "4",
		`outlook_monitor_read_lag_seconds_sum`:                                                            "0.002",
		`outlook_monitor_read_lag_seconds_bucket{le="0.005"}`:                                             "4",
		`outlook_monitor_changes_total{source="poll"}`:                                                    "2",
		`outlook_monitor_changes_total{source="notification"}`:                                            "2",
		`outlook_monitor_detection_seconds_count{source="poll"}`:                                          "", // polls have no hint
		`outlook_monitor_detection_seconds_bucket{source="notification",le="0.5"}`:                        "0",
		`outlook_monitor_detection_seconds_bucket{source="notification",le="1"}`:                          "2",
		`outlook_monitor_push_changes_total{announced="first"}`:                                           "2",
		`outlook_monitor_push_changes_total{announced="late"}`:                                            "2",
		`outlook_monitor_push_lead_seconds_sum`:                                                           "2",
		`outlook_monitor_push_late_seconds_sum`:                                                           "120",
		`outlook_monitor_notifications_total{verdict="accepted"}`:                                         "6",
		`outlook_monitor_notifications_total{verdict="forged"}`:                                           "0",
		`outlook_monitor_notification_answer_seconds_bucket{le="3"}`:                                      "0",
		`outlook_monitor_notification_answer_seconds_bucket{le="10"}`:                                     "2",
		`outlook_monitor_refused_requests_total{status="429"}`:                                            "2",
		`outlook_monitor_graph_requests_total{operation="read",status="200"}`:                             "2",
		`outlook_monitor_graph_requests_total{operation="read",status="none"}`:                            "2",
		`outlook_monitor_graph_request_seconds_bucket{operation="read",le="30"}`:                          "4",
		`outlook_monitor_subscription_steps_total{action="create",outcome="ok",reason="not covered yet"}`: "2",
		`outlook_monitor_subscription_steps_total{action="renew",outcome="failed",reason="expires soon"}`: "2",
		`outlook_monitor_swept_subscriptions_total{found="unknown"}`:                                      "4",
		`outlook_monitor_deliveries_total{outcome="delivered"}`:                                           "4",
		`outlook_monitor_deliveries_total{outcome="failed"}`:                                              "2",
		`outlook_monitor_delivery_attempt_seconds_count`:                                                  "6",
		`outlook_monitor_delivery_seconds_count{source="poll"}`:                                           "2", // only acknowledged ones
		`outlook_monitor_delivery_seconds_sum{source="notification"}`:                                     "0",
		`outlook_monitor_delivery_seconds_bucket{source="poll",le="1"}`:                                   "0",
		`outlook_monitor_delivery_seconds_bucket{source="poll",le="2"}`:                                   "2",
		`outlook_monitor_mediator_syncs_total{outcome="failed"}`:                                          "2",
		`outlook_monitor_redis_commands_total{command="evalsha",outcome="ok"}`:                            "2",
		`outlook_monitor_redis_command_seconds_bucket{command="evalsha",le="0.001"}`:                      "2",
		`outlook_monitor_exported_spans_total{outcome="ok"}`:                                              "10",
		`outlook_monitor_exported_spans_total{outcome="failed"}`:                                          "4",
		`outlook_monitor_damaged_entries_total{kind="record"}`:                                            "2",
		`outlook_monitor_unknown_hints_total{kind="read"}`:                                                "2",
		`outlook_monitor_partition_changes_total{change="acquired"}`:                                      "2",
		`outlook_monitor_presence_calls_total`:                                                            "4",
		`outlook_monitor_presence_hinted_total`:                                                           "2",
		`outlook_monitor_build_info{go_version="go1.26",revision="abc",version="v1.2.0"}`:                 "1",
	})
}

func TestScrapeIsWellFormed(t *testing.T) {
	text := scrape(t, withAllMetrics())
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("Lint = %v, want a scrape that Prometheus can read", err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "# HELP outlook_monitor_") && !strings.HasSuffix(strings.TrimSpace(line), ".") {
			t.Errorf("help %q has no full stop", line)
		}
	}
	if series(text, "go_goroutines") == "" {
		t.Error("the metrics of the Go runtime are missing")
	}
}
