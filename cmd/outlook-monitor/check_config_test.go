package main_test

import (
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
)

func TestCheckConfig(t *testing.T) {
	var calls atomic.Int32
	other := programtest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	tb := newTestbed(t, "redis://:redis-secret@127.0.0.1:1/0", graphsim.Config{Seed: 43})
	tb.env["MEDIATOR_URL"], tb.env["NGROK_AGENT_URL"], tb.env["MONITOR_TOKEN"] = other, other, "monitor-secret"
	tb.env["LISTEN_ADDR"] = strings.TrimPrefix(other, "http://") // in use, as if the service were running
	tb.env["CLIENT_STATE_KEY"], tb.env["AZURE_CLIENT_SECRET"] = "", "client-secret"
	junk := filetest.Temp(t, "junk.pem", "junk")
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		code int
		want []string // regular expressions
	}{
		"valid settings": {nil, []string{"--poll-interval=5s"}, 0, []string{
			`(?m)^SETTING +VALUE +FROM$`, `(?m)^POLL_INTERVAL +5s +flag$`, `(?m)^MESSAGE +external +default$`,
			`(?m)^MONITOR_TOKEN +\[redacted\] +MONITOR_TOKEN$`, `(?m)^REDIS_URL +redis://:xxxxx@127\.0\.0\.1:1/0 +REDIS_URL$`, `The settings are valid`,
		}},
		"private address": {map[string]string{"PRIVATE_ADDR": "127.0.0.1:1"}, nil, 0, []string{`(?m)^PRIVATE_ADDR +127\.0\.0\.1:1 `}},
		"tunnel":          {map[string]string{"PUBLIC_URL": "", "TUNNEL": "agent"}, nil, 0, []string{`(?m)^TUNNEL +agent +TUNNEL$`}},
		"all mistakes at once": {map[string]string{
			"POLL_INTERVAL": "2", "TLS_CERT_FILE": junk, "TLS_KEY_FILE": junk, "PUBLIC_URL": "ftp://x",
			"OTEL_EXPORTER_OTLP_ENDPOINT": other, "OTEL_EXPORTER_OTLP_HEADERS": "monitor-secret",
		}, nil, 2, []string{"POLL_INTERVAL is", "matching certificate", "PUBLIC_URL is not a base URL", "OTEL_EXPORTER_OTLP_HEADERS is"}},
		"mistake in a file": {map[string]string{"REDIS_URL": "", "REDIS_URL_FILE": junk}, nil, 2, []string{`REDIS_URL \(in REDIS_URL_FILE\) can't`}},
		"mistake that another variable hides": {map[string]string{
			"OTEL_EXPORTER_OTLP_HEADERS": "monitor-secret", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=b",
		}, []string{"--otel-exporter-otlp-endpoint=" + other}, 0, []string{`(?m)^OTEL_EXPORTER_OTLP_ENDPOINT +http://127\.0\.0\.1:\d+ +flag$`}},
	} {
		t.Run(name, func(t *testing.T) {
			tb := tb.in(t)
			maps.Copy(tb.env, tt.env)
			out, errs := tb.run(tt.code, "", append([]string{"serve", "--check-config"}, tt.args...)...)
			for _, want := range tt.want {
				if !regexp.MustCompile(want).MatchString(out + errs) {
					t.Errorf("output = %s%s, want %s in it", out, errs, want)
				}
			}
			if secret := regexp.MustCompile("(redis|monitor|client)-secret").FindString(out + errs); secret != "" {
				t.Errorf("output = %s%s, want it without %s", out, errs, secret)
			}
		})
	}
	if n := calls.Load(); n > 0 || len(tb.sim.Stats().Calls) > 0 {
		t.Errorf("%d calls of mediator and tunnel, %v of Graph, want none", n, tb.sim.Stats().Calls)
	}
}
