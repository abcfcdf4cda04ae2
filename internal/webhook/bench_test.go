package webhook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

// BenchmarkPost measures what a POST costs on one core, with clientState alone and with
// resource data and its token, of which an inbox takes all at once.
func BenchmarkPost(b *testing.B) {
	l := globalLogin()
	certificates := load(b, newFiles(b).write(b, firstKey(), time.Hour))
	graph := current(b, certificates)
	tokens := check(b, l.config())
	for _, tt := range []struct {
		name  string
		items int
		rich  bool
	}{{"1 item", 1, false}, {"20 items", 20, false}, {"100 items", 100, false}, {"20 items with resource data", 20, true}} {
		var all, token []any
		for i := range tt.items {
			id := ooo.ObjectID(fmt.Sprintf("%036d", i))
			if tt.rich {
				all, token = append(all, graph.rich(b, id)), []any{l.token(b, versions[0])}
			} else {
				all = append(all, notice(id))
			}
		}
		body, err := json.Marshal(map[string]any{"value": all, "validationTokens": token})
		if err != nil {
			b.Fatal(err)
		}
		inbox := newInbox()
		handler := trusting(b, inbox, tokens, certificates)
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if answer := send(handler, webhook.NotificationPath, string(body)); answer.Code != http.StatusAccepted {
					b.Fatalf("answer = %d, want 202", answer.Code)
				}
			}
			b.ReportMetric(float64(b.N*tt.items)/b.Elapsed().Seconds(), "items/s")
		})
		if n := inbox.verdicts["forged"] + inbox.verdicts["bad_token"] + inbox.verdicts["bad_signature"]; n > 0 {
			b.Errorf("%s: verdicts = %v, want all believed", tt.name, inbox.verdicts)
		}
	}
}
