package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
)

func TestASecretComesFromItsFile(t *testing.T) {
	const password = " with spaces "
	tests := map[string]struct {
		name, content string
		got           func(config.Settings) string
		want          string
	}{
		"a secret": {"AZURE_CLIENT_SECRET", "the-secret", func(s config.Settings) string { return s.Graph.ClientSecret.Reveal() }, "the-secret"},
		"a secret and a line break": {"MONITOR_TOKEN", "the-token-0123456789\n",
			func(s config.Settings) string { return s.MonitorToken.Reveal() }, "the-token-0123456789"},
		"a line break of Windows": {"MEDIATOR_TOKEN", "the-token\r\n", func(s config.Settings) string { return s.MediatorToken.Reveal() }, "the-token"},
		"a password that begins and ends with a space": {"AZURE_CLIENT_CERTIFICATE_PASSWORD", password + "\n",
			func(s config.Settings) string { return s.Graph.CertificatePassword.Reveal() }, password},
		"a URL": {"REDIS_URL", "redis://:pw@redis.example\n", func(s config.Settings) string { return s.RedisURL.Reveal() }, "redis://:pw@redis.example"},
		"a URL that paths are added to": {"MEDIATOR_URL", "http://u:p@mediator.example/\n",
			func(s config.Settings) string { return s.MediatorURL.Reveal() }, "http://u:p@mediator.example"},
		"several secrets": {"CLIENT_STATE_KEY", "new\nold\n",
			func(s config.Settings) string {
				return s.ClientStateKeys[0].Reveal() + "," + s.ClientStateKeys[1].Reveal()
			}, "new,old"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := file(t, "secret", []byte(tt.content))
			if got := tt.got(settings(t, needed().with(tt.name, "", tt.name+"_FILE", path))); got != tt.want {
				t.Errorf("%s from a file = %q, want %q", tt.name, got, tt.want)
			}
			c, _, err := parse(t, "--"+strings.ReplaceAll(strings.ToLower(tt.name), "_", "-")+"-file="+path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Serve.Settings(needed().with(tt.name, "").get)
			if err != nil || tt.got(s) != tt.want {
				t.Errorf("%s from a file that a flag names = %q, %v, want %q", tt.name, tt.got(s), err, tt.want)
			}
		})
	}
}

func TestEverySecretSettingHasAFile(t *testing.T) {
	var names []string
	for _, row := range config.Table() {
		if row.Holds == "" {
			continue
		}
		names = append(names, row.Holds)
		if row.Name != row.Holds+"_FILE" {
			t.Errorf("the file of %s is named by %s, want %s_FILE", row.Holds, row.Name, row.Holds)
		}
	}
	want := []string{
		"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "PUBLIC_URL", "NGROK_AUTHTOKEN", "NGROK_AGENT_URL", "MEDIATOR_URL",
		"MEDIATOR_TOKEN", "MEDIATOR_SIGNING_SECRET", "REDIS_URL", "MONITOR_TOKEN", "CLIENT_STATE_KEY",
	}
	if !slices.Equal(names, want) {
		t.Errorf("secrets with a file = %v, want %v", names, want)
	}
}

func TestMistakesOfSecretFiles(t *testing.T) {
	content := func(text string) string { return file(t, "secret", []byte(text)) }
	tests := map[string]struct {
		env  env
		name string
		says string
	}{
		"both":                          {env{"MONITOR_TOKEN_FILE": content("very-secret-token-1")}, "MONITOR_TOKEN_FILE", "MONITOR_TOKEN are both set"},
		"both, by an old name":          {env{"AZURE_CLIENT_SECRET": "", "CLIENT_SECRET": "very-secret", "AZURE_CLIENT_SECRET_FILE": content("very-secret")}, "AZURE_CLIENT_SECRET_FILE", "CLIENT_SECRET are both set"},
		"not there":                     {env{"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_SECRET_FILE": "/nowhere"}, "AZURE_CLIENT_SECRET_FILE", `"/nowhere", which can't be read`},
		"a token that is not there":     {env{"MONITOR_TOKEN": "", "MONITOR_TOKEN_FILE": "/nowhere"}, "MONITOR_TOKEN_FILE", "can't be read"},
		"a mediator that is not there":  {env{"MEDIATOR_URL": "", "MEDIATOR_URL_FILE": "/nowhere"}, "MEDIATOR_URL_FILE", "can't be read"},
		"a tunnel's that is not there":  {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN_FILE": "/nowhere"}, "NGROK_AUTHTOKEN_FILE", "can't be read"},
		"a Redis that is not there":     {env{"REDIS_AUTH": "entra", "REDIS_URL_FILE": "/nowhere"}, "REDIS_URL_FILE", "can't be read"},
		"a directory":                   {env{"MEDIATOR_TOKEN_FILE": t.TempDir()}, "MEDIATOR_TOKEN_FILE", "is a directory: name the file in it"},
		"no regular file":               {env{"MEDIATOR_TOKEN_FILE": os.DevNull}, "MEDIATOR_TOKEN_FILE", "no regular file"},
		"empty":                         {env{"MEDIATOR_TOKEN_FILE": content("")}, "MEDIATOR_TOKEN_FILE", "is empty: write the secret into it"},
		"nothing but a line break":      {env{"MEDIATOR_TOKEN_FILE": content("\n")}, "MEDIATOR_TOKEN_FILE", "is empty"},
		"too long":                      {env{"MEDIATOR_TOKEN_FILE": content(strings.Repeat("very-secret", 2000))}, "MEDIATOR_TOKEN_FILE", "longer than 16 KiB"},
		"two lines":                     {env{"MEDIATOR_TOKEN_FILE": content("very-secret\nvery-secret\n")}, "MEDIATOR_TOKEN", "(in MEDIATOR_TOKEN_FILE) contains a control character"},
		"a URL that is none":            {env{"REDIS_URL_FILE": content("very-secret")}, "REDIS_URL", "(in REDIS_URL_FILE) is no Redis URL"},
		"a token that can be guessed":   {env{"MONITOR_TOKEN": "", "MONITOR_TOKEN_FILE": content("very-secret")}, "MONITOR_TOKEN", "at least 16"},
		"a signing secret that is none": {env{"MEDIATOR_SIGNING_SECRET_FILE": content("very-secret")}, "MEDIATOR_SIGNING_SECRET", "whsec_"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found := mistakes(t, needed().and(tt.env))
			if line := found[tt.name]; len(found) != 1 || !strings.Contains(line, tt.says) || strings.Contains(line, "very-secret") {
				t.Errorf("mistakes = %v, want %s alone, saying %q and no secret", found, tt.name, tt.says)
			}
		})
	}
}

func TestMistakesOfFilesAreReportedWithAllOthers(t *testing.T) {
	e := env{
		"AZURE_CLIENT_SECRET_FILE": "/nowhere", "MONITOR_TOKEN_FILE": filepath.Dir(file(t, "secret", nil)), "POLL_INTERVAL": "2",
		"REDIS_URL": "redis://h", "REDIS_URL_FILE": "/nowhere",
	}
	want := slices.Sorted(maps.Keys(e.with("REDIS_URL", "", "AZURE_TENANT_ID", "x", "AZURE_CLIENT_ID", "x", "MEDIATOR_URL", "x")))
	if got := slices.Sorted(maps.Keys(mistakes(t, e))); !slices.Equal(got, want) {
		t.Errorf("mistakes name\n%v, want\n%v", got, want)
	}
}

func TestUsedNamesTheFile(t *testing.T) {
	path := file(t, "secret", []byte("redis://:very-secret@redis.example\n"))
	for _, used := range new(config.Serve).Used(needed().with("REDIS_URL_FILE", path).get) {
		want := config.Used{Name: used.Name, Value: path, From: "REDIS_URL_FILE"}
		if used.Name == "REDIS_URL" {
			want.Value = "redis://:xxxxx@redis.example"
		}
		if strings.HasPrefix(used.Name, "REDIS_URL") && used != want {
			t.Errorf("used = %+v, want %+v", used, want)
		}
	}
}
