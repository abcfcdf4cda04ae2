package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

// untouched is a body that nobody may read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read, want it left alone")
	return 0, io.EOF
}

func TestAHandshakeLeavesTheBodyAlone(t *testing.T) {
	handler := receive(t, webhook.Config{Leave: newInbox().leave})
	for query, want := range map[string]int{"validationToken=t": 200, "validationToken=": 400} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.NotificationPath+"?"+query, untouched{t}))
		if answer.Code != want {
			t.Errorf("answer to %s = %d, want %d", query, answer.Code, want)
		}
	}
}

func TestABodyOfUntoldLengthIsBounded(t *testing.T) {
	tests := map[string]struct {
		spaces, want int
	}{
		"within 4 MiB": {4<<20 - 100, 202},
		"over 4 MiB":   {4 << 20, 413},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			url := serve(t, newInbox(), nil) + webhook.NotificationPath
			body := io.MultiReader(strings.NewReader(`{"value":[`), strings.NewReader(strings.Repeat(" ", tt.spaces)), strings.NewReader(`]}`))
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != tt.want {
				t.Errorf("answer = %d, want %d", response.StatusCode, tt.want)
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
				calls, began, answer := 0, time.Now(), httptest.NewRecorder()
				stuck := func(ctx context.Context, _ ...ooo.Hint) error {
					calls++
					<-ctx.Done()
					return ctx.Err()
				}
				receive(t, webhook.Config{Leave: stuck}).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.NotificationPath, strings.NewReader(body)))
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
	handler := receive(t, webhook.Config{Leave: b.leave, Log: log})
	post := func(body string) {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.NotificationPath+"?hint=in-the-query", strings.NewReader(body)))
	}
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

func BenchmarkPost(b *testing.B) {
	handler := receive(b, webhook.Config{Leave: func(context.Context, ...ooo.Hint) error { return nil }})
	for _, n := range []int{1, 20, 100} {
		var items []any
		for i := range n {
			items = append(items, notice(ooo.ObjectID(fmt.Sprintf("%036d", i))))
		}
		body := collection(b, items...)
		b.Run(fmt.Sprintf("items=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, webhook.NotificationPath, strings.NewReader(body)))
				if answer.Code != http.StatusAccepted {
					b.Fatalf("answer = %d, want 202", answer.Code)
				}
			}
		})
	}
}
