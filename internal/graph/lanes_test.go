package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

// item is one request of a $batch.
type item struct {
	ID      string            `json:"id"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

// itemsOf reads a $batch.
func itemsOf(t testing.TB, r *http.Request) []item {
	var body struct {
		Requests []item `json:"requests"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		t.Errorf("batch: %v", err)
	}
	return body.Requests
}

// answerItems answers each request of a $batch, the last one first.
func answerItems(w http.ResponseWriter, items []item, answer func(item) (status int, body string)) {
	var answers []string
	for _, i := range slices.Backward(items) {
		status, body := answer(i)
		one := fmt.Sprintf(`{"id":%q,"status":%d,"headers":{"Retry-After":"9"}`, i.ID, status)
		if body != "" {
			one += `,"body":` + body
		}
		answers = append(answers, one+"}")
	}
	answerJSON(w, http.StatusOK, `{"responses":[`+strings.Join(answers, ",")+`]}`)
}

// granted is the answer to a creation or a renewal that went well.
func granted(id string) string {
	return `{"id":"` + id + `","expirationDateTime":"2026-11-25T12:00:00Z"}`
}

// busyStub is a stub whose lanes are all taken until release is called. What goes
// to Graph afterwards is answered by answer.
func busyStub(t testing.TB, answer http.HandlerFunc) (c *graph.Client, release func()) {
	_, c, release = busyServer(t, answer)
	return c, release
}

// busyServer is busyStub with the stub itself.
func busyServer(t testing.TB, answer http.HandlerFunc) (s *stub, c *graph.Client, release func()) {
	gate := make(chan struct{})
	var held atomic.Int32
	s = newStub(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/held") {
			answer(w, r)
			return
		}
		held.Add(1)
		<-gate
		w.WriteHeader(http.StatusNoContent)
	})
	c = s.client(t)
	var holders sync.WaitGroup
	for range graph.LaneCount {
		holders.Go(func() {
			if err := c.DeleteSubscription(context.Background(), "held"); err != nil {
				t.Errorf("DeleteSubscription = %v, want nil", err)
			}
		})
	}
	until(t, "that all lanes are taken", func() bool { return held.Load() == graph.LaneCount })
	return s, c, sync.OnceFunc(func() {
		close(gate)
		holders.Wait()
	})
}

// busy takes all lanes of a client of the local Graph until release is called.
func (w *world) busy(c *graph.Client) (release func()) {
	gate := make(chan struct{})
	var held atomic.Int32
	hook := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		held.Add(1)
		<-gate
		out.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(out, r.URL.Query().Get("validationToken"))
	}))
	w.t.Cleanup(hook.Close)
	var holders sync.WaitGroup
	for i := range graph.LaneCount {
		ask := wanted(w.user(fmt.Sprintf("holder%d@contoso.example", i)), hook.URL, time.Hour)
		ask.LifecycleURL = ask.NotificationURL
		holders.Go(func() {
			if _, err := c.CreateSubscription(context.Background(), ask); err != nil {
				w.t.Errorf("CreateSubscription = %v, want nil", err)
			}
		})
	}
	until(w.t, "that all lanes are taken", func() bool { return held.Load() == graph.LaneCount })
	return sync.OnceFunc(func() {
		close(gate)
		holders.Wait()
	})
}

// queue starts calls one after the other, each when the one before it waits for a
// lane, and returns what waits for their end.
func queue(t testing.TB, c *graph.Client, calls ...func()) (wait func()) {
	var wg sync.WaitGroup
	for i, call := range calls {
		wg.Go(call)
		until(t, "that the call waits", func() bool { return c.Waiting() == i+1 })
	}
	return wg.Wait
}

// slowSim waits longer for handshakes than a busy machine may need.
var slowSim = graphsim.Config{RetryTimeout: patience}

func TestManyWritesShareCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowSim)
	c := w.client()
	const many = 60
	var made [many]ooo.GraphSubscription
	hook := newHook(t)
	var wg sync.WaitGroup
	for i, id := range w.users(many) {
		wg.Go(func() {
			ask := wanted(id, hook.URL, 2*time.Hour)
			var err error
			if made[i], err = c.CreateSubscription(t.Context(), ask); err != nil || made[i].Resource != ask.Resource {
				t.Errorf("CreateSubscription = %+v, %v, want one to %s", made[i], err, ask.Resource)
			}
		})
	}
	wg.Wait()
	release := w.busy(c)
	w.ResetStats()
	before := w.seen.all("subscription-batch")
	for i := range many {
		wg.Go(func() {
			want := made[i]
			want.ExpiresAt = time.Now().Add(time.Hour + time.Duration(i)*time.Minute).UTC().Truncate(time.Second)
			got, err := c.PatchSubscription(t.Context(), want.ID, ooo.SubscriptionPatch{ExpiresAt: want.ExpiresAt})
			if got != want || err != nil {
				t.Errorf("PatchSubscription = %+v, %v, want %+v", got, err, want)
			}
		})
	}
	until(t, "that all wait", func() bool { return c.Waiting() == many })
	release()
	wg.Wait()
	calls := w.seen.all("subscription-batch") - before + w.seen.all("subscription-renew")
	if calls < many/4 || calls > many/2 { // Graph works on four of a batch at once
		t.Errorf("%d calls, want %d to %d", calls, many/4, many/2)
	}
	stats := w.Stats().Calls
	if got := stats["subscription-renew"]["200"]; got != many {
		t.Errorf("Graph counts %d renewals, want %d", got, many)
	}
	if got := stats["batch"]["200"]; got != int64(w.seen.all("subscription-batch")-before) {
		t.Errorf("Graph counts %d batches, want the %d that were seen", got, w.seen.all("subscription-batch")-before)
	}
}

func TestAWriteAloneGoesByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowSim)
	c := w.client()
	made, err := c.CreateSubscription(t.Context(), wanted(w.user("ann@contoso.example"), newHook(t).URL, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	release := w.busy(c)
	wait := queue(t, c, func() {
		if err := c.DeleteSubscription(t.Context(), made.ID); err != nil {
			t.Errorf("DeleteSubscription = %v, want nil", err)
		}
	})
	release()
	wait()
	if got := w.seen.all("subscription-batch"); got != 0 || w.seen.of("subscription-delete", 204) != 1 {
		t.Errorf("%d batches and %d deletions, want one deletion by itself", got, w.seen.of("subscription-delete", 204))
	}
}

func TestWhatMayNotShareABatch(t *testing.T) {
	t.Parallel()
	batches := make(chan string, 10)
	note := func(items []item) {
		var what []string
		for _, i := range items {
			what = append(what, i.Method+" "+i.URL)
		}
		batches <- strings.Join(what, ", ")
	}
	c, release := busyStub(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/$batch") {
			note([]item{{Method: r.Method, URL: strings.TrimPrefix(r.URL.Path, "/v1.0")}})
			answerJSON(w, http.StatusOK, granted("1"))
			return
		}
		items := itemsOf(t, r)
		note(items)
		answerItems(w, items, func(item) (int, string) { return http.StatusOK, granted("1") })
	})
	change := func(id ooo.SubscriptionID, url string) func() {
		return func() {
			patch := ooo.SubscriptionPatch{ExpiresAt: time.Now(), NotificationURL: url}
			if _, err := c.PatchSubscription(t.Context(), id, patch); err != nil {
				t.Errorf("PatchSubscription = %v, want nil", err)
			}
		}
	}
	create := func() {
		if _, err := c.CreateSubscription(t.Context(), wanted("8c1d", "https://hook.example", time.Hour)); err != nil {
			t.Errorf("CreateSubscription = %v, want nil", err)
		}
	}
	wait := queue(t, c, change("a", ""), change("b", ""), create, change("a", ""), create, create, create,
		change("c", "https://new.example"), change("d", ""))
	release()
	wait()
	close(batches)
	var got []string
	for b := range batches {
		got = append(got, b)
	}
	slices.Sort(got)
	want := []string{
		"PATCH /subscriptions/a", // again
		"PATCH /subscriptions/a, PATCH /subscriptions/b, PATCH /subscriptions/d",
		"PATCH /subscriptions/c", // calls our URL, but four that do so are enough
		"POST /subscriptions, POST /subscriptions, POST /subscriptions, POST /subscriptions",
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls = %q, want %q", got, want)
	}
}

func TestCallersThatLeave(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan int, 1), make(chan struct{})
	c, release := busyStub(t, func(w http.ResponseWriter, r *http.Request) {
		items := itemsOf(t, r)
		arrived <- len(items)
		<-answer
		answerItems(w, items, func(i item) (int, string) { return http.StatusCreated, granted(i.ID) })
	})
	early, leaveEarly := context.WithCancel(t.Context())
	late, leaveLate := context.WithCancel(t.Context())
	create := func(ctx context.Context, err *error) func() {
		return func() { _, *err = c.CreateSubscription(ctx, wanted("8c1d", "https://hook.example", time.Hour)) }
	}
	var never, left, stayed, stayedToo error
	waitEarly := queue(t, c, create(early, &never))
	leaveEarly()
	waitEarly()
	if !errors.Is(never, ooo.ErrUnavailable) || !errors.Is(never, context.Canceled) || errors.Is(never, ooo.ErrNoAnswer) {
		t.Errorf("one that leaves while it waits: %v, want %v without %v", never, context.Canceled, ooo.ErrNoAnswer)
	}
	leaver := make(chan struct{})
	wait := queue(t, c, func() { defer close(leaver); create(late, &left)() },
		create(t.Context(), &stayed), create(t.Context(), &stayedToo))
	release()
	if got := <-arrived; got != 3 {
		t.Errorf("a batch of %d, want 3", got)
	}
	leaveLate()
	<-leaver // while the others wait
	if !errors.Is(left, ooo.ErrUnavailable) || !errors.Is(left, context.Canceled) || !errors.Is(left, ooo.ErrNoAnswer) {
		t.Errorf("one that leaves its batch: %v, want %v with %v", left, context.Canceled, ooo.ErrNoAnswer)
	}
	answer <- struct{}{}
	wait()
	if stayed != nil || stayedToo != nil {
		t.Errorf("those that stay: %v and %v, want no errors", stayed, stayedToo)
	}
}

func TestABatchEndsWhenAllHaveLeft(t *testing.T) {
	t.Parallel()
	arrived, ended := make(chan struct{}), make(chan struct{})
	c, release := busyStub(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice
		close(arrived)
		<-r.Context().Done()
		close(ended)
	})
	ctx, leave := context.WithCancel(t.Context())
	errs := make([]error, 3)
	create := func(err *error) func() {
		return func() { _, *err = c.CreateSubscription(ctx, wanted("8c1d", "https://hook.example", time.Hour)) }
	}
	wait := queue(t, c, create(&errs[0]), create(&errs[1]), create(&errs[2]))
	release()
	<-arrived
	leave()
	wait()
	<-ended
	for _, err := range errs {
		if !errors.Is(err, ooo.ErrUnavailable) || !errors.Is(err, context.Canceled) || !errors.Is(err, ooo.ErrNoAnswer) {
			t.Errorf("CreateSubscription = %v, want %v with %v", err, context.Canceled, ooo.ErrNoAnswer)
		}
	}
}
