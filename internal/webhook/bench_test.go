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

// BenchmarkPost measures a POST with clientStates alone, and with resource data and a
// token. The store costs nothing.
func BenchmarkPost(b *testing.B) {
	l := globalLogin()
	certificates := loadCertificates(b, newFiles(b).write(b, key1(), time.Hour))
	e := newEncrypter(b, certificates)
	tokens := runTokens(b, l.config())
	for _, tt := range []struct {
		name  string
		items int
		data  bool
	}{{"1 item", 1, false}, {"20 items", 20, false}, {"100 items", 100, false}, {"20 items with resource data", 20, true}} {
		var all, token []any
		for i := range tt.items {
			id := ooo.ObjectID(fmt.Sprintf("%036d", i))
			if tt.data {
				all, token = append(all, e.item(b, id)), []any{l.token(b, versions[0])}
			} else {
				all = append(all, changeItem(id))
			}
		}
		body, err := json.Marshal(map[string]any{"value": all, "validationTokens": token})
		if err != nil {
			b.Fatal(err)
		}
		s := newHintStore()
		handler := newVerifyingHandler(b, s, tokens, certificates)
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
		if len(s.verdicts) != 1 || s.verdicts["accepted"] == 0 {
			b.Errorf("%s: verdicts = %v, want all accepted", tt.name, s.verdicts)
		}
	}
}
