package config_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"outlook-monitor/internal/filetest"
)

// TestSecretFile expects the same effect as that of the variable.
func TestSecretFile(t *testing.T) {
	for name, tt := range map[string]struct{ content, value string }{
		"AZURE_CLIENT_SECRET":               {"the-secret", "the-secret"},
		"AZURE_CLIENT_CERTIFICATE_PASSWORD": {" with spaces \n", " with spaces "},
		"PUBLIC_URL":                        {"https://monitor.example/\n", "https://monitor.example"},
		"NGROK_AUTHTOKEN":                   {"the-token\r\n", "the-token"},
		"NGROK_AGENT_URL":                   {"http://127.0.0.1:4041", "http://127.0.0.1:4041"},
		"MEDIATOR_URL":                      {"http://u:p@mediator.example/\n", "http://u:p@mediator.example"},
		"MEDIATOR_TOKEN":                    {"the-token\n", "the-token"},
		"MEDIATOR_SIGNING_SECRET":           {"whsec_bmV3ZXI=\nwhsec_b2xkZXI=\n", "whsec_bmV3ZXI= whsec_b2xkZXI="},
		"REDIS_URL":                         {"redis://:pw@redis.example\n", "redis://:pw@redis.example"},
		"MONITOR_TOKEN":                     {"the-token-0123456789\n", "the-token-0123456789"},
		"CLIENT_STATE_KEY":                  {"new\nold\n", "new old"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filetest.Temp(t, "secret", tt.content)
			want := settings(t, required().with(name, tt.value))
			if got := settings(t, required().with(name, "", name+"_FILE", path)); !reflect.DeepEqual(got, want) {
				t.Errorf("Settings with a file = %+v, want %+v", got, want)
			}
		})
	}
}

func TestSecretFileMistakes(t *testing.T) {
	content := func(text string) string { return filetest.Temp(t, "secret", text) }
	mistakeTests{
		"file and variable":     {env{"MONITOR_TOKEN_FILE": content("very-secret-token-1")}, "MONITOR_TOKEN_FILE", "MONITOR_TOKEN are both set"},
		"file and old variable": {env{"AZURE_CLIENT_SECRET": "", "CLIENT_SECRET": "very-secret", "AZURE_CLIENT_SECRET_FILE": content("very-secret")}, "AZURE_CLIENT_SECRET_FILE", "CLIENT_SECRET are both set"},
		"missing":               {env{"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_SECRET_FILE": "/nowhere"}, "AZURE_CLIENT_SECRET_FILE", `"/nowhere", which can't be read`},
		"missing token":         {env{"MONITOR_TOKEN": "", "MONITOR_TOKEN_FILE": "/nowhere"}, "MONITOR_TOKEN_FILE", "can't be read"},
		"missing mediator":      {env{"MEDIATOR_URL": "", "MEDIATOR_URL_FILE": "/nowhere"}, "MEDIATOR_URL_FILE", "can't be read"},
		"missing tunnel token":  {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN_FILE": "/nowhere"}, "NGROK_AUTHTOKEN_FILE", "can't be read"},
		"missing Redis URL":     {env{"REDIS_AUTH": "entra", "REDIS_URL_FILE": "/nowhere"}, "REDIS_URL_FILE", "can't be read"},
		"not a regular file":    {env{"MEDIATOR_TOKEN_FILE": os.DevNull}, "MEDIATOR_TOKEN_FILE", "not a regular file"},
		"only a newline":        {env{"MEDIATOR_TOKEN_FILE": content("\n")}, "MEDIATOR_TOKEN_FILE", "is empty: write the secret to it"},
		"too long":              {env{"MEDIATOR_TOKEN_FILE": content(strings.Repeat("very-secret", 2000))}, "MEDIATOR_TOKEN_FILE", "longer than 16 KiB"},
		"two lines":             {env{"MEDIATOR_TOKEN_FILE": content("very-secret\nvery-secret\n")}, "MEDIATOR_TOKEN", "(in MEDIATOR_TOKEN_FILE) contains a control character"},
		"invalid URL":           {env{"PUBLIC_URL_FILE": content("very-secret")}, "PUBLIC_URL", "(in PUBLIC_URL_FILE) is not a base URL"},
	}.run(t)
}
