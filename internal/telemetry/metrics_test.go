package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
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

// countEach gives each metric a value. Negative values must count as zero.
func countEach(m *telemetry.Metrics) {
	for field, value := range reflect.ValueOf(m).Elem().Fields() {
		labels := strings.Fields(field.Tag.Get("labels"))
		switch field.Type {
		case reflect.TypeFor[telemetry.Counter]():
			counter := value.Interface().(telemetry.Counter)
			counter.Add(2, labels...)
			counter.Add(-1, labels...)
		case reflect.TypeFor[telemetry.Histogram]():
			histogram := value.Interface().(telemetry.Histogram)
			histogram.Observe(time.Second, labels...)
			histogram.Observe(-time.Second, labels...)
		}
	}
}

// TestCounts counts and scrapes concurrently, for the race detector.
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
		`outlook_monitor_reads_total{outcome="outcome"}`:                                  "4",
		`outlook_monitor_read_lag_seconds_sum`:                                            "2",
		`outlook_monitor_read_lag_seconds_bucket{le="0.005"}`:                             "2",
		`outlook_monitor_redis_command_seconds_bucket{command="command",le="0.0001"}`:     "2",
		`outlook_monitor_graph_request_seconds_bucket{operation="operation",le="30"}`:     "4",
		`outlook_monitor_delivery_seconds_bucket{source="source",le="3600"}`:              "4",
		`outlook_monitor_notification_answer_seconds_bucket{le="3"}`:                      "4",
		`outlook_monitor_presence_calls_total`:                                            "4",
		`outlook_monitor_build_info{go_version="go1.26",revision="abc",version="v1.2.0"}`: "1",
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
