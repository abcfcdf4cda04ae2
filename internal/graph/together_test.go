package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

// outcome is what became of a write.
type outcome struct {
	sub ooo.GraphSubscription
	err error
}

func create(ctx context.Context, c *graph.Client, to *outcome) func() {
	return func() { to.sub, to.err = c.CreateSubscription(ctx, wanted("8c1d", "https://hook.example", time.Hour)) }
}

func renew(ctx context.Context, c *graph.Client, id ooo.SubscriptionID, to *outcome) func() {
	return func() {
		to.sub, to.err = c.PatchSubscription(ctx, id, ooo.SubscriptionPatch{ExpiresAt: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)})
	}
}

func remove(ctx context.Context, c *graph.Client, id ooo.SubscriptionID, to *outcome) func() {
	return func() { to.err = c.DeleteSubscription(ctx, id) }
}

func TestEachWriteOfABatchHasItsOwnOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowSim)
	c := w.client()
	hook := newHook(t)
	var ids []ooo.SubscriptionID
	users := w.users(3)
	for _, user := range users {
		made, err := c.CreateSubscription(t.Context(), wanted(user, hook.URL, time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.ID)
	}
	w.fault(graphsim.Fault{Operation: "subscription-renew", Kind: "throttle", User: string(users[1]), RetryAfter: graphsim.Duration(9 * time.Second)})
	release := w.busy(c)
	w.ResetStats()
	var ok, throttled, gone, deleted outcome
	later := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
	wait := queue(t, c,
		func() {
			ok.sub, ok.err = c.PatchSubscription(t.Context(), ids[0], ooo.SubscriptionPatch{ExpiresAt: later})
		},
		renew(t.Context(), c, ids[1], &throttled), renew(t.Context(), c, "nowhere", &gone), remove(t.Context(), c, ids[2], &deleted))
	release()
	wait()
	expect(t, "one that works", ok.err, nil, nil)
	if ok.sub.ID != ids[0] || !ok.sub.ExpiresAt.Equal(later) {
		t.Errorf("PatchSubscription = %+v, want %s until %v", ok.sub, ids[0], later)
	}
	expect(t, "one that is throttled", throttled.err, nil, &ooo.Throttled{After: 9 * time.Second, Whole: true})
	expect(t, "one that is gone", gone.err, ooo.ErrSubscriptionGone, nil)
	expect(t, "one that is deleted", deleted.err, nil, nil)
	stats := w.Stats().Calls
	if stats["batch"]["200"] != 1 || stats["subscription-renew"]["200"] != 1 || stats["subscription-renew"]["404"] != 1 ||
		stats["subscription-renew"]["429"] != 1 || stats["subscription-delete"]["204"] != 1 {
		t.Errorf("Graph counts %v, want one batch with each of its writes", stats)
	}
	if got := w.seen.of("subscription-batch", 200); got != 1 {
		t.Errorf("%d batches of writes were reported, want 1", got)
	}
}

// What Graph answers to a write means the same inside a $batch as alone.
func TestABatchSaysWhatACallOfItsOwnSays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		body   string
	}{
		"granted":                 {http.StatusOK, `{"id":"7","resource":"users/8c1d/events","changeType":"created","applicationId":"app","notificationUrl":"https://a.example","lifecycleNotificationUrl":null,"expirationDateTime":"2026-11-25T12:00:00.1234567Z"}`},
		"made":                    {http.StatusCreated, granted("8")},
		"accepted":                {http.StatusAccepted, granted("9")},
		"no body":                 {http.StatusNoContent, ""},
		"no id":                   {http.StatusOK, `{"expirationDateTime":"2026-11-25T12:00:00Z"}`},
		"no expiry":               {http.StatusOK, `{"id":"7"}`},
		"an expiry that is none":  {http.StatusOK, `{"id":"7","expirationDateTime":"soon"}`},
		"another kind of body":    {http.StatusOK, `"bm90IEpTT04="`},
		"nothing":                 {http.StatusOK, `null`},
		"gone":                    {http.StatusNotFound, graphError("ResourceNotFound", "gone")},
		"a double":                {http.StatusConflict, graphError("Conflict", "Subscription Id <6d1f2c34-90ab-4cde-8f01-23456789abcd> already exists")},
		"too long":                {http.StatusBadRequest, graphError("ExtensionError", "Subscription expiration can only be 10070 minutes in the future.")},
		"our URL does not answer": {http.StatusBadRequest, graphError("ValidationError", "Subscription validation request failed.")},
		"over quota":              {http.StatusForbidden, graphError("Forbidden", "exceeded its quota")},
		"denied":                  {http.StatusForbidden, graphError("Authorization_RequestDenied", "no")},
		"no mailbox":              {http.StatusNotFound, graphError("MailboxNotEnabledForRESTAPI", "")},
		"wrong":                   {http.StatusBadRequest, graphError("InvalidRequest", "")},
		"throttled":               {http.StatusTooManyRequests, graphError("TooManyRequests", "")},
		"throttled by a mailbox":  {http.StatusTooManyRequests, graphError("ApplicationThrottled", "MailboxConcurrency")},
		"busy":                    {http.StatusServiceUnavailable, graphError("ServiceUnavailable", "")},
		"a gateway gave up":       {http.StatusGatewayTimeout, graphError("GatewayTimeout", "")},
		"a gateway lost Graph":    {http.StatusBadGateway, `"bm90IEpTT04="`},
		"the token is never good": {http.StatusUnauthorized, graphError("InvalidAuthenticationToken", "")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, release := busyStub(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/$batch") {
					answerItems(w, itemsOf(t, r), func(item) (int, string) { return tt.status, tt.body })
					return
				}
				w.Header().Set("Retry-After", "9")
				answerJSON(w, tt.status, tt.body)
			})
			ctx := t.Context()
			var alone, together [6]outcome
			calls := func(to *[6]outcome) []func() {
				return []func(){create(ctx, c, &to[0]), create(ctx, c, &to[1]), renew(ctx, c, "a", &to[2]),
					renew(ctx, c, "b", &to[3]), remove(ctx, c, "c", &to[4]), remove(ctx, c, "d", &to[5])}
			}
			wait := queue(t, c, calls(&together)...)
			release()
			wait()
			for _, call := range calls(&alone) {
				call()
			}
			for i, got := range together {
				want := alone[i]
				if got.sub != want.sub || !sameError(got.err, want.err) {
					t.Errorf("write %d: %+v, %v, want as alone: %+v, %v", i, got.sub, got.err, want.sub, want.err)
				}
			}
		})
	}
}

// sameError says whether two errors say the same and mean the same wait.
func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == b
	}
	waitA, waits := errors.AsType[*ooo.Throttled](a)
	waitB, waitsToo := errors.AsType[*ooo.Throttled](b)
	return a.Error() == b.Error() && waits == waitsToo && (!waits || *waitA == *waitB)
}

// A $batch that is lost may have been carried out: nobody knows of any creation
// in it.
func TestABatchThatFailsAsAWhole(t *testing.T) {
	t.Parallel()
	refusal := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "9")
			}
			answerJSON(w, status, graphError(code, "mentions a quota"))
		}
	}
	said := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, body) }
	}
	tests := map[string]struct {
		answer http.HandlerFunc
		want   error
		wait   *ooo.Throttled
		lost   bool // creations may have been made
	}{
		"the connection dies": {answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: ooo.ErrUnavailable, lost: true},
		"half an answer": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"responses":[`)
			panic(http.ErrAbortHandler)
		}, want: ooo.ErrUnavailable, lost: true},
		"a page":                      {answer: page(http.StatusOK), want: ooo.ErrUnavailable, lost: true},
		"no JSON":                     {answer: said(`{"responses":`), want: ooo.ErrUnavailable, lost: true},
		"all are left out":            {answer: said(`{"responses":[]}`), want: ooo.ErrUnavailable, lost: true},
		"no status":                   {answer: said(`{"responses":[{"id":"0"},{"id":"1"}]}`), want: ooo.ErrUnavailable, lost: true},
		"a gateway loses Graph":       {answer: page(http.StatusBadGateway), want: ooo.ErrUnavailable, lost: true},
		"down":                        {answer: refusal(http.StatusServiceUnavailable, "ServiceUnavailable"), want: ooo.ErrUnavailable},
		"throttled":                   {answer: refusal(http.StatusTooManyRequests, "TooManyRequests"), wait: &ooo.Throttled{After: 9 * time.Second, Whole: true}},
		"not found, whatever that is": {answer: refusal(http.StatusNotFound, "ResourceNotFound"), want: ooo.ErrUnavailable},
		"rejected, whatever is wrong": {answer: refusal(http.StatusBadRequest, "BadRequest"), want: ooo.ErrUnavailable},
		"denied, whoever denies it":   {answer: refusal(http.StatusForbidden, "Forbidden"), want: ooo.ErrUnavailable},
		"the token is never good":     {answer: refusal(http.StatusUnauthorized, "InvalidAuthenticationToken"), want: ooo.ErrUnauthorized},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, release := busyStub(t, tt.answer)
			ctx := t.Context()
			var got [4]outcome
			wait := queue(t, c, create(ctx, c, &got[0]), create(ctx, c, &got[1]), renew(ctx, c, "a", &got[2]), remove(ctx, c, "b", &got[3]))
			release()
			wait()
			for i, o := range got {
				expect(t, "a write", o.err, tt.want, tt.wait)
				if lost := errors.Is(o.err, ooo.ErrNoAnswer); lost != (tt.lost && i < 2) || o.sub != (ooo.GraphSubscription{}) {
					t.Errorf("write %d: %+v, %v, with %v: %v, want %v", i, o.sub, o.err, ooo.ErrNoAnswer, lost, tt.lost && i < 2)
				}
			}
		})
	}
}

// Of the writes for which Graph wants a new token, those go again whose callers
// are still there.
func TestWritesForWhichGraphWantsANewToken(t *testing.T) {
	t.Parallel()
	refused, sent := make(chan struct{}), make(chan []string, 2)
	var s *stub
	s, c, release := busyServer(t, func(w http.ResponseWriter, r *http.Request) {
		items := itemsOf(t, r)
		var urls []string
		for _, i := range items {
			urls = append(urls, strings.TrimPrefix(i.URL, "/subscriptions/"))
		}
		sent <- urls
		first := r.Header.Get("Authorization") == "Bearer token-1"
		answerItems(w, items, func(i item) (int, string) {
			if first && !strings.HasSuffix(i.URL, "/c") {
				return http.StatusUnauthorized, graphError("InvalidAuthenticationToken", "")
			}
			return http.StatusOK, granted(i.URL)
		})
		if first {
			s.mu.Lock() // the login waits
			close(refused)
		}
	})
	ctx := t.Context()
	leaving, leave := context.WithCancel(ctx)
	var left, again, once outcome
	gone := make(chan struct{})
	wait := queue(t, c, func() { defer close(gone); renew(leaving, c, "a", &left)() }, renew(ctx, c, "b", &again), renew(ctx, c, "c", &once))
	release()
	<-refused
	leave()
	<-gone
	s.mu.Unlock()
	wait()
	if !errors.Is(left.err, ooo.ErrUnavailable) || !errors.Is(left.err, context.Canceled) {
		t.Errorf("one that left: %v, want %v", left.err, context.Canceled)
	}
	if again.sub.ID != "/subscriptions/b" || again.err != nil || once.sub.ID != "/subscriptions/c" || once.err != nil {
		t.Errorf("those that stayed: %+v and %+v, want both renewed", again, once)
	}
	close(sent)
	var batches []string
	for urls := range sent {
		batches = append(batches, strings.Join(urls, " "))
	}
	if got := strings.Join(batches, ", then "); got != "a b c, then b" {
		t.Errorf("batches = %s, want a b c, then b", got)
	}
}

func TestWhatAWriteInABatchSays(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 2) // alone and in the batch
	c, release := busyStub(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/$batch") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("body: %v", err)
			}
			bodies <- string(body)
			answerJSON(w, http.StatusCreated, granted("1"))
			return
		}
		items := itemsOf(t, r)
		for _, i := range items {
			if bodied := i.Method != http.MethodDelete; (i.Headers["Content-Type"] == "application/json") != bodied || len(i.Body) > 0 != bodied {
				t.Errorf("%s with headers %v and body %s, want both or neither", i.Method, i.Headers, i.Body)
			}
		}
		if items[0].Method == http.MethodPost {
			bodies <- string(items[0].Body)
		} else if items[1].URL != "/subscriptions/b%2Fc" {
			t.Errorf("url = %s, want the id escaped", items[1].URL)
		}
		answerItems(w, items, func(item) (int, string) { return http.StatusOK, granted("1") })
	})
	ask := wanted("8c1d", "https://hook.example", time.Hour)
	ask.Certificate = ooo.Certificate{ID: "cert", Base64: "AAAA+/=="}
	ctx := t.Context()
	made := func() {
		if _, err := c.CreateSubscription(ctx, ask); err != nil {
			t.Errorf("CreateSubscription = %v, want nil", err)
		}
	}
	var renewed, removed outcome
	wait := queue(t, c, made, made, renew(ctx, c, "a", &renewed), remove(ctx, c, "b/c", &removed))
	release()
	wait()
	made()
	together, alone := <-bodies, <-bodies
	if together != alone || !json.Valid([]byte(alone)) || !strings.Contains(alone, ask.ClientState) {
		t.Errorf("in a batch %s, want as alone %s", together, alone)
	}
	if renewed.err != nil || removed.err != nil {
		t.Errorf("errors = %v and %v, want none", renewed.err, removed.err)
	}
}
