package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHealth runs the check as a user who can't read the files of the service, and with
// mistakes in settings that do not matter to it, because some may be set by flags of serve.
func TestHealth(t *testing.T) {
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	plain, encrypted := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer encrypted.Close()
	plainAddr, tlsAddr := plain.Listener.Addr().String(), encrypted.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(plainAddr)
	const closed = "127.0.0.1:1"
	type vars = map[string]string
	for name, tt := range map[string]struct {
		env   vars
		flag  string
		fails string // empty: alive
	}{
		"listener":          {vars{"LISTEN_ADDR": plainAddr, "POLL_INTERVAL": "2", "MONITOR_TOKEN_FILE": "/nowhere"}, "", ""},
		"all addresses":     {vars{"LISTEN_ADDR": "0.0.0.0:" + port}, "", ""},
		"port":              {vars{"PORT": port}, "", ""},
		"certificate files": {vars{"LISTEN_ADDR": tlsAddr, "TLS_CERT_FILE": "/nowhere", "TLS_KEY_FILE": "/nowhere"}, "", ""},
		"ACME":              {vars{"LISTEN_ADDR": tlsAddr, "ACME_DOMAINS": "a.example"}, "", ""},
		"private listener":  {vars{"LISTEN_ADDR": closed, "PRIVATE_ADDR": plainAddr, "ACME_DOMAINS": "a.example"}, "", ""},
		"flag":              {vars{"LISTEN_ADDR": closed, "PRIVATE_ADDR": closed}, plainAddr, ""},
		"nobody listens":    {vars{"LISTEN_ADDR": closed}, "", "does not answer at " + closed},
		"wrong address":     {vars{"LISTEN_ADDR": "x"}, "", "LISTEN_ADDR is"},
	} {
		c := healthCmd{ListenAddr: tt.flag}
		err := c.Run(t.Context(), func(name string) string { return tt.env[name] })
		if (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: health = %v, want %q", name, err, tt.fails)
		}
	}
}
