package config_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
)

func TestSecretFile(t *testing.T) {
	const password = " with spaces "
	tests := map[string]struct {
		name, content string
		got           func(config.Settings) string
		want          string
	}{
		"secret": {"AZURE_CLIENT_SECRET", "the-secret", func(s config.Settings) string { return s.Graph.ClientSecret.Reveal() }, "the-secret"},
		"secret with a newline": {"MONITOR_TOKEN", "the-token-0123456789\n",
			func(s config.Settings) string { return s.MonitorToken.Reveal() }, "the-token-0123456789"},
		"secret with a Windows newline": {"MEDIATOR_TOKEN", "the-token\r\n", func(s config.Settings) string { return s.MediatorToken.Reveal() }, "the-token"},
		"password that begins and ends with a space": {"AZURE_CLIENT_CERTIFICATE_PASSWORD", password + "\n",
			func(s config.Settings) string { return s.Graph.CertificatePassword.Reveal() }, password},
		"URL": {"REDIS_URL", "redis://:pw@redis.example\n", func(s config.Settings) string { return s.RedisURL.Reveal() }, "redis://:pw@redis.example"},
		"base URL": {"MEDIATOR_URL", "http://u:p@mediator.example/\n",
			func(s config.Settings) string { return s.MediatorURL.Reveal() }, "http://u:p@mediator.example"},
		"several secrets": {"CLIENT_STATE_KEY", "new\nold\n",
			func(s config.Settings) string {
				return s.ClientStateKeys[0].Reveal() + "," + s.ClientStateKeys[1].Reveal()
			}, "new,old"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := file(t, "secret", []byte(tt.content))
			if got := tt.got(settings(t, required().with(tt.name, "", tt.name+"_FILE", path))); got != tt.want {
				t.Errorf("%s from a file = %q, want %q", tt.name, got, tt.want)
			}
			c, _, err := parse(t, "--"+strings.ReplaceAll(strings.ToLower(tt.name), "_", "-")+"-file="+path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Serve.Settings(required().with(tt.name, "").get)
			if err != nil || tt.got(s) != tt.want {
				t.Errorf("%s from a file named by a flag = %q, %v, want %q", tt.name, tt.got(s), err, tt.want)
			}
		})
	}
}

func TestEverySecretHasFileSetting(t *testing.T) {
	var names []string
	for _, row := range config.Table() {
		if row.FileOf == "" {
			continue
		}
		names = append(names, row.FileOf)
		if row.Name != row.FileOf+"_FILE" {
			t.Errorf("file setting of %s = %s, want %s_FILE", row.FileOf, row.Name, row.FileOf)
		}
	}
	want := []string{
		"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "PUBLIC_URL", "NGROK_AUTHTOKEN", "NGROK_AGENT_URL", "MEDIATOR_URL",
		"MEDIATOR_TOKEN", "MEDIATOR_SIGNING_SECRET", "REDIS_URL", "MONITOR_TOKEN", "CLIENT_STATE_KEY",
	}
	if !slices.Equal(names, want) {
		t.Errorf("secrets with a file setting = %v, want %v", names, want)
	}
}

func TestSecretFileMistakes(t *testing.T) {
	content := func(text string) string { return file(t, "secret", []byte(text)) }
	tests := map[string]mistakeTest{
		"file and variable":      {env{"MONITOR_TOKEN_FILE": content("very-secret-token-1")}, "MONITOR_TOKEN_FILE", "MONITOR_TOKEN are both set"},
		"file and old variable":  {env{"AZURE_CLIENT_SECRET": "", "CLIENT_SECRET": "very-secret", "AZURE_CLIENT_SECRET_FILE": content("very-secret")}, "AZURE_CLIENT_SECRET_FILE", "CLIENT_SECRET are both set"},
		"missing":                {env{"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_SECRET_FILE": "/nowhere"}, "AZURE_CLIENT_SECRET_FILE", `"/nowhere", which can't be read`},
		"missing token":          {env{"MONITOR_TOKEN": "", "MONITOR_TOKEN_FILE": "/nowhere"}, "MONITOR_TOKEN_FILE", "can't be read"},
		"missing mediator":       {env{"MEDIATOR_URL": "", "MEDIATOR_URL_FILE": "/nowhere"}, "MEDIATOR_URL_FILE", "can't be read"},
		"missing tunnel token":   {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN_FILE": "/nowhere"}, "NGROK_AUTHTOKEN_FILE", "can't be read"},
		"missing Redis URL":      {env{"REDIS_AUTH": "entra", "REDIS_URL_FILE": "/nowhere"}, "REDIS_URL_FILE", "can't be read"},
		"directory":              {env{"MEDIATOR_TOKEN_FILE": t.TempDir()}, "MEDIATOR_TOKEN_FILE", "is a directory: name the file in it"},
		"not a regular file":     {env{"MEDIATOR_TOKEN_FILE": os.DevNull}, "MEDIATOR_TOKEN_FILE", "not a regular file"},
		"only a newline":         {env{"MEDIATOR_TOKEN_FILE": content("\n")}, "MEDIATOR_TOKEN_FILE", "is empty: write the secret to it"},
		"too long":               {env{"MEDIATOR_TOKEN_FILE": content(strings.Repeat("very-secret", 2000))}, "MEDIATOR_TOKEN_FILE", "longer than 16 KiB"},
		"two lines":              {env{"MEDIATOR_TOKEN_FILE": content("very-secret\nvery-secret\n")}, "MEDIATOR_TOKEN", "(in MEDIATOR_TOKEN_FILE) contains a control character"},
		"invalid URL":            {env{"REDIS_URL_FILE": content("very-secret")}, "REDIS_URL", "(in REDIS_URL_FILE) is not a Redis URL"},
		"short token":            {env{"MONITOR_TOKEN": "", "MONITOR_TOKEN_FILE": content("very-secret")}, "MONITOR_TOKEN", "at least 16"},
		"invalid signing secret": {env{"MEDIATOR_SIGNING_SECRET_FILE": content("very-secret")}, "MEDIATOR_SIGNING_SECRET", "whsec_"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { tt.check(t) })
	}
}
