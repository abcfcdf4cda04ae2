package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

// untouched is a body that nobody may read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read, want it left alone")
	return 0, io.EOF
}

// TestWhatIsAnsweredWithoutABody sends bodies that nobody may read.
func TestWhatIsAnsweredWithoutABody(t *testing.T) {
	full := public(server.PublicConfig{}) // none is worked on
	unready := func() bool { return false }
	stranger := public(server.PublicConfig{Allow: server.Networks{netip.MustParsePrefix("198.51.100.0/24")}, Concurrency: 4})
	const query = webhook.NotificationPath + "?validationToken="
	tests := map[string]struct {
		cfg          webhook.Config
		method, path string
		status       int
	}{
		"a handshake":                            {webhook.Config{}, "POST", query + "t", 200},
		"a handshake that is none of Graph's":    {webhook.Config{}, "POST", query, 400},
		"a handshake while all are worked on":    {webhook.Config{Public: full}, "POST", query + "t", 200},
		"a handshake before Redis was reached":   {webhook.Config{Ready: unready}, "POST", query + "t", 200},
		"one that only looks like it":            {webhook.Config{Ready: unready}, "POST", webhook.LifecyclePath + "?xvalidationToken=t", 503},
		"notifications before Redis was reached": {webhook.Config{Ready: unready}, "POST", webhook.LifecyclePath, 503},
		"a stranger's handshake":                 {webhook.Config{Public: stranger}, "POST", query + "t", 403},
		"a stranger's other method":              {webhook.Config{Public: stranger}, "GET", query + "t", 403},
		"GET":                                    {webhook.Config{Public: full}, "GET", query + "t", 405},
		"HEAD":                                   {webhook.Config{}, "HEAD", query + "t", 405},
		"PUT":                                    {webhook.Config{}, "PUT", webhook.NotificationPath, 405},
		"DELETE":                                 {webhook.Config{}, "DELETE", webhook.NotificationPath, 405},
		"PATCH":                                  {webhook.Config{}, "PATCH", webhook.LifecyclePath, 405},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answer := httptest.NewRecorder()
			receive(tt.cfg).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, untouched{t}))
			h := answer.Header()
			if answer.Code != tt.status || h.Get("Connection") != "close" || tt.status != 200 && answer.Body.Len() > 0 {
				t.Errorf("answer = %d %v %q, want %d, no body and the connection closed", answer.Code, h, answer.Body, tt.status)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("headers = %v, want nosniff and no-store", h)
			}
			if (h.Get("Allow") == "POST") != (tt.status == 405) || (h.Get("Retry-After") != "") != (tt.status == 503) {
				t.Errorf("headers = %v with %d, want Allow with 405 and Retry-After with 503 only", h, tt.status)
			}
		})
	}
}

// TestStrangersCostLittleMemory sends what took hundreds of MiB to decode as a whole.
// TestStrangersCostLittleMemory has the receiver check tokens and open content, which is
// all that a known clientState may cause.
func TestStrangersCostLittleMemory(t *testing.T) {
	l := globalLogin()
	h := trusting(t, newInbox(), check(t, l.config()), load(t, newFiles(t).write(t, firstKey(), time.Hour)))
	fill := func(head, part, tail string) string {
		return head + strings.Repeat(part+",", (4<<20-len(head)-len(tail))/(len(part)+1)-1) + part + tail
	}
	genuine, err := json.Marshal(notice(ann))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"tokens that are objects":       fill(`{"value":[{"changeType":"x"}],"validationTokens":[`, "{}", "]}"),
		"items without a clientState":   fill(`{"value":[`, `{"changeType":"x"}`, "]}"),
		"a clientState of many objects": fill(`{"value":[{"clientState":[`, "{}", "]}]}"),
		"tokens beside a genuine item":  fill(`{"value":[`+string(genuine)+`],"validationTokens":[`, "{}", "]}"),
		"texts beside a genuine item":   fill(`{"value":[`+string(genuine)+`],"validationTokens":[`, `"a"`, "]}"),
		"content that is a tree": fill(`{"validationTokens":["`+l.token(t, "2.0")+`"],"value":[`+
			strings.TrimSuffix(string(genuine), "}")+`,"encryptedContent":{"data":[`, "{}", "]}}]}"),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			answer := send(h, webhook.NotificationPath, body)
			runtime.ReadMemStats(&after)
			if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; answer.Code != 202 || allocated > 16 {
				t.Errorf("answer = %d after %d MiB were allocated, want 202 and at most 16", answer.Code, allocated)
			}
		})
	}
}

func TestAStuckInboxIsGivenUpWithinGraphsPatience(t *testing.T) {
	for name, body := range map[string]string{
		"a change":              collection(t, notice(ann)),
		"lifecycle events":      collection(t, lifecycle(ann, "subscriptionRemoved"), lifecycle(bob, "subscriptionRemoved")),
		"a change and an event": collection(t, notice(ann), lifecycle(bob, "reauthorizationRequired")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, began := 0, time.Now()
				stuck := func(ctx context.Context, _ ...ooo.Hint) error {
					calls++
					<-ctx.Done()
					return ctx.Err()
				}
				answer := send(receive(webhook.Config{Leave: stuck}), webhook.NotificationPath, body)
				if took := time.Since(began); answer.Code != 503 || took >= 3*time.Second || calls != 1 {
					t.Errorf("answer = %d after %v and %d calls, want 503 within 3 s and 1 call", answer.Code, took, calls)
				}
			})
		})
	}
}

func TestTheLogTellsNoSecrets(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b := newInbox()
	handler := receive(webhook.Config{Leave: b.leave, Log: log})
	post := func(body string) { send(handler, webhook.NotificationPath+"?hint=in-the-query", body) }
	post(collection(t, notice(ann), notice(bob, put("clientState", "a-forged-state")), lifecycle(ann, "missed")))
	if strings.Contains(out.String(), "level=WARN") || !strings.Contains(out.String(), "verdict=forged") {
		t.Errorf("log = %s, want verdicts and no warning", out.String())
	}
	b.err = errors.New("Redis is away")
	post(collection(t, notice(ann)))
	post(`{"clientState":"a-forged-state"`)
	if got := strings.Count(out.String(), "level=WARN"); got != 1 || !strings.Contains(out.String(), "status=400") {
		t.Errorf("%d warnings, want one for what could not be stored and none for nonsense: %s", got, out.String())
	}
	for _, secret := range []string{keys.Derive(ann, resource), "a-forged-state", "contoso", "Events", "in-the-query"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("log has %q in it: %s", secret, out.String())
		}
	}
}
