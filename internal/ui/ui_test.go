package ui_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
)

func TestRoutes(t *testing.T) {
	f := &fixture{token: token, users: []ooo.User{ooo.PendingUser("ann@contoso.example", ooo.Person{ID: "id-ann"})}}
	base := f.serve(t)
	browser := map[string]string{"Accept": "text/html,*/*"}
	operator := map[string]string{"Authorization": "Bearer " + token}
	browserAt := func(site string) map[string]string {
		return map[string]string{"Authorization": "Bearer " + token, "Sec-Fetch-Site": site}
	}
	for name, tt := range map[string]struct {
		request request
		status  int
		answer  string // contained
	}{
		"no trailing slash":        {request{"GET", "/ui", "", browser}, 301, ""},
		"page without a session":   {request{"GET", "/ui/", "", browser}, 401, "<form"},
		"page, no browser":         {request{"GET", "/ui/", "", nil}, 401, `"error"`},
		"page":                     {request{"GET", "/ui/", "", operator}, 200, "static/main.js"},
		"file of the login form":   {request{"GET", "/ui/open/style.css", "", nil}, 200, "--ground"},
		"other file, no session":   {request{"GET", "/ui/open/main.js", "", nil}, 404, ""},
		"script without a session": {request{"GET", "/ui/static/main.js", "", nil}, 401, ""},
		"script":                   {request{"GET", "/ui/static/main.js", "", operator}, 200, "import"},
		"unknown file":             {request{"GET", "/ui/static/nothing.js", "", operator}, 404, ""},
		"path traversal":           {request{"GET", "/ui/static/..%2f..%2fui.go", "", operator}, 400, ""},
		"template":                 {request{"GET", "/ui/static/login.html", "", operator}, 404, ""},
		"API description":          {request{"GET", "/ui/api.html", "", operator}, 200, "openapi.js"},
		"users":                    {request{"GET", "/ui/api/users", "", operator}, 200, `"email":"ann@contoso.example"`},
		"search":                   {request{"GET", "/ui/api/users?q=ann&filter=away", "", operator}, 200, `"total":1`},
		"unknown filter":           {request{"GET", "/ui/api/users?filter=nonsense", "", operator}, 400, ""},
		"search text too long":     {request{"GET", "/ui/api/users?q=" + strings.Repeat("x", 300), "", operator}, 400, ""},
		"summary":                  {request{"GET", "/ui/api/summary", "", operator}, 200, `"intervalMs":2000`},
		"charts":                   {request{"GET", "/ui/api/load", "", operator}, 200, `"stepMs":10000`},
		"login form too long":      {request{"POST", "/ui/login", "token=" + strings.Repeat("x", 9000), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, 400, ""},
		"user, by the API":         {request{"GET", "/ui/api/users/ann@contoso.example", "", operator}, 200, `"from":"api"`},
		"readiness, by the API":    {request{"GET", "/ui/api/health", "", operator}, 200, `"from":"api"`},
		"removal from this site":   {request{"DELETE", "/ui/api/users/a@b.example", "", browserAt("same-origin")}, 200, ""},
		"removal, another site":    {request{"DELETE", "/ui/api/users/a@b.example", "", browserAt("cross-site")}, 403, ""},
		"GET from another site":    {request{"GET", "/ui/api/users", "", browserAt("cross-site")}, 200, ""},
		"login from another site":  {request{"POST", "/ui/login", "", browserAt("cross-site")}, 403, ""},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := tt.request.send(t, base)
			if response.StatusCode != tt.status || !strings.Contains(body, tt.answer) {
				t.Errorf("%s %s = %d %.200s, want %d with %q", tt.request.method, tt.request.path, response.StatusCode, body, tt.status, tt.answer)
			}
			h := response.Header
			if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") ||
				h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("headers = %v, want a policy, nosniff and no-referrer", h)
			}
		})
	}
}

func TestForwardedRequestsCarryTheToken(t *testing.T) {
	f := &fixture{token: token}
	base := f.serve(t)
	cookie := session(t, base)
	for _, r := range []request{
		{"PUT", "/ui/api/users/o%2Fneil+x@contoso.example", "", nil}, {"GET", "/ui/api/users/a@b.example/history?limit=5", "", nil},
		{"GET", "/ui/api/openapi.json", "", nil}, {"POST", "/ui/api/users", "{}", nil},
	} {
		r.header = map[string]string{"Cookie": cookie.Name + "=" + cookie.Value}
		r.send(t, base)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	want := []string{
		"PUT /api/users/o%2Fneil+x@contoso.example? Bearer " + token, "GET /api/users/a@b.example/history?limit=5 Bearer " + token,
		"GET /api/openapi.json? Bearer " + token, "POST /api/users? Bearer " + token,
	}
	if !slices.Equal(f.api, want) {
		t.Errorf("the API received %q, want %q", f.api, want)
	}
}

func TestStoreFailure(t *testing.T) {
	base := (&fixture{err: errors.New("redis: connection refused")}).serve(t)
	for _, target := range []string{"/ui/api/users", "/ui/api/users?q=a", "/ui/api/summary", "/ui/api/load"} {
		response, body := request{"GET", target, "", nil}.send(t, base)
		if response.StatusCode != 503 || strings.Contains(body, "refused") {
			t.Errorf("GET %s = %d %s, want 503 without the error of the store", target, response.StatusCode, body)
		}
	}
}

func TestFeedResumes(t *testing.T) {
	f := &fixture{}
	f.addEvent(ooo.EventStarted)
	base := f.serve(t)
	response := request{"GET", "/ui/api/feed", "", nil}.open(t, base)
	if got := response.Header.Get("Content-Type"); got != "text/event-stream;charset=utf-8" {
		t.Errorf("Content-Type = %q, want text/event-stream;charset=utf-8", got)
	}
	f.addEvent(ooo.EventChanged)
	data, id := readFeed(t, response, 2)
	if len(data) != 2 || !strings.Contains(data[1], `"changed"`) || !strings.Contains(data[1], `"name":"Ann"`) {
		t.Errorf("feed = %q, want both events", data)
	}
	response.Body.Close()
	f.addEvent(ooo.EventDelivered)
	for name, r := range map[string]request{
		"by header": {"GET", "/ui/api/feed", "", map[string]string{"Last-Event-ID": id}},
		"by query":  {"GET", "/ui/api/feed?after=" + id, "", nil},
	} {
		data, _ := readFeed(t, r.open(t, base), 1)
		if len(data) != 1 || !strings.Contains(data[0], `"delivered"`) {
			t.Errorf("feed %s = %q, want the missed event", name, data)
		}
	}
}

func TestFeedsAreLimitedAndEndWithRun(t *testing.T) {
	f := &fixture{}
	base := f.serve(t)
	f.meter.Delivered(0)
	f.meter.Delivered(40 * time.Millisecond)
	stop := await.Run(t, f.page.Run)
	response := request{"GET", "/ui/api/feed", "", nil}.open(t, base)
	readFeed(t, response, 0)
	status := 200
	for opened := 1; opened < 30 && status == 200; opened++ {
		status = request{"GET", "/ui/api/feed", "", nil}.open(t, base).StatusCode
	}
	if status != http.StatusServiceUnavailable {
		t.Errorf("status of a feed over the limit = %d, want 503", status)
	}
	stop()
	var rest [1]byte
	if _, err := response.Body.Read(rest[:]); err == nil {
		t.Error("the feed continues, want it ended")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reports) == 0 || f.reports[0].ID != "life" || !maps.Equal(f.reports[0].Load.Delivered, map[int]int{0: 1, bucketOf40ms: 1}) {
		t.Errorf("reports = %v, want the first with two deliveries", f.reports)
	}
}

// now is the time of the shared clock.
var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// The buckets of two latencies: each bucket ends at 1.25 times the end of the one before.
const bucketOf40ms, bucketOf250ms = 17, 25

// report is what a replica that runs for age has reported some time ago.
func report(id string, age, ago time.Duration, reads int) ooo.Replica {
	return ooo.Replica{ID: id, Host: "host-" + id, Since: now.Add(-age), SeenAt: now.Add(-ago), Load: ooo.Load{
		Span: 10 * time.Second, Reads: reads, Throttled: 1, Late: ago / 1000, Delivered: map[int]int{bucketOf40ms: 9, bucketOf250ms: 1},
	}}
}

func TestChartsSumReplicas(t *testing.T) {
	f := &fixture{reports: []ooo.Replica{
		report("a", time.Hour, 15*time.Second, 100), report("b", time.Hour, 15*time.Second, 50), report("old", time.Hour, 2*time.Hour, 1000),
	}}
	_, body := request{"GET", "/ui/api/load", "", nil}.send(t, f.serve(t))
	var got struct {
		From        time.Time
		Reads       []float64
		Delivered   []int
		Median, P95 []int64
		Throttled   []float64
		Late        []int64
		StepMS      int64 `json:"stepMs"`
	}
	must.NoError(t, json.Unmarshal([]byte(body), &got))
	if want := now.Add(-time.Hour - 10*time.Second); !got.From.Equal(want) || len(got.Reads) != 360 {
		t.Errorf("chart = %d steps from %v, want 360 from %v", len(got.Reads), got.From, want)
	}
	// Both reports cover half of the last step and half of the one before.
	if got.Reads[359] != 7.5 || got.Reads[358] != 7.5 || got.Throttled[359] != 1 {
		t.Errorf("reads = %v, throttled = %v, want 7.5 a second and 1", got.Reads[357:], got.Throttled[357:])
	}
	if got.Delivered[359] != 20 || got.Late[359] != 15 {
		t.Errorf("delivered = %d, late = %d ms, want 20 and 15", got.Delivered[359], got.Late[359])
	}
	// Quantiles are the ends of buckets.
	if got.Median[0] != 0 || got.Median[359] != 44 || got.P95[359] != 264 {
		t.Errorf("median = %d ms and %d ms, p95 = %d ms, want 0, 44 and 264", got.Median[0], got.Median[359], got.P95[359])
	}
}

func TestSummaryListsReplicas(t *testing.T) {
	f := &fixture{reports: []ooo.Replica{
		report("gone", 3*time.Hour, 31*time.Second, 1), report("young", time.Hour, 29*time.Second, 2),
		report("old", 2*time.Hour, 12*time.Second, 3), report("young", time.Hour, 9*time.Second, 40),
	}}
	_, body := request{"GET", "/ui/api/summary", "", nil}.send(t, f.serve(t))
	old, young := `{"host":"host-old","id":"old",`, `{"host":"host-young","id":"young",`
	i, j := strings.Index(body, old), strings.Index(body, young)
	if i < 0 || j < i || strings.Count(body, young) != 1 || strings.Contains(body, "gone") {
		t.Errorf("summary = %s, want old and young", body)
	}
	if !strings.Contains(body[max(j, 0):], `"lateMs":9,"readsASecond":4,"seenAt":"2026-11-25T11:59:51Z"`) {
		t.Errorf("summary = %s, want the newest report of young", body)
	}
}

func TestPageKnowsEventsAndFilters(t *testing.T) {
	events, _ := os.ReadFile("../ooo/event.go")
	texts, _ := os.ReadFile("static/events.js")
	_, titles, _ := strings.Cut(string(texts), "function title")
	for _, m := range regexp.MustCompile(`\t\w+ +(EventKind|Source) += "(\w+)"`).FindAllStringSubmatch(string(events), -1) {
		if m[1] == "Source" && !strings.Contains(string(texts), m[2]+`: "`) || m[1] == "EventKind" && !strings.Contains(titles, `case "`+m[2]+`"`) {
			t.Errorf("events.js has no text for %s %s", m[1], m[2])
		}
	}
	list, _ := os.ReadFile("static/users.js")
	for _, filter := range ooo.Filters {
		if !strings.Contains(string(list), `["`+string(filter)+`", "`) {
			t.Errorf("users.js does not show the filter %s", filter)
		}
	}
}
