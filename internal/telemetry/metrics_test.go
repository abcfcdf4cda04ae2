package telemetry_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"outlook-monitor/internal/telemetry"
)

var build = telemetry.BuildInfo{Version: "v1.2.0", Revision: "abc", GoVersion: "go1.26"}

// scrape returns what Prometheus gets.
func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.Code != http.StatusOK {
		t.Fatalf("scrape = %d %s, %v, want 200", answer.Code, body, err)
	}
	return string(body)
}

// series returns the value of one series of a scrape, "" if it isn't there.
func series(scrape, name string) string {
	for line := range strings.Lines(scrape) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// all causes everything that is counted, some of it once for each user.
func all(m *telemetry.Metrics, users int) {
	trouble := errors.New("Graph no longer has subscription 7f3a of ann@contoso.example")
	for i := range users {
		m.Read("same", time.Duration(i)*time.Millisecond)
		m.Changed("poll", 0)
		m.Changed("notification", time.Second)
		m.Notified("accepted", 3)
		m.GraphAnswered("read", 200, 20*time.Millisecond)
		m.GraphAnswered("read", 0, 30*time.Second)
		m.Stepped("create", "not covered yet", nil)
		m.Stepped("renew", "expires soon", trouble)
		m.Swept("unknown", 2)
		m.Delivered("delivered", "poll", true, time.Second, 2*time.Second)
		m.Delivered("failed", "poll", false, time.Second, time.Hour)
		m.Synced(trouble)
		m.RedisAnswered("evalsha", time.Millisecond, nil)
		m.AnnouncedFirst(time.Second)
		m.AnnouncedLate(time.Minute)
		m.Refused(429)
		m.Answered(4 * time.Second)
		m.Exported(5, nil)
		m.Exported(2, trouble)
		m.Damaged("record")
		m.UnknownHint("read")
		m.PartitionChanged("acquired")
		m.PresenceSwept(2, 1)
	}
}

func TestEverythingThatHappensIsCounted(t *testing.T) {
	m := telemetry.NewMetrics(build)
	all(m, 2)
	compare(t, scrape(t, m), map[string]string{
		`outlook_monitor_reads_total{outcome="same"}`:                                                         "2",
		`outlook_monitor_read_lag_seconds_count`:                                                              "2",
		`outlook_monitor_changes_total{source="poll"}`:                                                        "2",
		`outlook_monitor_changes_total{source="notification"}`:                                                "2",
		`outlook_monitor_detection_seconds_count{source="notification"}`:                                      "2",
		`outlook_monitor_detection_seconds_count{source="poll"}`:                                              "", // nothing to count from
		`outlook_monitor_notifications_total{verdict="accepted"}`:                                             "6",
		`outlook_monitor_graph_requests_total{operation="read",status="200"}`:                                 "2",
		`outlook_monitor_graph_requests_total{operation="read",status="none"}`:                                "2",
		`outlook_monitor_graph_request_seconds_count{operation="read"}`:                                       "4",
		`outlook_monitor_subscription_steps_total{action="create",outcome="ok",reason="not covered yet"}`:     "2",
		`outlook_monitor_subscription_steps_total{action="renew",outcome="failed",reason="expires soon"}`:     "2",
		`outlook_monitor_swept_subscriptions_total{found="unknown"}`:                                          "4",
		`outlook_monitor_deliveries_total{outcome="delivered"}`:                                               "2",
		`outlook_monitor_deliveries_total{outcome="failed"}`:                                                  "2",
		`outlook_monitor_delivery_attempt_seconds_count`:                                                      "4",
		`outlook_monitor_delivery_seconds_count{source="poll"}`:                                               "2", // acknowledged ones alone
		`outlook_monitor_mediator_syncs_total{outcome="failed"}`:                                              "2",
		`outlook_monitor_redis_commands_total{command="evalsha",outcome="ok"}`:                                "2",
		`outlook_monitor_redis_command_seconds_count{command="evalsha"}`:                                      "2",
		`outlook_monitor_build_info{go_version="go1.26",revision="abc",version="v1.2.0"}`:                     "1",
		`outlook_monitor_redis_up`:                                                                            "", // until Redis is watched
		`outlook_monitor_damaged_entries_total{kind="record"}`:                                                "2",
		`outlook_monitor_unknown_hints_total{kind="read"}`:                                                    "2",
		`outlook_monitor_partition_changes_total{change="acquired"}`:                                          "2",
		`outlook_monitor_partition_changes_total{change="lost"}`:                                              "",
		`outlook_monitor_presence_calls_total`:                                                                "4",
		`outlook_monitor_presence_hinted_total`:                                                               "2",
		`outlook_monitor_delivery_seconds_bucket{source="poll",le="2"}`:                                       "2",
		`outlook_monitor_delivery_seconds_bucket{source="poll",le="1"}`:                                       "0",
		`outlook_monitor_graph_request_seconds_bucket{operation="read",le="30"}`:                              "4",
		`outlook_monitor_read_lag_seconds_bucket{le="0.005"}`:                                                 "2",
		`outlook_monitor_redis_command_seconds_bucket{command="evalsha",le="0.001"}`:                          "2",
		`outlook_monitor_subscription_steps_total{action="create",outcome="failed",reason="not covered yet"}`: "",
		`outlook_monitor_graph_requests_total{operation="read",status="0"}`:                                   "",
		`outlook_monitor_mediator_syncs_total{outcome="ok"}`:                                                  "",
		`outlook_monitor_notifications_total{verdict="forged"}`:                                               "",
		`outlook_monitor_redis_commands_total{command="evalsha",outcome="failed"}`:                            "",
		`outlook_monitor_push_changes_total{announced="first"}`:                                               "2",
		`outlook_monitor_push_late_seconds_sum`:                                                               "120",
		`outlook_monitor_refused_requests_total{status="429"}`:                                                "2",
		`outlook_monitor_notification_answer_seconds_bucket{le="3"}`:                                          "0",
		`outlook_monitor_notification_answer_seconds_bucket{le="10"}`:                                         "2",
		`outlook_monitor_exported_spans_total{outcome="ok"}`:                                                  "10",
		`outlook_monitor_exported_spans_total{outcome="failed"}`:                                              "4",
		`outlook_monitor_detection_seconds_sum{source="notification"}`:                                        "2",
		`outlook_monitor_detection_seconds_bucket{source="notification",le="0.5"}`:                            "0",
		`outlook_monitor_detection_seconds_bucket{source="notification",le="1"}`:                              "2",
		`outlook_monitor_detection_seconds_bucket{source="notification",le="+Inf"}`:                           "2",
		`outlook_monitor_deliveries_total{outcome="refused"}`:                                                 "",
		`outlook_monitor_changes_total{source="window"}`:                                                      "",
	})
}

func TestANegativeTimeCountsAsNone(t *testing.T) {
	m := telemetry.NewMetrics(build)
	m.Read("same", -time.Second)
	m.Notified("forged", -1)
	m.Delivered("delivered", "poll", true, time.Second, -time.Second)
	compare(t, scrape(t, m), map[string]string{
		`outlook_monitor_read_lag_seconds_sum`:                     "0",
		`outlook_monitor_notifications_total{verdict="forged"}`:    "0",
		`outlook_monitor_delivery_seconds_sum{source="poll"}`:      "0",
		`outlook_monitor_delivery_attempt_seconds_sum`:             "1",
		`outlook_monitor_delivery_seconds_count{source="poll"}`:    "1",
		`outlook_monitor_read_lag_seconds_bucket{le="0.005"}`:      "1",
		`outlook_monitor_deliveries_total{outcome="delivered"}`:    "1",
		`outlook_monitor_reads_total{outcome="same"}`:              "1",
		`outlook_monitor_delivery_attempt_seconds_bucket{le="30"}`: "1",
	})
}

func TestTheScrapeIsWellFormed(t *testing.T) {
	m := telemetry.NewMetrics(build)
	m.WatchGauges(func() telemetry.Gauges { return gauges })
	all(m, 1)
	text := scrape(t, m)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("Lint = %v, want what Prometheus can read", err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "# HELP outlook_monitor_") && !strings.HasSuffix(strings.TrimSpace(line), ".") {
			t.Errorf("help %q is no sentence", line)
		}
	}
}

// allowed are the labels of our own series: each of them takes its values from a
// list that the code fixes.
var allowed = []string{"action", "announced", "change", "command", "delivery", "found", "go_version", "kind", "le", "operation", "outcome",
	"reason", "revision", "scope", "source", "state", "status", "verdict", "version", "work"}

func TestTheNumberOfSeriesDoesNotGrowWithTheUsers(t *testing.T) {
	count := func(users int) (names []string) {
		m := telemetry.NewMetrics(build)
		crowd := gauges
		crowd.Mailboxes, crowd.Addresses = users, users
		m.WatchGauges(func() telemetry.Gauges { return crowd })
		all(m, users)
		for line := range strings.Lines(scrape(t, m)) {
			name, _, _ := strings.Cut(line, " ")
			if strings.HasPrefix(name, "outlook_monitor_") {
				names = append(names, line[:strings.LastIndexByte(line, ' ')])
			}
		}
		return names
	}
	few, many := count(1), count(300)
	if !slices.Equal(few, many) {
		t.Errorf("series = %d with one user and %d with 300, want the same", len(few), len(many))
	}
	for _, name := range many {
		if strings.Contains(name, "@") || strings.Contains(name, "7f3a") {
			t.Errorf("series %s names a user", name)
		}
		for _, label := range labels(name) {
			if !slices.Contains(allowed, label) {
				t.Errorf("series %s has the label %s, want one of %v", name, label, allowed)
			}
		}
	}
}

// labels returns the names of a series' labels. No value of theirs has a comma.
func labels(series string) []string {
	_, inner, ok := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	if !ok {
		return nil
	}
	var names []string
	for pair := range strings.SplitSeq(inner, ",") {
		name, _, _ := strings.Cut(pair, "=")
		names = append(names, name)
	}
	return names
}

func TestCountingAndScrapingAtOnce(t *testing.T) {
	m := telemetry.NewMetrics(build)
	m.WatchGauges(func() telemetry.Gauges { return gauges })
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() { all(m, 50) })
		running.Go(func() { scrape(t, m) })
	}
	running.Wait()
	if got := series(scrape(t, m), `outlook_monitor_reads_total{outcome="same"}`); got != fmt.Sprint(4*50) {
		t.Errorf("reads = %s, want 200", got)
	}
}

func TestEachMetricsHasARegistryOfItsOwn(t *testing.T) {
	first, second := telemetry.NewMetrics(build), telemetry.NewMetrics(build)
	all(first, 1)
	if got := series(scrape(t, second), `outlook_monitor_reads_total{outcome="same"}`); got != "" {
		t.Errorf("the other's reads = %s, want none", got)
	}
	if got := series(scrape(t, second), "go_goroutines"); got == "" {
		t.Error("the metrics of the Go runtime are missing")
	}
}
