package webhook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

// BenchmarkJudge measures what proving an item costs on one core, with
// clientState alone and with resource data and its token: POSTs of 20 items that
// an inbox takes at once.
func BenchmarkJudge(b *testing.B) {
	const items = 20
	l := globalLogin()
	certificates := load(b, newFiles(b).write(b, firstKey(), time.Hour))
	graph := current(b, certificates)
	token := []any{l.token(b, versions[0])}
	tests := map[string]func(id ooo.ObjectID) map[string]any{
		"clientState":   func(id ooo.ObjectID) map[string]any { return notice(id) },
		"resource data": func(id ooo.ObjectID) map[string]any { return graph.rich(b, id) },
	}
	for name, item := range tests {
		var all []any
		for i := range items {
			all = append(all, item(ooo.ObjectID(fmt.Sprintf("%036d", i))))
		}
		body, err := json.Marshal(map[string]any{"value": all, "validationTokens": token})
		if err != nil {
			b.Fatal(err)
		}
		inbox := newInbox()
		handler := trusting(b, inbox, check(b, l.config()), certificates)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, webhook.NotificationPath, strings.NewReader(string(body))))
				if answer.Code != http.StatusAccepted {
					b.Fatalf("answer = %d, want 202", answer.Code)
				}
			}
			b.ReportMetric(float64(b.N*items)/b.Elapsed().Seconds(), "items/s")
		})
		if n := inbox.verdicts["forged"] + inbox.verdicts["bad_token"] + inbox.verdicts["bad_signature"]; n > 0 {
			b.Errorf("%s: verdicts = %v, want all believed", name, inbox.verdicts)
		}
	}
}
