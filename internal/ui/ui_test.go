package ui_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestWhatIsAnswered(t *testing.T) {
	w := &world{token: token, users: []ooo.User{ooo.PendingUser("ann@contoso.example", ooo.Person{ID: "id-ann"})}}
	base := w.serve(t)
	browser := map[string]string{"Accept": "text/html,*/*"}
	operator := map[string]string{"Authorization": "Bearer " + token}
	tests := map[string]struct {
		request request
		status  int
		answer  string // contained
	}{
		"no slash at the end":           {request{"GET", "/ui", "", browser}, 301, ""},
		"the page without a session":    {request{"GET", "/ui/", "", browser}, 401, "<form"},
		"the page for a program":        {request{"GET", "/ui/", "", nil}, 401, `"error"`},
		"the page":                      {request{"GET", "/ui/", "", operator}, 200, "static/main.js"},
		"what the form needs":           {request{"GET", "/ui/open/style.css", "", nil}, 200, "--ground"},
		"what the form does not need":   {request{"GET", "/ui/open/main.js", "", nil}, 404, ""},
		"a script without a session":    {request{"GET", "/ui/static/main.js", "", nil}, 401, ""},
		"a script":                      {request{"GET", "/ui/static/main.js", "", operator}, 200, "import"},
		"a file that is not there":      {request{"GET", "/ui/static/nothing.js", "", operator}, 404, ""},
		"a way out of the files":        {request{"GET", "/ui/static/..%2f..%2fui.go", "", operator}, 404, ""},
		"a template":                    {request{"GET", "/ui/static/login.html", "", operator}, 404, ""},
		"API description":               {request{"GET", "/ui/api.html", "", operator}, 200, "openapi.js"},
		"users":                         {request{"GET", "/ui/api/users", "", operator}, 200, `"email":"ann@contoso.example"`},
		"a search":                      {request{"GET", "/ui/api/users?q=ann&filter=away", "", operator}, 200, `"total":1`},
		"an unknown filter":             {request{"GET", "/ui/api/users?filter=nonsense", "", operator}, 400, ""},
		"a text without end":            {request{"GET", "/ui/api/users?q=" + strings.Repeat("x", 300), "", operator}, 400, ""},
		"the head line":                 {request{"GET", "/ui/api/summary", "", operator}, 200, `"intervalMs":2000`},
		"the charts":                    {request{"GET", "/ui/api/load", "", operator}, 200, `"stepMs":10000`},
		"new cover":                     {request{"POST", "/ui/api/users/ANN@contoso.example/cover", "", operator}, 202, ""},
		"new cover of nobody":           {request{"POST", "/ui/api/users/bob@contoso.example/cover", "", operator}, 404, ""},
		"new cover of what is no name":  {request{"POST", "/ui/api/users/bob/cover", "", operator}, 404, ""},
		"a form that is far too long":   {request{"POST", "/ui/login", "token=" + strings.Repeat("x", 9000), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, 400, ""},
		"a user, by the API":            {request{"GET", "/ui/api/users/ann@contoso.example", "", operator}, 200, `"from":"api"`},
		"the readiness, by the service": {request{"GET", "/ui/api/health", "", operator}, 200, `"from":"api"`},
	}
	for name, tt := range tests {
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
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.hints) != 1 || w.hints[0].ID != "id-ann" || w.hints[0].Kind != ooo.HintSubscription {
		t.Errorf("hints = %+v, want one for the subscriptions of ann", w.hints)
	}
}

func TestTheAPIIsAskedOnBehalfOfTheOperator(t *testing.T) {
	w := &world{token: token}
	base := w.serve(t)
	cookie := session(t, base)
	for _, r := range []request{
		{"PUT", "/ui/api/users/o%2Fneil+x@contoso.example", "", nil}, {"GET", "/ui/api/users/a@b.example/history?limit=5", "", nil},
		{"GET", "/ui/api/openapi.json", "", nil}, {"POST", "/ui/api/users", "{}", nil},
	} {
		r.header = map[string]string{"Cookie": cookie.Name + "=" + cookie.Value}
		r.send(t, base)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	want := []string{
		"PUT /api/users/o%2Fneil+x@contoso.example? Bearer " + token, "GET /api/users/a@b.example/history?limit=5 Bearer " + token,
		"GET /api/openapi.json? Bearer " + token, "POST /api/users? Bearer " + token,
	}
	if !slices.Equal(w.api, want) {
		t.Errorf("the API was asked %q, want %q", w.api, want)
	}
}

func TestARedisThatIsAwayIsReported(t *testing.T) {
	base := (&world{err: errors.New("redis: connection refused")}).serve(t)
	for _, target := range []string{"/ui/api/users", "/ui/api/users?q=a", "/ui/api/summary", "/ui/api/load"} {
		response, body := request{"GET", target, "", nil}.send(t, base)
		if response.StatusCode != 503 || strings.Contains(body, "refused") {
			t.Errorf("GET %s = %d %s, want 503 without Redis' own words", target, response.StatusCode, body)
		}
	}
}

func TestUsersAreCountedOnceForMany(t *testing.T) {
	w := &world{resources: 1}
	base := w.serve(t)
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() { request{"GET", "/ui/api/summary", "", nil}.send(t, base) })
	}
	asking.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queries) != 1 || w.queries[0].Limit != 0 || w.queries[0].Resources != 1 {
		t.Errorf("queries = %v, want one that counts", w.queries)
	}
}

func TestTheFeedGoesOnWhereItEnded(t *testing.T) {
	w := &world{}
	w.tell(ooo.EventStarted)
	base := w.serve(t)
	response := request{"GET", "/ui/api/feed", "", nil}.open(t, base)
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type = %q, want text/event-stream", got)
	}
	w.tell(ooo.EventChanged)
	data, id := lines(t, response, 2)
	if len(data) != 2 || !strings.Contains(data[1], `"changed"`) || !strings.Contains(data[1], `"name":"Ann"`) {
		t.Errorf("feed = %q, want what was and what came", data)
	}
	response.Body.Close()
	w.tell(ooo.EventDelivered)
	for name, r := range map[string]request{
		"by header": {"GET", "/ui/api/feed", "", map[string]string{"Last-Event-ID": id}},
		"by query":  {"GET", "/ui/api/feed?after=" + id, "", nil},
	} {
		data, _ := lines(t, r.open(t, base), 1)
		if len(data) != 1 || !strings.Contains(data[0], `"delivered"`) {
			t.Errorf("feed %s = %q, want what was missed", name, data)
		}
	}
}

func TestFeedsEndWithTheService(t *testing.T) {
	w := &world{}
	u, handler := w.page(t)
	server := httptest.NewServer(handler)
	defer server.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- u.Run(ctx) }()
	response := request{"GET", "/ui/api/feed", "", nil}.open(t, server.URL)
	lines(t, response, 0)
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	var rest [1]byte
	if _, err := response.Body.Read(rest[:]); err == nil {
		t.Error("the feed goes on, want it ended")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.beats) == 0 || len(w.left) != 1 || w.left[0] != w.beats[0].ID {
		t.Errorf("beats = %v, left = %v, want that it lived and left", w.beats, w.left)
	}
}

func TestFeedsAreBounded(t *testing.T) {
	base := (&world{}).serve(t)
	status := 0
	for range 30 {
		if status = (request{"GET", "/ui/api/feed", "", nil}).open(t, base).StatusCode; status != 200 {
			break
		}
	}
	if status != http.StatusServiceUnavailable {
		t.Errorf("status of one feed too many = %d, want 503", status)
	}
}

func TestTheChartsAddUpAllReplicas(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	// 17 is the bucket of 40 ms.
	beat := func(id string, ago time.Duration, reads int) ooo.LoadAt {
		return ooo.LoadAt{At: now.Add(-ago), Replica: id, Load: ooo.Load{
			Span: 10 * time.Second, Reads: reads, Throttled: 1, Late: ago / 1000, Delivered: map[int]int{17: 2},
		}}
	}
	w := &world{now: now, loads: []ooo.LoadAt{beat("a", 15*time.Second, 100), beat("b", 15*time.Second, 50), beat("old", 2*time.Hour, 1000)}}
	_, body := request{"GET", "/ui/api/load", "", nil}.send(t, w.serve(t))
	var got struct {
		From        time.Time
		Reads       []float64
		Delivered   []int
		Median, P95 []int64
		Throttled   []float64
		Late        []int64
		StepMS      int64 `json:"stepMs"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if want := now.Add(-time.Hour - 10*time.Second); !got.From.Equal(want) || len(got.Reads) != 360 {
		t.Errorf("chart = %d steps from %v, want 360 from %v", len(got.Reads), got.From, want)
	}
	// Both beats tell of half of the last step and half of the one before.
	if got.Reads[359] != 7.5 || got.Reads[358] != 7.5 || got.Throttled[359] != 1 {
		t.Errorf("reads = %v, throttled = %v, want 7.5 a second and 1", got.Reads[357:], got.Throttled[357:])
	}
	if got.Delivered[359] != 4 || got.Median[359] < 40 || got.Median[359] > 50 || got.Late[359] != 15 {
		t.Errorf("delivered = %d, median = %d ms, late = %d ms, want 4, about 40, 15", got.Delivered[359], got.Median[359], got.Late[359])
	}
}

// TestThePagesNeedNothingFromElsewhere looks for what a browser would fetch.
func TestThePagesNeedNothingFromElsewhere(t *testing.T) {
	base := (&world{}).serve(t)
	refers := regexp.MustCompile(`(?:src|href)="((?:open|static)/[^"]+)"|from "\./([^"]+)"`)
	seen, queue := map[string]bool{}, []string{"/ui/", "/ui/api.html"}
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		if seen[file] {
			continue
		}
		seen[file] = true
		response, body := request{"GET", file, "", nil}.send(t, base)
		if response.StatusCode != 200 {
			t.Errorf("GET %s = %d, want 200", file, response.StatusCode)
		}
		if strings.Contains(strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""), "http://") || strings.Contains(body, "https://") {
			t.Errorf("%s names another server", file)
		}
		for _, found := range refers.FindAllStringSubmatch(body, -1) {
			switch {
			case found[1] != "":
				queue = append(queue, "/ui/"+found[1])
			default:
				queue = append(queue, path.Join("/ui/static", found[2]))
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("files = %d, want all of them", len(seen))
	}
}
