package config_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
)

func TestUsedSaysWhereEachSettingComesFrom(t *testing.T) {
	c, _, err := parse(t, "--poll-interval=5s", "--monitor-token=of-the-flag")
	if err != nil {
		t.Fatal(err)
	}
	e := env{
		"TENANT": "contoso.example", "AZURE_CLIENT_SECRET": "the-client-secret", "PORT": "5000", "POLL_INTERVAL": "7s",
		"MEDIATOR_IP": "fd00::1", "MEDIATOR_PORT": "5001", "REDIS_URL": "redis://u:the-password@redis.example", "SCHEDULED": "never",
	}
	used := c.Serve.Used(e.get)
	want := map[string]config.Used{
		"AZURE_TENANT_ID":     {Value: "contoso.example", From: "TENANT"},
		"AZURE_CLIENT_ID":     {From: "default"},
		"AZURE_CLIENT_SECRET": {Value: "[redacted]", From: "AZURE_CLIENT_SECRET"},
		"MONITOR_TOKEN":       {Value: "[redacted]", From: "flag"},
		"LISTEN_ADDR":         {Value: ":5000", From: "PORT"},
		"POLL_INTERVAL":       {Value: "5s", From: "flag"},
		"MEDIATOR_URL":        {Value: "http://[fd00::1]:5001", From: "MEDIATOR_IP"},
		"REDIS_URL":           {Value: "redis://u:xxxxx@redis.example", From: "REDIS_URL"},
		"SCHEDULED":           {Value: "never", From: "SCHEDULED"},
		"MESSAGE":             {Value: "external", From: "default"},
		"CLIENT_STATE_KEY":    {Value: "made once, kept in Redis", From: "default"},
	}
	var names, rows []string
	for _, u := range used {
		names = append(names, u.Name)
		if w, ok := want[u.Name]; ok {
			if w.Name = u.Name; u != w {
				t.Errorf("used = %+v, want %+v", u, w)
			}
		}
	}
	for _, row := range config.Table() {
		rows = append(rows, row.Name)
	}
	if !slices.Equal(names, rows) {
		t.Errorf("used names %v, want those of the table %v", names, rows)
	}
	text, err := json.Marshal(used)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"the-client-secret", "of-the-flag", "the-password"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("used shows the secret %q", secret)
		}
	}
}
