package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"outlook-monitor/internal/ooo"
)

func monitorWorld() *world {
	w := newWorld()
	w.add("Ann@contoso.example")
	w.directory["bob@contoso.example"] = ooo.Person{ID: "id-bob"}
	w.directory["o'hara+x@contoso.example"] = ooo.Person{ID: "id-ohara"}
	return w
}

func asJSON(body string) request {
	return request{http.MethodPost, "/monitor", body, map[string]string{"Content-Type": "application/json"}}
}

func TestMonitorBodies(t *testing.T) {
	const notJSON, invalid = `{"result":"Not JSON"}`, `{"result":"Invalid JSON"}`
	ok := func(email, word string) string {
		return "<h1>You would like to monitor " + email + " " + word + "</h1>"
	}
	tests := map[string]struct {
		body   string
		status int
		answer string
	}{
		"a start":                         {`{"email":"bob@contoso.example","status":"True"}`, 200, ok("bob@contoso.example", "True")},
		"a start in another letter case":  {`{"email":"bob@contoso.example","status":"tRUE"}`, 200, ok("bob@contoso.example", "True")},
		"a start by a JSON bool":          {`{"email":"bob@contoso.example","status":true}`, 200, ok("bob@contoso.example", "True")},
		"a stop":                          {`{"email":"Ann@contoso.example","status":"False"}`, 200, ok("Ann@contoso.example", "False")},
		"a stop by a JSON bool":           {`{"email":"Ann@contoso.example","status":false}`, 200, ok("Ann@contoso.example", "False")},
		"a stop of one not monitored":     {`{"email":"x@contoso.example","status":"false"}`, 200, ok("x@contoso.example", "False")},
		"unknown fields are ignored":      {`{"email":"bob@contoso.example","status":"True","x":{"y":[1]}}`, 200, ok("bob@contoso.example", "True")},
		"values are escaped":              {`{"email":"o'hara+x@contoso.example","status":"True"}`, 200, ok("o&#39;hara+x@contoso.example", "True")},
		"a start of nobody":               {`{"email":"no@contoso.example","status":"True"}`, 404, "<h1>User no@contoso.example not in Active Directory</h1>"},
		"markup is escaped":               {`{"email":"<script>@contoso.example","status":"True"}`, 404, "<h1>User &lt;script&gt;@contoso.example not in Active Directory</h1>"},
		"an empty body":                   {``, 400, notJSON},
		"no JSON":                         {`email=bob`, 400, notJSON},
		"more after the JSON":             {`{"email":"bob@contoso.example","status":"True"} x`, 400, notJSON},
		"an array":                        {`[]`, 400, invalid},
		"null":                            {`null`, 400, invalid},
		"a text":                          {`"x"`, 400, invalid},
		"a number":                        {`1`, 400, invalid},
		"no status":                       {`{"email":"bob@contoso.example"}`, 400, invalid},
		"no email":                        {`{"status":"True"}`, 400, invalid},
		"an email that is no text":        {`{"email":1,"status":"True"}`, 400, invalid},
		"an email that is no address":     {`{"email":"bob","status":"True"}`, 400, invalid},
		"an empty email":                  {`{"email":"","status":"True"}`, 400, invalid},
		"an email with a line break":      {`{"email":"bob\n@contoso.example","status":"True"}`, 400, invalid},
		"an unknown status":               {`{"email":"bob@contoso.example","status":"yes"}`, 400, invalid},
		"a status with spaces":            {`{"email":"bob@contoso.example","status":" True"}`, 400, invalid},
		"a status that is a number":       {`{"email":"bob@contoso.example","status":1}`, 400, invalid},
		"a status that is null":           {`{"email":"bob@contoso.example","status":null}`, 400, invalid},
		"an email that is null":           {`{"email":null,"status":"True"}`, 400, invalid},
		"a body that is far too long":     {`{"email":"` + strings.Repeat("a", 70_000) + `"}`, 413, ""},
		"one already monitored, restated": {`{"email":"ANN@contoso.example","status":"True"}`, 200, ok("ANN@contoso.example", "True")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			response, body := asJSON(tt.body).send(t, serve(t, monitorWorld()))
			if response.StatusCode != tt.status || tt.answer != "" && body != tt.answer {
				t.Errorf("answer = %d %q, want %d %q", response.StatusCode, body, tt.status, tt.answer)
			}
			if kind := response.Header.Get("Content-Type"); strings.HasPrefix(body, "<h1>") != strings.HasPrefix(kind, "text/html") {
				t.Errorf("Content-Type = %q of %q, want what it is", kind, body)
			}
		})
	}
}

func TestMonitorContentTypes(t *testing.T) {
	tests := map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "APPLICATION/JSON": 200,
		"application/vnd.api+json": 200, "text/plain": 400, "application/x-www-form-urlencoded": 400, "": 400, "text/json+x": 400,
		"application/json;": 200, "application/json; charset": 200, "application/json2": 400, "multipart/form-data; boundary=x": 400,
	}
	for kind, want := range tests {
		t.Run(kind, func(t *testing.T) {
			r := asJSON(`{"email":"bob@contoso.example","status":"True"}`)
			r.header["Content-Type"] = kind
			if response, body := r.send(t, serve(t, monitorWorld())); response.StatusCode != want {
				t.Errorf("answer = %d %q, want %d", response.StatusCode, body, want)
			}
		})
	}
}

func TestMonitorAnswersInJSONWhenThatIsPreferred(t *testing.T) {
	tests := map[string]bool{
		"": false, "*/*": false, "text/html": false, "application/json": true, "application/json, */*": true,
		"text/html, application/json;q=0.9": false, "application/json, text/html;q=0.9": true, "application/*": true,
		"application/json;q=0.5, text/*;q=0.6": false, "nonsense": false, "application/json;q=x": false,
		"application/json;q=0": false, "text/html;q=0, */*": true, "*/*;q=0": false, "text/*, application/json;q=1.0": true,
	}
	for accept, want := range tests {
		t.Run(accept, func(t *testing.T) {
			r := asJSON(`{"email":"bob@contoso.example","status":"True"}`)
			r.header["Accept"] = accept
			response, body := r.send(t, serve(t, monitorWorld()))
			if got := strings.HasPrefix(response.Header.Get("Content-Type"), "application/json"); got != want || response.StatusCode != 200 {
				t.Errorf("answer = %d %q, want JSON: %t", response.StatusCode, body, want)
			}
		})
	}
}

func TestMonitorAsksGraphOnlyWhenItMust(t *testing.T) {
	unfound := func(w *world, reason string) {
		key := ooo.KeyOf("bob@contoso.example")
		w.users[key] = ooo.User{Key: key, Address: "bob@contoso.example", Active: true, Condition: ooo.Unknown, Reason: reason}
	}
	tests := map[string]struct {
		setUp   func(w *world)
		body    string
		status  int
		lookups int
		starts  int
	}{
		"a new user is looked up":                  {func(*world) {}, `{"email":"bob@contoso.example","status":"True"}`, 200, 1, 1},
		"nobody is looked up and not stored":       {func(*world) {}, `{"email":"no@contoso.example","status":"True"}`, 404, 1, 0},
		"one already monitored is not looked up":   {func(*world) {}, `{"email":"ann@contoso.example","status":"True"}`, 200, 0, 1},
		"a stop asks nobody":                       {func(*world) {}, `{"email":"bob@contoso.example","status":"False"}`, 200, 0, 0},
		"Graph out of reach: stored all the same":  {func(w *world) { w.finding = ooo.ErrUnavailable }, `{"email":"bob@contoso.example","status":"True"}`, 202, 1, 1},
		"throttled: stored all the same":           {func(w *world) { w.finding = &ooo.Throttled{After: 1} }, `{"email":"bob@contoso.example","status":"True"}`, 202, 1, 1},
		"a login refused: stored all the same":     {func(w *world) { w.finding = ooo.ErrUnauthorized }, `{"email":"bob@contoso.example","status":"True"}`, 202, 1, 1},
		"several of that name are an error":        {func(w *world) { w.finding = fmt.Errorf("x: %w", ooo.ErrAmbiguous) }, `{"email":"bob@contoso.example","status":"True"}`, 409, 1, 0},
		"monitored, not found yet":                 {func(w *world) { unfound(w, "") }, `{"email":"bob@contoso.example","status":"True"}`, 202, 0, 1},
		"monitored, known not to be there":         {func(w *world) { unfound(w, ooo.ErrNotInDirectory.Error()) }, `{"email":"bob@contoso.example","status":"True"}`, 404, 0, 0},
		"Redis out of reach for a start":           {func(w *world) { w.err = errAway }, `{"email":"bob@contoso.example","status":"True"}`, 503, 0, 0},
		"Redis out of reach for a stop":            {func(w *world) { w.err = errAway }, `{"email":"bob@contoso.example","status":"False"}`, 503, 0, 0},
		"one that was stopped is looked up as new": {func(w *world) { w.users[ooo.KeyOf("bob@contoso.example")] = ooo.User{Person: ooo.Person{ID: "x"}} }, `{"email":"bob@contoso.example","status":"True"}`, 200, 1, 1},
		"a wrong body reaches neither":             {func(*world) {}, `{}`, 400, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := monitorWorld()
			tt.setUp(w)
			response, body := asJSON(tt.body).send(t, serve(t, w))
			if response.StatusCode != tt.status || w.lookups != tt.lookups || len(w.starts) != tt.starts {
				t.Errorf("answer = %d %q with %d look-ups and %d starts, want %d with %d and %d",
					response.StatusCode, body, w.lookups, len(w.starts), tt.status, tt.lookups, tt.starts)
			}
			if strings.Contains(body, "connection refused") {
				t.Errorf("answer %q tells of the inside", body)
			}
		})
	}
}
