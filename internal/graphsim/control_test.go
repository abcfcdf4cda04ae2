package graphsim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

func TestControlAPI(t *testing.T) {
	f := start(t, graphsim.Config{})
	ann, h := f.addUser("ann@contoso.example"), newHook(t)
	id, other := f.subscribe(ann, h, time.Hour), f.subscribe(f.addUser("dan@contoso.example"), h, time.Hour)
	const replies = "PUT /users/bob@contoso.example/automaticReplies"
	for _, step := range []struct {
		route, body string
		status      int
		part        string // of the answer
	}{
		{"POST /users", `{"userPrincipalName":"bob@contoso.example"}`, 200, `"displayName":"bob"`},
		{"POST /users", `{"userPrincipalName":"BOB@contoso.example"}`, 409, `"error":"exists already: BOB@contoso.example"`},
		{"POST /users", `{"userPrincipalName":"eve@contoso.example","id":"` + ann.ID + `"}`, 409, "exists already"},
		{"POST /users", `{"userPrincipalName":"eve@contoso.example","shoeSize":40}`, 400, `shoeSize`},
		{"POST /users/bulk", `{"count":2,"domain":"many.example"}`, 200, `"userPrincipalName":"user0002@many.example"`},
		{"POST /users/bulk", `{"count":0,"domain":"many.example"}`, 400, "count is 0"},
		{"GET /users", "", 200, `"mail":"bob@contoso.example"`},
		{replies, `{"status":"alwaysEnabled","externalReplyMessage":"<p>Hi</p>"}`, 200, `<p>Hi</p>`},
		{"GET /users/bob@contoso.example/automaticReplies", "", 200, `"status":"alwaysEnabled"`},
		{replies, `{"status":"scheduled","scheduledEndDateTime":"2030-01-02T03:04:05+01:00"}`,
			200, `{"dateTime":"2030-01-02T02:04:05.0000000","timeZone":"UTC"}`},
		{replies, `{"scheduledEndDateTime":"tomorrow"}`, 400, "tomorrow"},
		{replies, `{"scheduledEndDateTime":{"zone":"UTC"}}`, 400, "zone"},
		{replies, `{"scheduledStartDateTime":{"dateTime":"2030-01-01T00:00:00"}}`, 400, "invalid"},
		{replies, `{"status":"on"}`, 400, "invalid"},
		{replies, `{"externalAudience":"some"}`, 400, "invalid"},
		{"PUT /users/nobody@contoso.example/automaticReplies", `{}`, 404, "no such user"},
		{"PUT /users/bob@contoso.example/mailbox", `{"error":"ErrorAccessDenied"}`, 204, ""},
		{"POST /users/ann@contoso.example/changes", `{"collection":"events","changeType":"updated"}`, 204, ""},
		{"GET /subscriptions", "", 200, `"clientState":"state of ann@contoso.example"`},
		{"POST /subscriptions/" + id + "/lifecycle", `{"event":"missed"}`, 204, ""},
		{"POST /subscriptions/" + id + "/remove", `{"silent":true}`, 204, ""},
		{"POST /subscriptions/" + id + "/remove", `{}`, 404, "no such subscription"},
		{"POST /subscriptions/" + other + "/remove", "", 204, ""},
		{"POST /faults", `{"operation":"read","kind":"throttle","retryAfter":"2s","times":3}`, 200, `"retryAfter":"2s"`},
		{"GET /faults", "", 200, `"hits":0`},
		{"POST /faults", `{"operation":"read","kind":"reset"}`, 200, `"id":"2"`},
		{"DELETE /faults/1", "", 204, ""},
		{"DELETE /faults/1", "", 404, "no such fault"},
		{"GET /faults", "", 200, `[{"id":"2"`},
		{"DELETE /faults", "", 204, ""},
		{"POST /faults", `{"operation":"read","kind":"status","user":"nobody"}`, 404, "no such user"},
		{"POST /faults", `{"operation":"write","kind":"status"}`, 400, "unknown operation"},
		{"POST /faults", `{"operation":"read","kind":"status","probability":2}`, 400, "probability"},
		{"POST /faults", `{"operation":"read","kind":"status","probability":0}`, 400, "probability is 0"},
		{"POST /faults", `{"operation":"read","kind":"status","status":200}`, 400, "status"},
		{"POST /faults", `{"operation":"read","kind":"status","times":-1}`, 400, "times"},
		{"POST /faults", `{"operation":"read","kind":"latency"}`, 400, "delay"},
		{"POST /faults", `{"operation":"subscription-create","kind":"short-life"}`, 400, "life"},
		{"POST /tokens/revoke", "", 204, ""},
		{"POST /notify", `{"url":"` + h.URL + `","body":{"value":[{"clientState":"mine"}]}}`, 200, `{"status":202}`},
		{"POST /notify", `{"url":"` + h.URL + `","body":"no JSON"}`, 200, `{"status":400}`},
		{"POST /notify", `{"url":"ftp://x"}`, 400, "url"},
		{"POST /notify", `{"url":"http://127.0.0.1:1"}`, 502, "no answer"},
		{"GET /stats", "", 200, `"items":3`},
		{"POST /stats/reset", "", 204, ""},
		{"DELETE /users/bob@contoso.example", "", 204, ""},
		{"GET /users/bob@contoso.example", "", 404, "no such user"},
		{"DELETE /users/bob@contoso.example", "", 404, "no such user"},
		{"GET /nowhere", "", 404, "no such path"},
		{"POST /reset", "", 204, ""},
		{"GET /users", "", 200, `{"users":[]}`},
		{"GET /subscriptions", "", 200, `{"subscriptions":[]}`},
		{"GET /stats", "", 200, `"items":0`},
	} {
		method, path, _ := strings.Cut(step.route, " ")
		a := f.send(method, f.ControlURL()+path, http.Header{}, []byte(step.body))
		if a.status != step.status || !strings.Contains(string(a.raw), step.part) {
			t.Errorf("%s %s = %d %s, want %d with %s", step.route, step.body, a.status, a.raw, step.status, step.part)
		}
	}
	if again := f.addUser("ann@contoso.example"); again.ID != ann.ID {
		t.Errorf("first id after the reset = %s, want %s again", again.ID, ann.ID)
	}
}
