package config_test

import (
	"fmt"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
)

func TestEffective(t *testing.T) {
	c, _, err := parse(t, "--poll-interval=5s", "--monitor-token=of-the-flag")
	if err != nil {
		t.Fatal(err)
	}
	path := file(t, "secret", []byte("redis://u:the-password@redis.example\n"))
	e := env{
		"TENANT": "contoso.example", "AZURE_CLIENT_SECRET": "the-client-secret", "PORT": "5000", "POLL_INTERVAL": "7s",
		"MEDIATOR_IP": "fd00::1", "MEDIATOR_PORT": "5001", "REDIS_URL_FILE": path, "SCHEDULED": "never",
	}
	effective := c.Serve.Effective(e.get)
	want := map[string]config.EffectiveSetting{
		"AZURE_TENANT_ID":     {Value: "contoso.example", From: "TENANT"},
		"AZURE_CLIENT_ID":     {From: "default"},
		"AZURE_CLIENT_SECRET": {Value: "[redacted]", From: "AZURE_CLIENT_SECRET"},
		"MONITOR_TOKEN":       {Value: "[redacted]", From: "flag"},
		"LISTEN_ADDR":         {Value: ":5000", From: "PORT"},
		"POLL_INTERVAL":       {Value: "5s", From: "flag"},
		"MEDIATOR_URL":        {Value: "http://[fd00::1]:5001", From: "MEDIATOR_IP"},
		"REDIS_URL":           {Value: "redis://u:xxxxx@redis.example", From: "REDIS_URL_FILE"},
		"REDIS_URL_FILE":      {Value: path, From: "REDIS_URL_FILE"},
		"SCHEDULED":           {Value: "never", From: "SCHEDULED"},
		"MESSAGE":             {Value: "external", From: "default"},
		"CLIENT_STATE_KEY":    {Value: "made once, kept in Redis", From: "default"},
	}
	rows := config.Table()
	if len(effective) != len(rows) {
		t.Fatalf("Effective has %d settings, want %d", len(effective), len(rows))
	}
	for i, row := range rows {
		expected, ok := want[row.Name]
		if !ok {
			expected = effective[i]
		}
		if expected.Name = row.Name; effective[i] != expected {
			t.Errorf("Effective = %+v, want %+v", effective[i], expected)
		}
	}
	text := fmt.Sprint(effective)
	for _, secret := range []string{"the-client-secret", "of-the-flag", "the-password"} {
		if strings.Contains(text, secret) {
			t.Errorf("Effective contains the secret %q", secret)
		}
	}
}
