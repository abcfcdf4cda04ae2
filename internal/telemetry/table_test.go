package telemetry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	dto "github.com/prometheus/client_model/go"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/telemetry"
)

const (
	metricsTable = "../../deploy/METRICS.md"
	alerts       = "../../deploy/prometheus/rules.yaml"
	alertTests   = "../../deploy/prometheus/rules_test.yaml"
	dashboard    = "../../deploy/grafana/outlook-monitor.json"
	runBook      = "../../deploy/RUNBOOK.md"
)

// withAllMetrics returns metrics that all have a value.
func withAllMetrics() *telemetry.Metrics {
	m := telemetry.NewMetrics(build)
	m.WatchGauges(func(context.Context) telemetry.Gauges { return gauges })
	countEach(m)
	return m
}

// row returns the row of a family in the table of metrics.
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

func TestMetricsTable(t *testing.T) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scrape(t, withAllMetrics())))
	must.NoError(t, err)
	var want []string
	for name, f := range families {
		if metricName.MatchString(name) {
			want = append(want, row(f))
		}
	}
	slices.Sort(want)
	filetest.WantRows(t, metricsTable, "| metric | type | labels | meaning |", want)
}

var metricName = regexp.MustCompile(`outlook_monitor_[a-z_]+`)

func TestAlertsAndDashboardUseExistingSeries(t *testing.T) {
	existing := regexp.MustCompile("(?m)^"+metricName.String()).FindAllString(scrape(t, withAllMetrics()), -1)
	used := map[string]bool{}
	for _, where := range []string{alerts, alertTests, dashboard} {
		for _, name := range metricName.FindAllString(filetest.Read(t, where), -1) {
			if used[name] = true; !slices.Contains(existing, name) {
				t.Errorf("%s uses %s, which does not exist", where, name)
			}
		}
	}
	if len(used) < 20 {
		t.Errorf("%d metrics are used, want at least 20", len(used))
	}
}

// TestDashboardIsWellFormed checks what Grafana needs.
func TestDashboardIsWellFormed(t *testing.T) {
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
	must.NoError(t, json.Unmarshal([]byte(filetest.Read(t, dashboard)), &d))
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Type+" "+v.Name)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 36 || !slices.Equal(variables, []string{"datasource datasource", "query job"}) {
		t.Errorf("dashboard = %q %q of schema %d with %v, want variables for the data source and the job", d.Title, d.UID, d.SchemaVersion, variables)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d %q lacks a unique id or a title", p.ID, p.Title)
		}
		ids[p.ID] = true
		for y := range p.GridPos.H {
			for x := range p.GridPos.W {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, overlaps := taken[at]; overlaps || at[0] >= 24 {
					t.Fatalf("panel %q overlaps %q or the edge", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q has no query, or another data source", p.Title)
		}
		for _, q := range p.Targets {
			if q.RefID == "" || q.Datasource.UID != "${datasource}" || strings.Count(q.Expr, "{") != strings.Count(q.Expr, `{job="$job"`) {
				t.Errorf("panel %q queries %q, want the job of each series to be $job", p.Title, q.Expr)
			}
		}
	}
}

// TestAlertsAreDocumentedAndTested also finds paragraphs without an alert.
func TestAlertsAreDocumentedAndTested(t *testing.T) {
	_, book, ok := strings.Cut(filetest.Read(t, runBook), "\n## Run book\n")
	if !ok {
		t.Fatalf("%s has no run book", runBook)
	}
	rules, tests := filetest.Read(t, alerts), filetest.Read(t, alertTests)
	blocks := strings.Split(rules, "- alert: ")[1:]
	var names []string
	for _, block := range blocks {
		name, rest, _ := strings.Cut(block, "\n")
		names = append(names, name)
		_, paragraph, ok := strings.Cut(book, "\n### "+name+"\n")
		if text, _, _ := strings.Cut(paragraph, "\n### "); !ok || len(strings.TrimSpace(text)) < 80 {
			t.Errorf("the run book lacks a paragraph for %s", name)
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
			t.Errorf("the run book has %s, which is not an alert", heading[1])
		}
	}
	if len(names) < 15 {
		t.Errorf("%d alerts, want at least 15", len(names))
	}
}
