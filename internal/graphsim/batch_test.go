package graphsim_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
)

// batchResult is one answer of a batch.
type batchResult struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    map[string]any    `json:"body"`
}

// batch sends a batch and returns the answers by id, and the ids in order of the answers.
func (f *fixture) batch(requests ...map[string]any) (order []string, byID map[string]batchResult) {
	f.T.Helper()
	a := f.graph("POST", "/$batch", map[string]any{"requests": requests})
	var got struct {
		Responses []batchResult `json:"responses"`
	}
	if err := json.Unmarshal(a.raw, &got); err != nil || a.status != 200 {
		f.T.Fatalf("batch = %d %s", a.status, a.raw)
	}
	byID = make(map[string]batchResult)
	for _, r := range got.Responses {
		order = append(order, r.ID)
		byID[r.ID] = r
	}
	return order, byID
}

func get(id, url string) map[string]any {
	return map[string]any{"id": id, "method": "GET", "url": url}
}

func TestInvalidBatch(t *testing.T) {
	f := start(t, graphsim.Config{})
	many := make([]map[string]any, 21)
	for i := range many {
		many[i] = get(fmt.Sprint(i), "/users/x")
	}
	for name, body := range map[string]any{
		"21 requests":        map[string]any{"requests": many},
		"no requests":        map[string]any{"requests": []any{}},
		"duplicate id":       map[string]any{"requests": []any{get("1", "/users/x"), get("1", "/users/y")}},
		"no id":              map[string]any{"requests": []any{get("", "/users/x")}},
		"absolute url":       map[string]any{"requests": []any{get("1", "https://graph.microsoft.com/v1.0/users/x")}},
		"no method":          map[string]any{"requests": []any{map[string]any{"id": "1", "url": "/users/x"}}},
		"no content type":    map[string]any{"requests": []any{map[string]any{"id": "1", "method": "POST", "url": "/subscriptions", "body": map[string]any{}}}},
		"unknown dependency": map[string]any{"requests": []any{map[string]any{"id": "1", "method": "GET", "url": "/users/x", "dependsOn": []string{"2"}}}},
		"no JSON":            "{",
		"id is a number":     `{"requests":[{"id":1,"method":"GET","url":"/users/x"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			f.graph("POST", "/$batch", body).want(t, 400, "BadRequest")
		})
	}
	nested := map[string]any{"id": "1", "method": "POST", "url": "/$batch", "headers": map[string]string{"Content-Type": "application/json"}, "body": map[string]any{}}
	if _, got := f.batch(nested); got["1"].Status != 400 {
		t.Errorf("nested batch = %+v, want 400", got["1"])
	}
}

func TestCompressedBatch(t *testing.T) {
	t.Parallel()
	f := start(t, graphsim.Config{})
	u := f.addUser("ann@contoso.example")
	compress := func(body []byte) []byte {
		var compressed bytes.Buffer
		z := gzip.NewWriter(&compressed)
		_, err := z.Write(body)
		f.Must(errors.Join(err, z.Close()))
		return compressed.Bytes()
	}
	body := encode(map[string]any{"requests": []any{get("1", "/users/"+u.ID)}})
	for name, tt := range map[string]struct {
		encoding string
		body     []byte
		status   int
	}{
		"gzip":                {"gzip", compress(body), 200},
		"invalid gzip":        {"gzip", body, 400},
		"other encoding":      {"br", body, 415},
		"5 MiB, uncompressed": {"gzip", compress(make([]byte, 5<<20)), 413},
	} {
		t.Run(name, func(t *testing.T) {
			header := f.header()
			header.Set("Content-Encoding", tt.encoding)
			if a := f.send("POST", f.URL()+"/v1.0/$batch", header, tt.body); a.status != tt.status {
				t.Errorf("answer = %d %s, want %d", a.status, a.raw, tt.status)
			}
		})
	}
}

func TestBatchConcurrencyAndOrder(t *testing.T) {
	f := start(t, graphsim.Config{})
	u := f.addUser("ann@contoso.example")
	f.SetFault(graphsim.Fault{Operation: "batch-item", Kind: "latency", Delay: graphsim.Duration(10 * time.Millisecond)})
	var requests []map[string]any
	var asked []string
	for i := range 20 {
		asked = append(asked, fmt.Sprint(i))
		requests = append(requests, get(asked[i], "/users/"+u.ID+repliesPath))
	}
	await.True(t, "the order differs", func() bool {
		order, got := f.batch(requests...)
		for id, r := range got {
			if r.Status != 200 {
				t.Errorf("%s = %+v, want 200: one batch sends at most four at a time", id, r)
			}
		}
		return !slices.Equal(order, asked)
	})
	if n := f.Stats().MaxConcurrentPerMailbox; n != 4 {
		t.Errorf("most concurrent = %d, want 4", n)
	}
}

func TestBatchDependencies(t *testing.T) {
	f := start(t, graphsim.Config{})
	u := f.addUser("ann@contoso.example")
	after := func(id, url, on string) map[string]any {
		return map[string]any{"id": id, "method": "GET", "url": url, "dependsOn": []string{on}}
	}
	_, got := f.batch(
		get("good", "/users/"+u.ID), after("2", "/users/"+u.ID, "good"),
		get("bad", "/users/nobody"), after("4", "/users/"+u.ID, "bad"), after("5", "/users/"+u.ID, "4"),
	)
	for id, status := range map[string]int{"good": 200, "2": 200, "bad": 404, "4": 424, "5": 424} {
		if got[id].Status != status {
			t.Errorf("%s = %+v, want %d", id, got[id], status)
		}
	}
}

// TestBatchOfSubscriptions creates subscriptions whose handshakes wait for each other.
func TestBatchOfSubscriptions(t *testing.T) {
	t.Parallel()
	f := start(t, graphsim.Config{})
	var together sync.WaitGroup
	together.Add(4)
	meeting := programtest.Serve(t, http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait()
		out.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(out, r.URL.Query().Get("validationToken"))
	}))
	var creations []map[string]any
	for i := range 4 {
		body := subscription(f.addUser(fmt.Sprintf("u%d@contoso.example", i)), newHook(t), time.Hour)
		body["notificationUrl"], body["lifecycleNotificationUrl"] = meeting, meeting
		creations = append(creations, map[string]any{
			"id": fmt.Sprint(i), "method": "post", "url": "/subscriptions", "headers": map[string]string{"content-type": "application/json"}, "body": body,
		})
	}
	_, made := f.batch(creations...)
	deletion := map[string]any{"id": "deleted", "method": "DELETE", "url": fmt.Sprint("/subscriptions/", made["3"].Body["id"])}
	if _, got := f.batch(deletion); got["deleted"].Status != 204 || got["deleted"].Body != nil || len(f.Subscriptions()) != 3 {
		t.Errorf("deletion = %+v with %d subscriptions left, want 204, no body and 3", got["deleted"], len(f.Subscriptions()))
	}
	if calls := f.Stats().Calls; calls["subscription-create"]["201"] != 4 || calls["subscription-delete"]["204"] != 1 || calls["batch"]["200"] != 2 {
		t.Errorf("calls = %v, want each counted like a single request", calls)
	}
}
