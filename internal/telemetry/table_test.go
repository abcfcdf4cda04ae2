package telemetry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	dto "github.com/prometheus/client_model/go"

	"outlook-monitor/internal/telemetry"
)

const (
	metricsTable = "../../deploy/METRICS.md"
	alarms       = "../../deploy/prometheus/rules.yaml"
	alarmTests   = "../../deploy/prometheus/rules_test.yaml"
	dashboard    = "../../deploy/grafana/outlook-monitor.json"
	runBook      = "../../deploy/RUNBOOK.md"
)

func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// everything returns metrics of which each has a value.
func everything() *telemetry.Metrics {
	m := telemetry.NewMetrics(build)
	m.WatchGauges(func() telemetry.Gauges { return gauges })
	m.WatchRedis(func() bool { return true })
	m.WatchPool(func() telemetry.Pool { return telemetry.Pool{Total: 3, Idle: 1, Hits: 5, Misses: 3} })
	m.WatchProblems(func(context.Context) (int, error) { return 2, nil })
	m.WatchLogin(func() time.Time { return time.Unix(1800000000, 0) }, func() time.Time { return time.Unix(1900000000, 0) })
	m.WatchExpiry("tls", func() time.Time { return time.Unix(2000000000, 0) })
	all(m, 1)
	return m
}

// gathered returns our own families by name, as a scraper sees them.
func gathered(t *testing.T, m *telemetry.Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(families, func(name string, _ *dto.MetricFamily) bool { return !strings.HasPrefix(name, "outlook_monitor_") })
	return families
}

// row is a family as the table of metrics has it.
func row(f *dto.MetricFamily) string {
	labels := map[string]bool{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			labels["`"+l.GetName()+"`"] = true
		}
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", f.GetName(), strings.ToLower(f.GetType().String()),
		strings.Join(slices.Sorted(maps.Keys(labels)), " "), f.GetHelp())
}

func TestTheTableHasEachMetric(t *testing.T) {
	var want []string
	for _, f := range gathered(t, everything()) {
		want = append(want, row(f))
	}
	slices.Sort(want)
	_, rest, _ := strings.Cut(file(t, metricsTable), "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	table, _, _ := strings.Cut(rest, "\n\n")
	if got := strings.Split(strings.TrimSpace(table), "\n"); !slices.Equal(got, want) {
		t.Errorf("the table in %s is\n%s\nwant\n%s", metricsTable, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var named = regexp.MustCompile(`outlook_monitor_[a-z_]+`)

// TestAlarmsAndDashboardsUseMetricsThatExist looks at the names of series: those
// of a histogram end in _bucket, _sum or _count.
func TestAlarmsAndDashboardsUseMetricsThatExist(t *testing.T) {
	series := map[string]bool{}
	for name, f := range gathered(t, everything()) {
		series[name] = true
		if f.GetType() == dto.MetricType_HISTOGRAM {
			delete(series, name)
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				series[name+part] = true
			}
		}
	}
	used := map[string]bool{}
	for _, where := range []string{alarms, alarmTests, dashboard} {
		for _, name := range named.FindAllString(file(t, where), -1) {
			if used[name] = true; !series[name] {
				t.Errorf("%s uses %s, which there is not", where, name)
			}
		}
	}
	if len(used) < 20 {
		t.Errorf("%d metrics are used, want at least 20", len(used))
	}
}

// TestTheDashboardIsWellFormed looks at what Grafana needs of it.
func TestTheDashboardIsWellFormed(t *testing.T) {
	type source struct{ Type, UID string }
	var d struct {
		Title, UID    string
		SchemaVersion int
		Templating    struct{ List []struct{ Name, Type string } }
		Panels        []struct {
			ID          int
			Type, Title string
			Datasource  source
			GridPos     struct{ H, W, X, Y int }
			Targets     []struct {
				RefID, Expr string
				Datasource  source
			}
		}
	}
	if err := json.Unmarshal([]byte(file(t, dashboard)), &d); err != nil {
		t.Fatal(err)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Type+" "+v.Name)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 36 || !slices.Equal(variables, []string{"datasource datasource", "query job"}) {
		t.Errorf("dashboard = %q %q of schema %d with %v, want the data source and the job to be chosen", d.Title, d.UID, d.SchemaVersion, variables)
	}
	ids, taken, rows := map[int]bool{}, map[[2]int]string{}, 0
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d %q has no id or title of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		for y := range p.GridPos.H {
			for x := range p.GridPos.W {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, there := taken[at]; there || at[0] >= 24 {
					t.Fatalf("panel %q lies over %q or beyond the edge", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			rows++
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q has nothing to show, or a data source of its own", p.Title)
		}
		for _, q := range p.Targets {
			if q.RefID == "" || q.Datasource.UID != "${datasource}" || strings.Count(q.Expr, "{") != strings.Count(q.Expr, `{job="$job"`) {
				t.Errorf("panel %q asks %q, want each series of the chosen job", p.Title, q.Expr)
			}
		}
	}
	if rows != 8 {
		t.Errorf("%d rows, want truth, speed, reads, Graph, backlog, Redis, mediator, process", rows)
	}
}

// TestEachAlarmHasItsParagraphAndItsTest also finds paragraphs without an alarm.
func TestEachAlarmHasItsParagraphAndItsTest(t *testing.T) {
	_, book, ok := strings.Cut(file(t, runBook), "\n## Run book\n")
	if !ok {
		t.Fatalf("%s has no run book", runBook)
	}
	rules, tests := file(t, alarms), file(t, alarmTests)
	blocks := strings.Split(rules, "- alert: ")[1:]
	var names []string
	for _, block := range blocks {
		name, rest, _ := strings.Cut(block, "\n")
		names = append(names, name)
		_, paragraph, ok := strings.Cut(book, "\n### "+name+"\n")
		if text, _, _ := strings.Cut(paragraph, "\n### "); !ok || len(strings.TrimSpace(text)) < 80 {
			t.Errorf("the run book says nothing of %s", name)
		}
		for _, part := range []string{"severity: ", "summary: ", "runbook_url: deploy/RUNBOOK.md#" + strings.ToLower(name) + "\n"} {
			if !strings.Contains(rest, part) {
				t.Errorf("%s lacks %q", name, part)
			}
		}
		if !regexp.MustCompile(`alertname: ` + name + `\n\s+exp_alerts:\n`).MatchString(tests) {
			t.Errorf("no test makes %s fire", name)
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (OutlookMonitor\w+)$`).FindAllStringSubmatch(book, -1) {
		if !slices.Contains(names, heading[1]) {
			t.Errorf("the run book has %s, which is no alarm", heading[1])
		}
	}
	if len(names) < 15 {
		t.Errorf("%d alarms, want at least 15", len(names))
	}
}
