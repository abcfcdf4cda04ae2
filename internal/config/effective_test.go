package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
)

func TestEffective(t *testing.T) {
	c, _, err := parse(t, "--poll-interval=5s", "--monitor-token=of-the-flag")
	must.NoError(t, err)
	path := filetest.Temp(t, "secret", "redis://u:the-password@redis.example\n")
	e := env{
		"TENANT": "contoso.example", "AZURE_CLIENT_SECRET": "the-client-secret", "PORT": "5000", "POLL_INTERVAL": "7s",
		"MEDIATOR_IP": "fd00::1", "MEDIATOR_PORT": "5001", "REDIS_URL_FILE": path, "SCHEDULED": "never",
	}
	effective := c.Serve.Effective(e.get)
	for i, row := range config.Table() {
		if i >= len(effective) || effective[i].Name != row.Name {
			t.Fatalf("Effective = %+v, want all settings, with %s at %d", effective, row.Name, i)
		}
	}
	for _, want := range []config.EffectiveSetting{
		{Name: "AZURE_TENANT_ID", Value: "contoso.example", From: "TENANT"},
		{Name: "AZURE_CLIENT_ID", From: "default"},
		{Name: "AZURE_CLIENT_SECRET", Value: "[redacted]", From: "AZURE_CLIENT_SECRET"},
		{Name: "MONITOR_TOKEN", Value: "[redacted]", From: "flag"},
		{Name: "LISTEN_ADDR", Value: ":5000", From: "PORT"},
		{Name: "POLL_INTERVAL", Value: "5s", From: "flag"},
		{Name: "MEDIATOR_URL", Value: "http://[fd00::1]:5001", From: "MEDIATOR_IP"},
		{Name: "REDIS_URL", Value: "redis://u:xxxxx@redis.example", From: "REDIS_URL_FILE"},
		{Name: "REDIS_URL_FILE", Value: path, From: "REDIS_URL_FILE"},
		{Name: "SCHEDULED", Value: "never", From: "SCHEDULED"},
		{Name: "MESSAGE", Value: "external", From: "default"},
		{Name: "CLIENT_STATE_KEY", Value: "made once, kept in Redis", From: "default"},
	} {
		if !slices.Contains(effective, want) {
			t.Errorf("Effective = %+v, want %+v in it", effective, want)
		}
	}
	text := fmt.Sprint(effective)
	for _, secret := range []string{"the-client-secret", "of-the-flag", "the-password"} {
		if strings.Contains(text, secret) {
			t.Errorf("Effective contains the secret %q", secret)
		}
	}
}
