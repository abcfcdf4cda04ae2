package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphtest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// settings parses lines of the form "NAME=value" or "# name: value".
func settings(output string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if name, value, ok := strings.Cut(strings.TrimPrefix(line, "# "), ": "); ok && strings.HasPrefix(line, "#") {
			found[name] = value
		} else if name, value, ok := strings.Cut(line, "="); ok {
			found[name] = value
		}
	}
	return found
}

// start runs the program on free ports.
func start(ctx context.Context, stdout io.Writer, args ...string) error {
	args = append([]string{"--addr=127.0.0.1:0", "--control-addr=127.0.0.1:0"}, args...)
	return run(ctx, args, stdout, io.Discard, slog.New(slog.DiscardHandler))
}

// launch starts the program until the test ends, and returns the settings that it printed.
func launch(t *testing.T, args ...string) map[string]string {
	t.Helper()
	var out programtest.Output
	await.Run(t, func(ctx context.Context) error { return start(ctx, &out, args...) })
	await.True(t, "it prints the settings", func() bool { return settings(out.String())["control API"] != "" })
	return settings(out.String())
}

// ask sends a request and returns status and body.
func ask(t *testing.T, client *http.Client, method, target string, header http.Header, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	must.NoError(t, err)
	request.Header = header
	return programtest.Send(client, request)
}

func TestPrintedSettings(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	set := launch(t, "--ca-file", ca, "--users", "2", "--domain", "fabrikam.example", "--client-secret", "of-this-test", "--roles", "MailboxSettings.Read")
	if set["SSL_CERT_FILE"] != ca || set["AZURE_CLIENT_SECRET"] != "of-this-test" ||
		set["users"] != "user0001@fabrikam.example to user0002@fabrikam.example" {
		t.Errorf("printed %v, want the values of the flags", set)
	}
	client := certtest.Client(t, filetest.Read(t, ca))
	token, err := graphtest.Token(client, set["AZURE_AUTHORITY_HOST"]+"/"+set["AZURE_TENANT_ID"]+"/oauth2/v2.0/token",
		set["GRAPH_ENDPOINT"], set["AZURE_CLIENT_ID"], set["AZURE_CLIENT_SECRET"])
	must.NoError(t, err)
	bearer := http.Header{"Authorization": {"Bearer " + token}}
	users := set["GRAPH_ENDPOINT"] + "/v1.0/users/"
	for name, tt := range map[string]struct {
		url    string
		status int
		part   string // of the answer
	}{
		"setting":      {users + "user0002@fabrikam.example/mailboxSettings/automaticRepliesSetting", 200, `"status":"disabled"`},
		"unknown user": {users + "user0003@fabrikam.example/mailboxSettings/automaticRepliesSetting", 404, `"error"`},
		"not granted":  {users + "user0002@fabrikam.example", 403, "Authorization_RequestDenied"},
		"control API":  {set["control API"] + "/users/user0001@fabrikam.example", 200, "user0001@fabrikam.example"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := ask(t, client, "GET", tt.url, bearer, "")
			if status != tt.status || !strings.Contains(body, tt.part) {
				t.Errorf("GET %s = %d %s, want %d with %s", tt.url, status, body, tt.status, tt.part)
			}
		})
	}
	if _, err := (&http.Client{Timeout: await.Timeout}).Get(set["GRAPH_ENDPOINT"]); err == nil {
		t.Error("a client that does not trust the authority got an answer")
	}
}

func TestAuthoritySurvivesRestart(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	launch(t, "--ca-file", ca)
	client := certtest.Client(t, filetest.Read(t, ca)) // created before the restart
	key, err := os.Stat(ca + ".key")
	if err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("key file = %v, %v, want mode 0600", key, err)
	}
	metadata := func(set map[string]string) (int, string) {
		return ask(t, client, "GET", set["AZURE_AUTHORITY_HOST"]+"/"+set["AZURE_TENANT_ID"]+"/v2.0/.well-known/openid-configuration", nil, "")
	}
	if status, body := metadata(launch(t, "--ca-file", ca)); status != http.StatusOK {
		t.Errorf("GET after a second start = %d %s, want 200", status, body)
	}
	must.NoError(t, os.Remove(ca+".key"))
	set := launch(t, "--ca-file", ca)
	client = certtest.Client(t, filetest.Read(t, ca))
	if status, body := metadata(set); status != http.StatusOK {
		t.Errorf("GET after a start without the key = %d %s, want 200 with the new certificate", status, body)
	}
}

func TestSeed(t *testing.T) {
	ids := func(args ...string) string {
		set := launch(t, args...)
		if hint := set["SSL_CERT_FILE"]; !strings.Contains(hint, "--ca-file") {
			t.Errorf("hint = %q, want it to name --ca-file", hint)
		}
		_, body := ask(t, http.DefaultClient, "GET", set["control API"]+"/users", nil, "")
		return set["users"] + body
	}
	first, again, other, none := ids("--seed=7"), ids("--seed=7"), ids("--seed=8"), ids("--users=0")
	if again != first || other == first || none != `{"users":[]}` {
		t.Errorf("users = %s, then %s, with another seed %s, without users %s, want the same, others and none", first, again, other, none)
	}
}

func TestErrors(t *testing.T) {
	invalid := filepath.Join(t.TempDir(), "ca.pem")
	for _, file := range []string{invalid, invalid + ".key"} {
		filetest.Write(t, file, "no PEM")
	}
	for name, tt := range map[string]struct {
		args  []string
		part  string // of the error
		usage bool
	}{
		"unknown flag":             {[]string{"--colour"}, "--colour", true},
		"negative number of users": {[]string{"--users=-1"}, "--users", true},
		"number that is none":      {[]string{"--users", "many"}, "--users", true},
		"short token lifetime":     {[]string{"--token-lifetime=1ms"}, "token lifetime", true},
		"duration without unit":    {[]string{"--token-lifetime", "60"}, "--token-lifetime", true},
		"minimum above maximum":    {[]string{"--min-subscription=2h", "--max-subscription=1h"}, "exceeds the maximum", true},
		"argument":                 {[]string{"serve"}, "serve", true},
		"invalid certificate":      {[]string{"--ca-file", invalid}, "delete both", false},
		"missing directory":        {[]string{"--ca-file", filepath.Join(invalid+".d", "ca.pem")}, "no such file", false},
		"invalid address":          {[]string{"--addr=256.0.0.1:1"}, "listen for Graph", false},
		"invalid control address":  {[]string{"--control-addr=256.0.0.1:1"}, "listen for control", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := start(t.Context(), io.Discard, tt.args...)
			if err == nil || errors.Is(err, errUsage) != tt.usage || !strings.Contains(err.Error(), tt.part) {
				t.Errorf("run(%v) = %v, want %q, errUsage: %t", tt.args, err, tt.part, tt.usage)
			}
		})
	}
	if kept := filetest.Read(t, invalid); kept != "no PEM" {
		t.Errorf("the file holds %q, want it unchanged", kept)
	}
}
