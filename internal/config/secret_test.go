package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
)

// pocket holds a value in every place where a printer may find it.
type pocket[T any] struct {
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

func fill[T any](v T) pocket[T] {
	return pocket[T]{
		Public: v, private: v, Pointer: &v, pointer: &v, Slice: []T{v}, slice: []T{v},
		Map: map[string]T{"k": v}, byKey: map[string]T{"k": v}, Any: v, any: v,
	}
}

// printed is everything that fmt, JSON and slog make of v, alone and inside
// other things.
func printed[T any](t *testing.T, v T) string {
	t.Helper()
	var out bytes.Buffer
	p := fill(v)
	things := []any{v, &v, p, &p, []T{v}, map[string]T{"k": v}, [1]T{v}, errors.Join(fmt.Errorf("read %v: %v", v, p))}
	for _, verb := range "vsqxXdobeEfFgGtTpUcO" {
		for _, flags := range []string{"", "+", "#", "-40", " ", ".100"} {
			for _, thing := range things {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", thing)
			}
		}
	}
	out.WriteString(fmt.Sprint(things...) + fmt.Sprintln(things...))
	for _, handler := range []slog.Handler{
		slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.NewTextHandler(&out, nil),
	} {
		log := slog.New(handler).With("with", v, "pocket", p)
		log.Error("printed", "value", v, "pointer", &v, "pocket", p, "pocketPointer", &p, "slice", []T{v}, slog.Group("group", "value", v))
	}
	for _, thing := range []any{v, &v, p, &p, map[string]any{"k": v}} {
		text, err := json.Marshal(thing)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	return out.String()
}

// leaks returns the forms of secret that are found in text.
func leaks(text, secret string) (found []string) {
	for _, form := range []string{
		secret,
		fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("% x", secret), fmt.Sprintf("% X", secret),
		strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(secret)), "[]byte{"), "}"),
		strings.Trim(fmt.Sprintf("%o", []byte(secret)), "[]"), strings.Trim(fmt.Sprintf("%b", []byte(secret)), "[]"),
	} {
		if strings.Contains(text, form) {
			found = append(found, form)
		}
	}
	return found
}

const hush = "hush-hush"

func TestASecretCanNotPrintItself(t *testing.T) {
	text := printed(t, config.NewSecret(hush))
	if found := leaks(text, hush); found != nil {
		t.Errorf("a secret printed itself as %q", found)
	}
	if !strings.Contains(text, `"Public":"[redacted]"`) {
		t.Errorf("a secret in JSON is not said to be redacted in %.300s", text)
	}
}

func TestSettingsCanNotPrintTheirSecrets(t *testing.T) {
	e := needed()
	for _, name := range []string{"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "MEDIATOR_TOKEN", "CLIENT_STATE_KEY"} {
		e[name] = hush
	}
	e["MONITOR_TOKEN"] = hush + hush
	e["MEDIATOR_SIGNING_SECRET"] = "whsec_aHVzaC1odXNo"
	e["MEDIATOR_URL"], e["REDIS_URL"] = "http://u:"+hush+"@mediator.example", "redis://:"+hush+"@redis.example?password="+hush
	flags, _, err := parse(t, "--monitor-token="+hush, "--redis-url=redis://:"+hush+"@h")
	if err != nil {
		t.Fatal(err)
	}
	text := printed(t, settings(t, e)) + printed(t, flags.Serve)
	for _, secret := range []string{hush, "aHVzaC1odXNo"} {
		if found := leaks(text, secret); found != nil {
			t.Errorf("settings printed a secret as %q", found)
		}
	}
	if !strings.Contains(text, "mediator.example") {
		t.Error("settings do not print the mediator's host, want all but the secrets")
	}
}

func TestASecretThatIsNotSetPrintsNothing(t *testing.T) {
	for name, s := range map[string]config.Secret{"the zero secret": {}, "an empty text": config.NewSecret(""), "an empty URL": config.NewURL("")} {
		if !s.IsZero() || s.Reveal() != "" || fmt.Sprintf("%s%v%q%d%#v", s, s, s, s, s) != "" {
			t.Errorf("%s = %v, zero %t, want nothing", name, s, s.IsZero())
		}
	}
	if s := config.NewSecret(hush); s.IsZero() || s.Reveal() != hush {
		t.Errorf("a secret = zero %t, want one that can be revealed", s.IsZero())
	}
}

func TestURLsPrintNoPasswords(t *testing.T) {
	tests := map[string]struct{ url, want string }{
		"nothing to hide":                         {"https://h:8443/path", "https://h:8443/path"},
		"a password":                              {"redis://u:" + hush + "@h:6379/0", "redis://u:xxxxx@h:6379/0"},
		"a password without a user":               {"redis://:" + hush + "@h:6379", "redis://:xxxxx@h:6379"},
		"a token as the user":                     {"https://" + hush + "@h", "https://xxxxx@h"},
		"a password in the query":                 {"redis://h?password=" + hush, "redis://h?password=xxxxx"},
		"a Sentinel's password":                   {"redis://h?master_name=m&sentinel_password=" + hush, "redis://h?master_name=m&sentinel_password=xxxxx"},
		"a token in the query, in capitals":       {"https://h/?TOKEN=" + hush, "https://h/?TOKEN=xxxxx"},
		"a password's name that is escaped":       {"https://h/?pass%77ord=" + hush, "https://h/?password=xxxxx"},
		"a signature in the query":                {"https://h/?sig=" + hush, "https://h/?sig=xxxxx"},
		"the nodes of a Cluster":                  {"redis://h1:6379?addr=h2:6379&addr=h3:6379", "redis://h1:6379?addr=h2:6379&addr=h3:6379"},
		"a password in a torn query":              {"redis://h?password=" + hush + ";x", "[redacted]"},
		"a password with a percent sign in it":    {"redis://h?password=%zz" + hush, "[redacted]"},
		"a password with a slash in it":           {"redis://u:1/" + hush + "@h", "[redacted]"},
		"a password with a question mark in it":   {"redis://u:1?" + hush + "@h", "[redacted]"},
		"a password with a hash in it":            {"redis://u:1#" + hush + "@h", "[redacted]"},
		"a password and a port that is none":      {"redis://u:" + hush + "/x@h", "[redacted]"},
		"no URL at all":                           {hush, "[redacted]"},
		"something with a colon":                  {"mailto:" + hush, "[redacted]"},
		"a text that can't be parsed":             {"http://h/%zz" + hush, "[redacted]"},
		"a text with a control character in it":   {"http://h/" + hush + "\n", "[redacted]"},
		"a host without a scheme, and a password": {"//:" + hush + "@h", "//:xxxxx@h"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u := config.NewURL(tt.url)
			if got := u.String(); got != tt.want {
				t.Errorf("String = %s, want %s", got, tt.want)
			}
			if u.Reveal() != tt.url {
				t.Errorf("Reveal = %s, want %s", u.Reveal(), tt.url)
			}
			text := printed(t, u)
			if _, err := u.Parse(); err != nil {
				text += err.Error()
			}
			if found := leaks(text, hush); found != nil {
				t.Errorf("a URL printed a password as %q", found)
			}
		})
	}
}
