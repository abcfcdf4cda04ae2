package ooo_test

import (
	"encoding/json"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

const benchSetting = `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#users('6d1f2c34-90ab-4cde-8f01-23456789ab10')/mailboxSettings/automaticRepliesSetting",` +
	`"status":"alwaysEnabled","externalAudience":"all",` +
	`"scheduledStartDateTime":{"dateTime":"2026-11-24T16:00:00.0000000","timeZone":"UTC"},` +
	`"scheduledEndDateTime":{"dateTime":"2026-11-25T16:00:00.0000000","timeZone":"UTC"},` +
	`"internalReplyMessage":"<html>\n<body>\n<p>I am away until Monday.</p>\n</body>\n</html>\n",` +
	`"externalReplyMessage":"<html>\n<body>\n<p>I am away until Monday.</p>\n</body>\n</html>\n"}`

// BenchmarkSetting measures parsing an answer of Graph and comparing it with the known
// setting, next to encoding/json with one struct, and what a change costs on top.
func BenchmarkSetting(b *testing.B) {
	setting, err := ooo.ParseSetting([]byte(benchSetting))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("understand and compare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			got, err := ooo.ParseSetting([]byte(benchSetting))
			if err != nil || !got.Equal(setting) {
				b.Fatalf("setting = %+v, %v, want the known setting", got, err)
			}
		}
	})
	b.Run("understand and compare/floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var got struct {
				Status        string `json:"status"`
				Audience      string `json:"externalAudience"`
				InternalReply string `json:"internalReplyMessage"`
				ExternalReply string `json:"externalReplyMessage"`
			}
			if err := json.Unmarshal([]byte(benchSetting), &got); err != nil || got.Status != "alwaysEnabled" {
				b.Fatalf("setting = %+v, %v", got, err)
			}
		}
	})
	b.Run("apply and decide", func(b *testing.B) {
		b.ReportAllocs()
		policy := ooo.Policy{Limit: 3000}
		now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
		before := &ooo.State{}
		for b.Loop() {
			if d := policy.Decide(before, policy.Apply(setting), now); !d.Changed {
				b.Fatalf("decision = %+v, want a change", d)
			}
		}
	})
}
