package graphsim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

func TestControlAPI(t *testing.T) {
	w := start(t, graphsim.Config{})
	id := w.subscribe(w.user("ann@contoso.example"), newHook(t), time.Hour)
	steps := []struct {
		route, body string
		status      int
		part        string // of the answer
	}{
		{"POST /users", `{"userPrincipalName":"bob@contoso.example"}`, 200, `"displayName":"bob"`},
		{"POST /users", `{"userPrincipalName":"bob@contoso.example"}`, 409, `"error":"exists already: bob@contoso.example"`},
		{"POST /users", `{"userPrincipalName":"eve@contoso.example","shoeSize":40}`, 400, `shoeSize`},
		{"GET /users", "", 200, `"mail":"bob@contoso.example"`},
		{"PUT /users/bob@contoso.example/automaticReplies", `{"status":"alwaysEnabled","externalReplyMessage":"<p>Hi</p>"}`, 200, `<p>Hi</p>`},
		{"GET /users/bob@contoso.example/automaticReplies", "", 200, `"status":"alwaysEnabled"`},
		{"PUT /users/bob@contoso.example/mailbox", `{"error":"ErrorAccessDenied"}`, 204, ""},
		{"POST /users/ann@contoso.example/changes", `{"collection":"events","changeType":"updated"}`, 204, ""},
		{"GET /subscriptions", "", 200, `"clientState":"state of ann@contoso.example"`},
		{"POST /subscriptions/" + id + "/lifecycle", `{"event":"missed"}`, 204, ""},
		{"POST /subscriptions/" + id + "/remove", `{"silent":true}`, 204, ""},
		{"POST /subscriptions/" + id + "/remove", `{}`, 404, "no such subscription"},
		{"POST /faults", `{"operation":"read","kind":"throttle","retryAfter":"2s","times":3}`, 200, `"retryAfter":"2s"`},
		{"GET /faults", "", 200, `"hits":0`},
		{"DELETE /faults", "", 204, ""},
		{"POST /tokens/revoke", "", 204, ""},
		{"GET /stats", "", 200, `"items":2`},
		{"POST /stats/reset", "", 204, ""},
		{"DELETE /users/bob@contoso.example", "", 204, ""},
		{"GET /users/bob@contoso.example", "", 404, "no such user"},
		{"GET /nowhere", "", 404, "no such path"},
	}
	for _, step := range steps {
		method, path, _ := strings.Cut(step.route, " ")
		a := w.ask(method, w.ControlURL()+path, http.Header{}, []byte(step.body))
		if a.status != step.status || !strings.Contains(string(a.raw), step.part) {
			t.Errorf("%s %s = %d %s, want %d with %s", step.route, step.body, a.status, a.raw, step.status, step.part)
		}
	}
}
