package config_test

import (
	"crypto/rand"
	"crypto/rsa"
	"maps"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/must"
)

// env is an environment.
type env map[string]string

func (e env) get(name string) string { return e[name] }

// required returns the settings that have no default.
func required() env {
	return env{
		"AZURE_TENANT_ID":     "contoso.example",
		"AZURE_CLIENT_ID":     "11111111-2222-3333-4444-555555555555",
		"AZURE_CLIENT_SECRET": "client-secret",
		"MEDIATOR_URL":        "http://mediator.example:5000",
		"MONITOR_TOKEN":       "a-monitor-token-0123",
	}
}

// with returns a copy of e with these names and values; an empty value removes a variable.
func (e env) with(pairs ...string) env {
	other := maps.Clone(e)
	for i := 0; i < len(pairs); i += 2 {
		if other[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(other, pairs[i])
		}
	}
	return other
}

// and returns a copy of e with the variables of other.
func (e env) and(other env) env {
	for name, value := range other {
		e = e.with(name, value)
	}
	return e
}

// settings returns the settings of e, which must be valid.
func settings(t *testing.T, e env) config.Settings {
	t.Helper()
	s, err := new(config.Serve).Settings(e.get)
	if err != nil {
		t.Fatalf("Settings of %v: %v", e, err)
	}
	return s
}

// mistakes returns the mistakes in e by the variable with which they begin.
func mistakes(t *testing.T, e env) map[string]string {
	t.Helper()
	_, err := new(config.Serve).Settings(e.get)
	found := map[string]string{}
	if err == nil {
		return found
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		name, _, _ := strings.Cut(line, " ")
		if other, ok := found[name]; ok {
			t.Errorf("two mistakes name %s: %q and %q", name, other, line)
		}
		found[name] = line
	}
	return found
}

// ecdsaPair writes a certificate and its ECDSA key, and returns their paths.
func ecdsaPair(t *testing.T) (certificate, key string) {
	t.Helper()
	return certtest.Files(t, certtest.Key(t), "", time.Now().Add(time.Hour))
}

// rsaPair writes a certificate and its RSA key, and returns their paths.
func rsaPair(t *testing.T, bits int) (certificate, key string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, bits)
	must.NoError(t, err)
	return certtest.Files(t, private, "", time.Now().Add(time.Hour))
}
