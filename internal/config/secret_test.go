package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/must"
)

// container has a value in every kind of field that a printer may visit.
type container[T any] struct {
	Public  T
	private T
	Pointer *T
	pointer *T
	Slice   []T
	slice   []T
	Map     map[string]T
	byKey   map[string]T
	Any     any
	any     any
}

// printed returns what fmt, JSON and slog print for v, alone and inside other values.
func printed[T any](t *testing.T, v T) string {
	t.Helper()
	var out bytes.Buffer
	c := container[T]{
		Public: v, private: v, Pointer: &v, pointer: &v, Slice: []T{v}, slice: []T{v},
		Map: map[string]T{"k": v}, byKey: map[string]T{"k": v}, Any: v, any: v,
	}
	values := []any{v, &v, c, &c, []T{v}, map[string]T{"k": v}, [1]T{v}, errors.Join(fmt.Errorf("read %v: %v", v, c))}
	for _, verb := range "vsqxXdobeEfFgGtTpUcO" {
		for _, flags := range []string{"", "+", "#", "-40", " ", ".100"} {
			for _, value := range values {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", value)
			}
		}
	}
	out.WriteString(fmt.Sprint(values...) + fmt.Sprintln(values...))
	for _, handler := range []slog.Handler{
		slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.NewTextHandler(&out, nil),
	} {
		log := slog.New(handler).With("with", v, "container", c)
		log.Error("printed", "value", v, "pointer", &v, "container", c, "containerPointer", &c, "slice", []T{v}, slog.Group("group", "value", v))
	}
	for _, value := range []any{v, &v, c, &c, map[string]any{"k": v}} {
		text, err := json.Marshal(value)
		must.NoError(t, err)
		out.Write(text)
	}
	return out.String()
}

// leaks returns the encodings of secret that text contains.
func leaks(text, secret string) []string {
	forms := []string{secret}
	for _, format := range []string{"%x", "%X", "% x", "% X", "%d", "%o", "%b", "%#v"} {
		encoded := strings.TrimPrefix(fmt.Sprintf(format, []byte(secret)), "[]byte")
		forms = append(forms, strings.Trim(encoded, "[]{}"))
	}
	return slices.DeleteFunc(forms, func(form string) bool { return !strings.Contains(text, form) })
}

const password = "hush-hush"

func TestSecretIsNotPrinted(t *testing.T) {
	text := printed(t, config.NewSecret(password))
	if found := leaks(text, password); len(found) > 0 {
		t.Errorf("a secret is printed as %q", found)
	}
	if !strings.Contains(text, `"Public":"[redacted]"`) {
		t.Errorf("JSON = %.300s, want [redacted]", text)
	}
}

func TestSettingsPrintNoSecrets(t *testing.T) {
	e := required()
	for _, name := range []string{"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "MEDIATOR_TOKEN", "CLIENT_STATE_KEY"} {
		e[name] = password
	}
	e["MONITOR_TOKEN"] = password + password
	e["MEDIATOR_SIGNING_SECRET"] = "whsec_aHVzaC1odXNo"
	e["MEDIATOR_URL"], e["REDIS_URL"] = "http://u:"+password+"@mediator.example", "redis://:"+password+"@redis.example?password="+password
	e["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://u:" + password + "@collector.example"
	flags, _, err := parse(t, "--monitor-token="+password, "--redis-url=redis://:"+password+"@h")
	must.NoError(t, err)
	text := printed(t, settings(t, e)) + printed(t, flags.Serve)
	for _, secret := range []string{password, "aHVzaC1odXNo"} {
		if found := leaks(text, secret); len(found) > 0 {
			t.Errorf("settings print a secret as %q", found)
		}
	}
	if !strings.Contains(text, "mediator.example") {
		t.Error("settings do not print the mediator's host, want everything but the secrets")
	}
}

func TestZeroSecret(t *testing.T) {
	for name, s := range map[string]config.Secret{"zero value": {}, "empty text": config.NewSecret(""), "empty URL": config.NewURL("")} {
		if !s.IsZero() || s.Reveal() != "" || fmt.Sprintf("%s%v%q%d%#v", s, s, s, s, s) != "" {
			t.Errorf("%s = %v, IsZero = %t, want nothing", name, s, s.IsZero())
		}
	}
}

func TestURLsPrintNoPasswords(t *testing.T) {
	for name, tt := range map[string]struct{ url, want string }{
		"no password":                     {"https://h:8443/path", "https://h:8443/path"},
		"password":                        {"redis://u:" + password + "@h:6379/0", "redis://u:xxxxx@h:6379/0"},
		"password without a user":         {"redis://:" + password + "@h:6379", "redis://:xxxxx@h:6379"},
		"token as the user":               {"https://" + password + "@h", "https://xxxxx@h"},
		"password in the query":           {"redis://h?password=" + password, "redis://h?password=xxxxx"},
		"Sentinel password":               {"redis://h?master_name=m&sentinel_password=" + password, "redis://h?master_name=m&sentinel_password=xxxxx"},
		"token in the query, upper case":  {"https://h/?TOKEN=" + password, "https://h/?TOKEN=xxxxx"},
		"escaped parameter name":          {"https://h/?pass%77ord=" + password, "https://h/?password=xxxxx"},
		"signature in the query":          {"https://h/?sig=" + password, "https://h/?sig=xxxxx"},
		"nodes of a Cluster":              {"redis://h1:6379?addr=h2:6379&addr=h3:6379", "redis://h1:6379?addr=h2:6379&addr=h3:6379"},
		"password in an invalid query":    {"redis://h?password=" + password + ";x", "[redacted]"},
		"password with a slash":           {"redis://u:1/" + password + "@h", "[redacted]"},
		"password with a question mark":   {"redis://u:1?" + password + "@h", "[redacted]"},
		"password with a hash":            {"redis://u:1#" + password + "@h", "[redacted]"},
		"password that looks like a port": {"redis://u:" + password + "/x@h", "[redacted]"},
		"not a URL":                       {password, "[redacted]"},
		"invalid escape":                  {"http://h/%zz" + password, "[redacted]"},
		"no scheme":                       {"//:" + password + "@h", "//:xxxxx@h"},
	} {
		t.Run(name, func(t *testing.T) {
			u := config.NewURL(tt.url)
			if got := u.String(); got != tt.want {
				t.Errorf("String = %s, want %s", got, tt.want)
			}
			if u.Reveal() != tt.url {
				t.Errorf("Reveal = %s, want %s", u.Reveal(), tt.url)
			}
			if found := leaks(printed(t, u), password); len(found) > 0 {
				t.Errorf("a URL prints a password as %q", found)
			}
		})
	}
}
