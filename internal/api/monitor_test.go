package api_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

func monitorFixture() *fixture {
	f := newFixture()
	f.add(userNamed("Ann@contoso.example"))
	f.directory["bob@contoso.example"] = ooo.Person{ID: "id-bob"}
	f.directory["o'hara+x@contoso.example"] = ooo.Person{ID: "id-ohara"}
	return f
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
		"start":                {`{"email":"bob@contoso.example","status":"True"}`, 200, ok("bob@contoso.example", "True")},
		"start, letter case":   {`{"email":"bob@contoso.example","status":"tRUE"}`, 200, ok("bob@contoso.example", "True")},
		"start, bool":          {`{"email":"bob@contoso.example","status":true}`, 200, ok("bob@contoso.example", "True")},
		"stop":                 {`{"email":"Ann@contoso.example","status":"False"}`, 200, ok("Ann@contoso.example", "False")},
		"stop, bool":           {`{"email":"Ann@contoso.example","status":false}`, 200, ok("Ann@contoso.example", "False")},
		"unknown fields":       {`{"email":"bob@contoso.example","status":"True","x":{"y":[1]}}`, 200, ok("bob@contoso.example", "True")},
		"escaped":              {`{"email":"o'hara+x@contoso.example","status":"True"}`, 200, ok("o&#39;hara+x@contoso.example", "True")},
		"unknown user":         {`{"email":"<b>@contoso.example","status":"True"}`, 404, "<h1>User &lt;b&gt;@contoso.example not in Active Directory</h1>"},
		"empty body":           {``, 400, notJSON},
		"not JSON":             {`email=bob`, 400, notJSON},
		"data after the JSON":  {`{"email":"bob@contoso.example","status":"True"} x`, 400, notJSON},
		"array":                {`[]`, 400, invalid},
		"null":                 {`null`, 400, invalid},
		"no status":            {`{"email":"bob@contoso.example"}`, 400, invalid},
		"no email":             {`{"status":"True"}`, 400, invalid},
		"email not a string":   {`{"email":1,"status":"True"}`, 400, invalid},
		"email not an address": {`{"email":"bob","status":"True"}`, 400, invalid},
		"unknown status":       {`{"email":"bob@contoso.example","status":"yes"}`, 400, invalid},
		"status with a space":  {`{"email":"bob@contoso.example","status":" True"}`, 400, invalid},
		"status a number":      {`{"email":"bob@contoso.example","status":1}`, 400, invalid},
		"status null":          {`{"email":"bob@contoso.example","status":null}`, 400, invalid},
		"too large":            {`{"email":"` + strings.Repeat("a", 70_000) + `"}`, 413, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answer, body := postMonitor(tt.body).ask(handler(t, monitorFixture()))
			if answer.Code != tt.status || tt.answer != "" && body != tt.answer {
				t.Errorf("answer = %d %q, want %d %q", answer.Code, body, tt.status, tt.answer)
			}
			if kind := answer.Header().Get("Content-Type"); strings.HasPrefix(body, "<h1>") != strings.HasPrefix(kind, "text/html") {
				t.Errorf("Content-Type of %q = %q, want text/html only for HTML", body, kind)
			}
		})
	}
}

func TestMonitorContentTypes(t *testing.T) {
	tests := map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "APPLICATION/JSON": 200,
		"application/vnd.api+json": 200, "application/json;": 200, "text/plain": 400, "": 400, "text/x+json": 400, "application/json2": 400,
	}
	for kind, want := range tests {
		t.Run(kind, func(t *testing.T) {
			r := monitor("bob@contoso.example", "True")
			r.header["Content-Type"] = kind
			if answer, body := r.ask(handler(t, monitorFixture())); answer.Code != want {
				t.Errorf("answer = %d %q, want %d", answer.Code, body, want)
			}
		})
	}
}

func TestMonitorAcceptHeader(t *testing.T) {
	tests := map[string]bool{
		"": false, "*/*": false, "text/html": false, "application/json": true, "application/json, */*": true,
		"text/html, application/json;q=0.9": false, "application/json, text/html;q=0.9": true, "application/*": true,
		"application/json;q=0.5, text/*;q=0.6": false, "nonsense": false, "application/json;q=x": false,
		"application/json;q=0": false, "text/html;q=0, */*": true, "*/*;q=0": false, "text/*, application/json;q=1.0": true,
	}
	for accept, want := range tests {
		t.Run(accept, func(t *testing.T) {
			r := monitor("bob@contoso.example", "True")
			r.header["Accept"] = accept
			answer, body := r.ask(handler(t, monitorFixture()))
			if got := strings.HasPrefix(answer.Header().Get("Content-Type"), "application/json"); got != want || answer.Code != 200 {
				t.Errorf("answer = %d %q, want JSON: %t", answer.Code, body, want)
			}
		})
	}
}

func TestMonitorEffects(t *testing.T) {
	const ann, bob = `{"email":"Ann@contoso.example","status":"True"}`, `{"email":"bob@contoso.example","status":"True"}`
	const stopAnn, stopBob = `{"email":"ANN@contoso.example","status":"False"}`, `{"email":"bob@contoso.example","status":"False"}`
	const annWish, bobWish = "[wish id-ann-at-contoso.example ann@contoso.example]", "[wish id-bob bob@contoso.example]"
	const unresolvedWish = "wish @bob@contoso.example bob@contoso.example"
	nothing := func(*fixture) {}
	annRow := func(change func(row *ooo.Summary)) func(*fixture) {
		return func(f *fixture) {
			row := f.rows["ann@contoso.example"]
			change(&row)
			f.rows["ann@contoso.example"] = row
		}
	}
	bobIs := func(wish ooo.Wish) func(*fixture) {
		return func(f *fixture) { f.wishes["bob@contoso.example"] = wish }
	}
	unresolved := func(notFound bool) func(*fixture) {
		return func(f *fixture) {
			f.wishes["bob@contoso.example"] = ooo.Wish{Address: "bob@contoso.example", On: true, Nonce: "1"}
			f.rows["bob@contoso.example"] = ooo.Summary{ID: "@bob@contoso.example", Condition: ooo.Unknown, NotFound: notFound}
		}
	}
	lookupErr := func(err error) func(*fixture) { return func(f *fixture) { f.lookupErr = err } }
	tests := map[string]struct {
		setUp           func(f *fixture)
		body            string
		status          int
		lookups, starts int
		hints           string
	}{
		"new user":                    {nothing, bob, 200, 1, 1, bobWish},
		"unknown user":                {nothing, `{"email":"no@contoso.example","status":"True"}`, 404, 1, 0, "[]"},
		"already monitored":           {nothing, ann, 200, 0, 0, "[]"},
		"new spelling":                {nothing, `{"email":"ann@contoso.example","status":"True"}`, 200, 0, 1, annWish},
		"refused delivery":            {annRow(func(r *ooo.Summary) { r.Delivery = ooo.DeliveryRefused }), ann, 200, 0, 0, annWish},
		"unreadable mailbox":          {annRow(func(r *ooo.Summary) { r.Condition = ooo.Unknown }), ann, 200, 0, 0, "[check id-ann-at-contoso.example]"},
		"no summary yet":              {annRow(func(r *ooo.Summary) { r.ID = "other" }), ann, 200, 0, 0, annWish},
		"stop":                        {nothing, stopAnn, 200, 0, 0, annWish},
		"stop, not monitored":         {nothing, stopBob, 200, 0, 0, "[]"},
		"stop, damaged wish":          {bobIs(ooo.Wish{Nonce: "1"}), stopBob, 200, 0, 0, "[" + unresolvedWish + "]"},
		"damaged wish":                {bobIs(ooo.Wish{Nonce: "1"}), bob, 200, 1, 1, bobWish},
		"stopped before":              {bobIs(ooo.Wish{Address: "bob@contoso.example", Person: ooo.Person{ID: "x"}, Nonce: "1"}), bob, 200, 1, 1, bobWish},
		"Graph unreachable":           {lookupErr(ooo.ErrUnavailable), bob, 202, 1, 1, "[" + unresolvedWish + "]"},
		"ambiguous address":           {lookupErr(fmt.Errorf("x: %w", ooo.ErrAmbiguous)), bob, 409, 1, 0, "[]"},
		"monitored, not looked up":    {unresolved(false), bob, 202, 0, 0, "[" + unresolvedWish + " check @bob@contoso.example]"},
		"monitored, not in directory": {unresolved(true), bob, 404, 0, 0, "[" + unresolvedWish + " check @bob@contoso.example]"},
		"Redis unreachable":           {func(f *fixture) { f.err = errAway }, bob, 503, 0, 0, "[]"},
		"stop, Redis unreachable":     {func(f *fixture) { f.err = errAway }, stopBob, 503, 0, 0, "[]"},
		"invalid body":                {nothing, `{}`, 400, 0, 0, "[]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := monitorFixture()
			tt.setUp(f)
			before := maps.Clone(f.wishes)
			answer, body := postMonitor(tt.body).ask(handler(t, f))
			if hints := fmt.Sprint(f.hintKeys()); answer.Code != tt.status || f.lookups != tt.lookups || len(f.starts) != tt.starts || hints != tt.hints {
				t.Errorf("answer = %d %q with %d look-ups, %d starts and hints %s, want %d with %d, %d and %s",
					answer.Code, body, f.lookups, len(f.starts), hints, tt.status, tt.lookups, tt.starts, tt.hints)
			}
			if len(f.hints) == 0 && !maps.Equal(f.wishes, before) {
				t.Errorf("wishes = %v, want them unchanged", f.wishes)
			}
			if strings.Contains(body, "connection refused") {
				t.Errorf("answer %q reveals the error of the store", body)
			}
		})
	}
}

func TestThrottledLookupDelaysOthers(t *testing.T) {
	f := monitorFixture()
	f.lookupErr = &ooo.Throttled{After: time.Minute}
	h := handler(t, f)
	for _, email := range []string{"bob@contoso.example", "zoe@contoso.example"} {
		if answer, body := monitor(email, "True").ask(h); answer.Code != 202 {
			t.Errorf("start = %d %s, want 202", answer.Code, body)
		}
	}
	if want := map[string]time.Duration{"directory": time.Minute}; f.lookups != 1 || !maps.Equal(f.waits, want) {
		t.Errorf("%d look-ups with waits %v, want 1 with %v", f.lookups, f.waits, want)
	}
}

func TestWishFields(t *testing.T) {
	f := monitorFixture()
	h := handler(t, f)
	ask := func(r request) ooo.Wish {
		t.Helper()
		if answer, body := r.ask(h); answer.Code > 204 {
			t.Fatalf("%s %s = %d %s, want success", r.method, r.path, answer.Code, body)
		}
		return f.wishes["bob@contoso.example"]
	}
	first := ask(put("/api/users/Bob@contoso.example"))
	second := ask(monitor("BOB@contoso.example", "True"))
	off := ask(remove("/api/users/Bob@contoso.example"))
	off.At = off.At.Add(time.Hour) // written by a replica with another clock
	f.wishes["bob@contoso.example"] = off
	again := ask(monitor("bob@contoso.example", "True"))
	want := []ooo.Wish{
		{Address: "Bob@contoso.example", On: true}, {Address: "BOB@contoso.example", On: true},
		{Address: "BOB@contoso.example"}, {Address: "bob@contoso.example", On: true},
	}
	nonces := map[string]bool{}
	for i, got := range []ooo.Wish{first, second, off, again} {
		nonces[got.Nonce] = true
		if got.Address != want[i].Address || got.On != want[i].On || got.Person.ID != "id-bob" {
			t.Errorf("wish %d = %+v, want %+v of bob", i, got, want[i])
		}
	}
	if first.StartID == "" || second.StartID != first.StartID || off.StartID != first.StartID || again.StartID == first.StartID || len(nonces) != 4 {
		t.Errorf("starts = %s, %s, %s, %s, want the same until monitoring starts again, and new nonces", first.StartID, second.StartID, off.StartID, again.StartID)
	}
	if second.At.Before(first.At) || !again.At.After(off.At) {
		t.Errorf("times = %v, %v, %v, %v, want them to grow", first.At, second.At, off.At, again.At)
	}
}

// contendedStore is a store whose wishes change the given number of times after they were
// read.
type contendedStore struct {
	*fixture
	times int
}

func (c *contendedStore) SwapWishes(ctx context.Context, changes []store.WishChange) ([]bool, error) {
	if c.times--; c.times >= 0 {
		return make([]bool, len(changes)), nil
	}
	return c.fixture.SwapWishes(ctx, changes)
}

func (c *contendedStore) SwapWish(ctx context.Context, old, next ooo.Wish, hint ooo.Hint) (bool, error) {
	swapped, err := c.SwapWishes(ctx, []store.WishChange{{Old: old, New: next, Hint: hint}})
	return swapped[0], err
}

func TestContendedWish(t *testing.T) {
	bulk := postJSON("/api/users", `{"emails":["bob@contoso.example"]}`)
	tests := map[string]struct {
		request
		times, status, lookups int
	}{
		"start":         {monitor("bob@contoso.example", "True"), 2, 200, 1},
		"stop":          {monitor("ann@contoso.example", "False"), 2, 200, 0},
		"bulk":          {bulk, 2, 202, 0},
		"start, often":  {monitor("bob@contoso.example", "True"), 40, 200, 1},
		"stop, often":   {monitor("ann@contoso.example", "False"), 40, 200, 0},
		"bulk, often":   {bulk, 40, 202, 0},
		"start, always": {monitor("bob@contoso.example", "True"), 100, 503, 1},
		"bulk, always":  {bulk, 100, 503, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := monitorFixture()
			answer, _ := tt.ask(over(t, f, &contendedStore{f, tt.times}, f))
			if answer.Code != tt.status || f.lookups != tt.lookups || (len(f.hints) > 0) != (tt.status < 300) {
				t.Errorf("answer = %d %s after %d look-ups with hints %v, want %d after %d", answer.Code, answer.Body, f.lookups, f.hintKeys(), tt.status, tt.lookups)
			}
		})
	}
}

// interruptedStore calls afterRead once after a wish was read.
type interruptedStore struct {
	*fixture
	afterRead func()
}

func (s *interruptedStore) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	wish, err := s.fixture.Wish(ctx, address)
	if afterRead := s.afterRead; afterRead != nil {
		s.afterRead = nil
		afterRead()
	}
	return wish, err
}

// TestLastAcknowledgedRequestWins answers a request while another one has read the wish
// but is not answered yet.
func TestLastAcknowledgedRequestWins(t *testing.T) {
	start, stop := monitor("Ann@contoso.example", "True"), monitor("Ann@contoso.example", "False")
	for name, tt := range map[string]struct {
		during, last request
		on           bool
	}{
		"stop during a start":      {stop, start, true},
		"start during a stop":      {start, stop, false},
		"bulk start during a stop": {postJSON("/api/users", `{"emails":["ann@contoso.example"]}`), stop, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := monitorFixture()
			f.directory["ann@contoso.example"] = ooo.Person{ID: "id-ann"}
			store := &interruptedStore{fixture: f, afterRead: func() {
				if answer, body := tt.during.ask(handler(t, f)); answer.Code >= 300 {
					t.Errorf("first answer = %d %s, want success", answer.Code, body)
				}
			}}
			answer, body := tt.last.ask(over(t, f, store, f))
			if on := f.wishes["ann@contoso.example"].On; answer.Code != 200 || on != tt.on {
				t.Errorf("answer = %d %s and monitored = %t, want 200 and %t", answer.Code, body, on, tt.on)
			}
		})
	}
}
