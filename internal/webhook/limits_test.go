package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

func TestAnsweredWithoutReadingBody(t *testing.T) {
	ready, full, notReady, notAllowed := newConfig(nil), newConfig(nil), newConfig(nil), newConfig(nil)
	full.Public = newPublic(server.PublicConfig{}) // passes on no request
	notReady.Ready = func() bool { return false }
	notAllowed.Public = newPublic(server.PublicConfig{Allow: server.Networks{netip.MustParsePrefix("198.51.100.0/24")}, Concurrency: 4})
	const reachability = "Validation%3a+Testing+client+application+reachability+for+subscription+Request-Id%3a+9b7c"
	const token = "Validation: Testing client application reachability for subscription Request-Id: 9b7c"
	for name, tt := range map[string]struct {
		cfg           webhook.Config
		method, query string
		status        int
		body          string
	}{
		"token of Graph":                   {ready, "POST", "validationToken=" + reachability, 200, token},
		"encoded plus and percent":         {ready, "POST", "validationToken=a%2Bb%2520c", 200, "a+b%20c"},
		"other and malformed parameter":    {ready, "POST", "%zz=1&validationToken=t&y=2", 200, "t"},
		"escape in the name":               {ready, "POST", "%76alidationToken=t", 200, "t"},
		"4 KiB":                            {ready, "POST", "validationToken=" + strings.Repeat("a", 4096), 200, strings.Repeat("a", 4096)},
		"over 4 KiB":                       {ready, "POST", "validationToken=" + strings.Repeat("a", 4097), 400, ""},
		"end of markup":                    {ready, "POST", "validationToken=a%3E", 400, ""},
		"line break":                       {ready, "POST", "validationToken=a%0d%0ab", 400, ""},
		"empty":                            {ready, "POST", "validationToken=", 400, ""},
		"malformed escape":                 {ready, "POST", "validationToken=%zz", 400, ""},
		"invalid UTF-8":                    {ready, "POST", "validationToken=%ff", 400, ""},
		"handshake at the concurrency":     {full, "POST", "validationToken=t", 200, "t"},
		"handshake while not ready":        {notReady, "POST", "validationToken=t", 200, "t"},
		"similar parameter":                {notReady, "POST", "xvalidationToken=t", 503, ""},
		"name in another letter case":      {notReady, "POST", "validationtoken=t", 503, ""},
		"notifications while not ready":    {notReady, "POST", "", 503, ""},
		"handshake from another source":    {notAllowed, "POST", "validationToken=t", 403, ""},
		"other method from another source": {notAllowed, "GET", "validationToken=t", 403, ""},
		"GET":                              {full, "GET", "validationToken=t", 405, ""},
		"HEAD":                             {ready, "HEAD", "validationToken=t", 405, ""},
	} {
		for _, path := range []string{webhook.NotificationPath, webhook.LifecyclePath} {
			t.Run(name+" at "+path, func(t *testing.T) {
				answer, unread := httptest.NewRecorder(), strings.NewReader("x")
				serve(tt.cfg).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), tt.method, path+"?"+tt.query, unread))
				h := answer.Header()
				if answer.Code != tt.status || answer.Body.String() != tt.body || h.Get("Connection") != "close" || unread.Len() == 0 {
					t.Errorf("answer = %d %v %q, want %d %q, the connection closed and the body unread", answer.Code, h, answer.Body, tt.status, tt.body)
				}
				if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
					t.Errorf("headers = %v, want nosniff and no-store", h)
				}
				if (h.Get("Content-Type") == "text/plain; charset=utf-8") != (tt.status == 200) || (h.Get("Allow") == "POST") != (tt.status == 405) ||
					(h.Get("Retry-After") != "") != (tt.status == 503) {
					t.Errorf("headers = %v with %d, want plain text with 200, Allow with 405 and Retry-After with 503 only", h, tt.status)
				}
			})
		}
	}
}

// TestMemoryOfBodies sends bodies that took hundreds of MiB to decode as a whole,
// without a valid clientState and with one.
func TestMemoryOfBodies(t *testing.T) {
	l := globalLogin()
	cfg := newConfig(newHintStore())
	cfg.Tokens, cfg.Certificates = runTokens(t, l.config()), loadCertificates(t, writePair(t, t.TempDir(), key1(), time.Hour))
	h := serve(cfg)
	fill := func(head, part, tail string) string {
		return head + strings.Repeat(part+",", (4<<20-len(head)-len(tail))/(len(part)+1)-1) + part + tail
	}
	genuine, err := json.Marshal(changeItem(ann))
	must.NoError(t, err)
	send(h, webhook.NotificationPath, collection(t, changeItem(ann))) // the first request allocates more
	for name, body := range map[string]string{
		"tokens that are objects":          fill(`{"value":[{"changeType":"x"}],"validationTokens":[`, "{}", "]}"),
		"empty items":                      fill(`{"value":[`, "{}", "]}"),
		"empty items, small body":          `{"value":[` + strings.Repeat("{},", 5400) + `{}]}`,
		"items without a clientState":      fill(`{"value":[`, `{"changeType":"x"}`, "]}"),
		"clientState that is an array":     fill(`{"value":[{"clientState":[`, "{}", "]}]}"),
		"tokens that are objects, genuine": fill(`{"value":[`+string(genuine)+`],"validationTokens":[`, "{}", "]}"),
		"short tokens, genuine":            fill(`{"value":[`+string(genuine)+`],"validationTokens":[`, `"a"`, "]}"),
		"content that is a tree, genuine": fill(`{"validationTokens":["`+l.token(t, "2.0")+`"],"value":[`+
			strings.TrimSuffix(string(genuine), "}")+`,"encryptedContent":{"data":[`, "{}", "]}}]}"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		answer := send(h, webhook.NotificationPath, body)
		runtime.ReadMemStats(&after)
		limit := uint64(17 << 20)
		if len(body) < 20<<10 { // many of these are processed at once
			limit = 100 << 10
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; answer.Code != 202 || allocated > limit {
			t.Errorf("%s: answer = %d after %d bytes were allocated, want 202 and at most %d", name, answer.Code, allocated, limit)
		}
	}
}

func TestLogHasNoSecrets(t *testing.T) {
	var out bytes.Buffer
	s := newHintStore()
	cfg := newConfig(s)
	cfg.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	handler := serve(cfg)
	post := func(body string) { send(handler, webhook.NotificationPath+"?hint=in-the-query", body) }
	post(collection(t, changeItem(ann), changeItem(bob, set("clientState", "a-forged-state")), lifecycleItem(ann, "missed")))
	if strings.Contains(out.String(), "level=WARN") || !strings.Contains(out.String(), "verdict=forged") {
		t.Errorf("log = %s, want verdicts and no warning", out.String())
	}
	s.err = errors.New("redis unreachable")
	post(collection(t, changeItem(ann)))
	post(`{"clientState":"a-forged-state"`)
	if got := strings.Count(out.String(), "level=WARN"); got != 1 || !strings.Contains(out.String(), "status=400") {
		t.Errorf("%d warnings, want one for the store failure and none for the malformed body: %s", got, out.String())
	}
	for _, secret := range []string{keys.Derive(ann, resource), "a-forged-state", "contoso", "Events", "in-the-query"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("log has %q in it: %s", secret, out.String())
		}
	}
}
