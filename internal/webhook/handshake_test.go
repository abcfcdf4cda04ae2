package webhook_test

import (
	"testing"

	"outlook-monitor/internal/webhook"
)

func TestWhatIsAHandshake(t *testing.T) {
	for query, want := range map[string]bool{
		"validationToken=x":       true,
		"a=b&validationToken=":    true,
		"%76alidationToken=x":     true,
		"validationToken":         true,
		"xvalidationToken=x":      false,
		"a=validationToken=x":     false,
		"validationtoken=x":       false,
		"a=b%26validationToken=x": false,
		"":                        false,
	} {
		if got := webhook.IsHandshake(query); got != want {
			t.Errorf("IsHandshake(%q) = %v, want %v", query, got, want)
		}
	}
}
