package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

func monitorWorld() *world {
	w := newWorld()
	w.add(named("Ann@contoso.example"))
	w.directory["bob@contoso.example"] = ooo.Person{ID: "id-bob"}
	w.directory["o'hara+x@contoso.example"] = ooo.Person{ID: "id-ohara"}
	return w
}

func asJSON(body string) request {
	return postJSON("/monitor", body)
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
			response, body := asJSON(tt.body).ask(handler(t, monitorWorld()))
			if response.Code != tt.status || tt.answer != "" && body != tt.answer {
				t.Errorf("answer = %d %q, want %d %q", response.Code, body, tt.status, tt.answer)
			}
			if kind := response.Header().Get("Content-Type"); strings.HasPrefix(body, "<h1>") != strings.HasPrefix(kind, "text/html") {
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
			if response, body := r.ask(handler(t, monitorWorld())); response.Code != want {
				t.Errorf("answer = %d %q, want %d", response.Code, body, want)
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
			response, body := r.ask(handler(t, monitorWorld()))
			if got := strings.HasPrefix(response.Header().Get("Content-Type"), "application/json"); got != want || response.Code != 200 {
				t.Errorf("answer = %d %q, want JSON: %t", response.Code, body, want)
			}
		})
	}
}

func TestMonitorAsksAndWritesOnlyWhatItMust(t *testing.T) {
	const ann, bob, annID = `{"email":"Ann@contoso.example","status":"True"}`, `{"email":"bob@contoso.example","status":"True"}`, "id-ann-at-contoso.example"
	const wished = "wish @bob@contoso.example bob@contoso.example"
	nothing := func(*world) {}
	change := func(change func(row *ooo.Summary)) func(*world) {
		return func(w *world) {
			row := w.rows["ann@contoso.example"]
			change(&row)
			w.rows["ann@contoso.example"] = row
		}
	}
	unfound := func(notFound bool) func(*world) {
		return func(w *world) {
			w.wishes["bob@contoso.example"] = ooo.Wish{Address: "bob@contoso.example", On: true, Nonce: "1"}
			w.rows["bob@contoso.example"] = ooo.Summary{ID: "@bob@contoso.example", Condition: ooo.Unknown, NotFound: notFound}
		}
	}
	tests := map[string]struct {
		setUp   func(w *world)
		body    string
		status  int
		lookups int
		starts  int
		hints   string
	}{
		"a new user is looked up":                 {nothing, bob, 200, 1, 1, "[wish id-bob bob@contoso.example]"},
		"nobody is looked up and not stored":      {nothing, `{"email":"no@contoso.example","status":"True"}`, 404, 1, 0, "[]"},
		"one already monitored costs nothing":     {nothing, ann, 200, 0, 0, "[]"},
		"one in a new spelling":                   {nothing, `{"email":"ann@contoso.example","status":"True"}`, 200, 0, 1, "[wish " + annID + " ann@contoso.example]"},
		"one that the mediator refused":           {change(func(r *ooo.Summary) { r.Delivery = ooo.DeliveryRefused }), ann, 200, 0, 0, "[wish " + annID + " ann@contoso.example]"},
		"one that can't be read":                  {change(func(r *ooo.Summary) { r.Condition = ooo.Unknown }), ann, 200, 0, 0, "[check " + annID + "]"},
		"one whose owner did nothing yet":         {change(func(r *ooo.Summary) { r.ID = "other" }), ann, 200, 0, 0, "[wish " + annID + " ann@contoso.example]"},
		"a stop":                                  {nothing, `{"email":"ANN@contoso.example","status":"False"}`, 200, 0, 0, "[wish " + annID + " ann@contoso.example]"},
		"a stop asks nobody":                      {nothing, `{"email":"bob@contoso.example","status":"False"}`, 200, 0, 0, "[]"},
		"a stop of a wish that can't be read":     {func(w *world) { w.wishes["bob@contoso.example"] = ooo.Wish{Nonce: "1"} }, `{"email":"bob@contoso.example","status":"False"}`, 200, 0, 0, "[" + wished + "]"},
		"a start of a wish that can't be read":    {func(w *world) { w.wishes["bob@contoso.example"] = ooo.Wish{Nonce: "1"} }, bob, 200, 1, 1, "[wish id-bob bob@contoso.example]"},
		"Graph out of reach: stored all the same": {func(w *world) { w.finding = ooo.ErrUnavailable }, bob, 202, 1, 1, "[" + wished + "]"},
		"throttled: stored all the same":          {func(w *world) { w.finding = &ooo.Throttled{After: time.Minute} }, bob, 202, 1, 1, "[" + wished + "]"},
		"look-ups wait: stored all the same":      {func(w *world) { w.waits["directory"] = time.Second }, bob, 202, 0, 1, "[" + wished + "]"},
		"a login refused: stored all the same":    {func(w *world) { w.finding = ooo.ErrUnauthorized }, bob, 202, 1, 1, "[" + wished + "]"},
		"several of that name are an error":       {func(w *world) { w.finding = fmt.Errorf("x: %w", ooo.ErrAmbiguous) }, bob, 409, 1, 0, "[]"},
		"monitored, not found yet":                {unfound(false), bob, 202, 0, 0, "[" + wished + " check @bob@contoso.example]"},
		"monitored, known not to be there":        {unfound(true), bob, 404, 0, 0, "[" + wished + " check @bob@contoso.example]"},
		"Redis out of reach for a start":          {func(w *world) { w.err = errAway }, bob, 503, 0, 0, "[]"},
		"Redis out of reach for a stop":           {func(w *world) { w.err = errAway }, `{"email":"bob@contoso.example","status":"False"}`, 503, 0, 0, "[]"},
		"one that was stopped is looked up again": {func(w *world) {
			w.wishes["bob@contoso.example"] = ooo.Wish{Address: "bob@contoso.example", Person: ooo.Person{ID: "x"}, Nonce: "1"}
		}, bob, 200, 1, 1, "[wish id-bob bob@contoso.example]"},
		"a wrong body reaches neither": {nothing, `{}`, 400, 0, 0, "[]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := monitorWorld()
			tt.setUp(w)
			response, body := asJSON(tt.body).ask(handler(t, w))
			if hints := fmt.Sprint(w.left()); response.Code != tt.status || w.lookups != tt.lookups || len(w.starts) != tt.starts || hints != tt.hints {
				t.Errorf("answer = %d %q with %d look-ups, %d starts and hints %s, want %d with %d, %d and %s",
					response.Code, body, w.lookups, len(w.starts), hints, tt.status, tt.lookups, tt.starts, tt.hints)
			}
			if strings.Contains(body, "connection refused") {
				t.Errorf("answer %q tells of the inside", body)
			}
		})
	}
}

func TestWishesSayWhoAskedForWhat(t *testing.T) {
	w := monitorWorld()
	h := handler(t, w)
	ask := func(r request) ooo.Wish {
		t.Helper()
		if response, body := r.ask(h); response.Code > 204 {
			t.Fatalf("%s %s = %d %s, want it done", r.method, r.path, response.Code, body)
		}
		return w.wishes["bob@contoso.example"]
	}
	bob := put("/api/users/Bob@contoso.example")
	first := ask(bob)
	second := ask(asJSON(`{"email":"BOB@contoso.example","status":"True"}`))
	bob.method = "DELETE"
	off := ask(bob)
	w.wishes["bob@contoso.example"] = func() ooo.Wish { later := off; later.At = off.At.Add(time.Hour); return later }() // another clock
	anew := ask(asJSON(`{"email":"bob@contoso.example","status":"True"}`))
	want := []ooo.Wish{
		{Address: "Bob@contoso.example", On: true}, {Address: "BOB@contoso.example", On: true},
		{Address: "BOB@contoso.example"}, {Address: "bob@contoso.example", On: true},
	}
	nonces := map[string]bool{}
	for i, got := range []ooo.Wish{first, second, off, anew} {
		nonces[got.Nonce] = true
		if got.Address != want[i].Address || got.On != want[i].On || got.Person.ID != "id-bob" {
			t.Errorf("wish %d = %+v, want %+v of bob", i, got, want[i])
		}
	}
	if first.Start == "" || second.Start != first.Start || off.Start != first.Start || anew.Start == first.Start || len(nonces) != 4 {
		t.Errorf("starts = %s, %s, %s, %s, want the same until monitoring starts again, and a new nonce each", first.Start, second.Start, off.Start, anew.Start)
	}
	if second.At.Before(first.At) || !anew.At.After(off.At.Add(time.Hour)) {
		t.Errorf("times = %v, %v, %v, want each after the one before, whatever its clock", first.At, second.At, anew.At)
	}
}

// contended is a store whose wishes somebody else changes after they were read.
type contended struct {
	*world
	times int
}

func (c *contended) SwapWishes(ctx context.Context, changes []store.WishChange) ([]bool, error) {
	if c.times--; c.times >= 0 {
		return make([]bool, len(changes)), nil
	}
	return c.world.SwapWishes(ctx, changes)
}

func (c *contended) SwapWish(ctx context.Context, old, next ooo.Wish, hint ooo.Hint) (bool, error) {
	swapped, err := c.SwapWishes(ctx, []store.WishChange{{Old: old, New: next, Hint: hint}})
	return swapped[0], err
}

func TestAWishThatOthersChangeIsReadAgain(t *testing.T) {
	many := postJSON("/api/users", `{"emails":["bob@contoso.example"]}`)
	tests := map[string]struct {
		request
		times, status, lookups int
	}{
		"a start":              {asJSON(`{"email":"bob@contoso.example","status":"True"}`), 2, 200, 1},
		"a stop":               {asJSON(`{"email":"ann@contoso.example","status":"False"}`), 2, 200, 0},
		"many":                 {many, 2, 202, 0},
		"again and again":      {asJSON(`{"email":"bob@contoso.example","status":"True"}`), 100, 503, 1},
		"many, without an end": {many, 100, 503, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := monitorWorld()
			answer, _ := tt.ask(over(t, w, &contended{w, tt.times}, w))
			if answer.Code != tt.status || w.lookups != tt.lookups || (len(w.hints) > 0) != (tt.status < 300) {
				t.Errorf("answer = %d %s after %d look-ups with hints %v, want %d after %d", answer.Code, answer.Body, w.lookups, w.left(), tt.status, tt.lookups)
			}
		})
	}
}

// between is a store that has something else happen after a wish was read.
type between struct {
	*world
	happen func()
}

func (b *between) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	w, err := b.world.Wish(ctx, address)
	if happen := b.happen; happen != nil {
		b.happen = nil
		happen()
	}
	return w, err
}

// TestWhatWasAcknowledgedLastCounts has one replica answer wholly while the other has
// read the wish, but not answered.
func TestWhatWasAcknowledgedLastCounts(t *testing.T) {
	start, stop := asJSON(`{"email":"Ann@contoso.example","status":"True"}`), asJSON(`{"email":"Ann@contoso.example","status":"False"}`)
	for name, tt := range map[string]struct {
		within, last request
		on           bool
	}{
		"a stop within a start": {stop, start, true},
		"a start within a stop": {start, stop, false},
		"a bulk start within a stop": {
			postJSON("/api/users", `{"emails":["ann@contoso.example"]}`), stop, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := monitorWorld()
			w.directory["ann@contoso.example"] = ooo.Person{ID: "id-ann"}
			store := &between{world: w, happen: func() {
				if first, body := tt.within.ask(handler(t, w)); first.Code >= 300 {
					t.Errorf("the first = %d %s, want it done", first.Code, body)
				}
			}}
			answer, body := tt.last.ask(over(t, w, store, w))
			if on := w.wishes["ann@contoso.example"].On; answer.Code != 200 || on != tt.on {
				t.Errorf("answer = %d %s and monitored = %t, want 200 and %t", answer.Code, body, on, tt.on)
			}
		})
	}
}

// TestASyncOfKnownUsersWritesNothing counts by the number that every write changes.
func TestASyncOfKnownUsersWritesNothing(t *testing.T) {
	w := monitorWorld()
	w.directory["ann@contoso.example"] = ooo.Person{ID: "id-ann"}
	h, start := handler(t, w), asJSON(`{"email":"Ann@contoso.example","status":"True"}`)
	start.ask(h)
	w.hints = nil
	before := w.wishes["ann@contoso.example"]
	if answer, _ := start.ask(h); answer.Code != 200 || w.wishes["ann@contoso.example"] != before || len(w.hints) != 0 {
		t.Errorf("a second start = %d, wish %+v and hints %v, want 200 and nothing written", answer.Code, w.wishes["ann@contoso.example"], w.left())
	}
}
