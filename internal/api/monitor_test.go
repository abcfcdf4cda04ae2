package api_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/ooo"
)

func monitorFixture() *fixture {
	f := newFixture()
	f.add(userNamed("Ann@contoso.example"))
	f.directory["bob@contoso.example"] = ooo.Person{ID: "id-bob"}
	f.directory["o'hara+x@contoso.example"] = ooo.Person{ID: "id-ohara"}
	return f
}

// TestMonitorBodies has cases beside those of TestAnswersMatchTheDocument, and of TestHTTPContract in
// cmd/outlook-monitor.
func TestMonitorBodies(t *testing.T) {
	const notJSON, invalid = `{"result":"Not JSON"}`, `{"result":"Invalid JSON"}`
	ok := func(email, word string) string {
		return "<h1>You would like to monitor " + email + " " + word + "</h1>"
	}
	for name, tt := range map[string]struct {
		body   string
		status int
		answer string
	}{
		"start, letter case":   {`{"email":"bob@contoso.example","status":"tRUE"}`, 200, ok("bob@contoso.example", "True")},
		"stop":                 {`{"email":"Ann@contoso.example","status":"False"}`, 200, ok("Ann@contoso.example", "False")},
		"bool, unknown fields": {`{"email":"bob@contoso.example","status":true,"x":{"y":[1]}}`, 200, ok("bob@contoso.example", "True")},
		"escaped":              {`{"email":"o'hara+x@contoso.example","status":"True"}`, 200, ok("o&#39;hara+x@contoso.example", "True")},
		"data after the JSON":  {`{"email":"bob@contoso.example","status":"True"} x`, 400, notJSON},
		"null":                 {`null`, 400, invalid},
		"email not a string":   {`{"email":1,"status":"True"}`, 400, invalid},
		"email not an address": {`{"email":"bob","status":"True"}`, 400, invalid},
		"status with a space":  {`{"email":"bob@contoso.example","status":" True"}`, 400, invalid},
		"status a number":      {`{"email":"bob@contoso.example","status":1}`, 400, invalid},
		"status null":          {`{"email":"bob@contoso.example","status":null}`, 400, invalid},
	} {
		answer, body := postMonitor(tt.body).ask(handler(t, monitorFixture()))
		if answer.Code != tt.status || body != tt.answer {
			t.Errorf("%s: answer = %d %q, want %d %q", name, answer.Code, body, tt.status, tt.answer)
		}
		if kind := answer.Header().Get("Content-Type"); strings.HasPrefix(body, "<h1>") != strings.HasPrefix(kind, "text/html") {
			t.Errorf("%s: Content-Type of %q = %q, want text/html only for HTML", name, body, kind)
		}
	}
}

func TestMonitorContentTypes(t *testing.T) {
	for kind, want := range map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "APPLICATION/JSON": 200,
		"application/vnd.api+json": 200, "application/json;": 200, "text/plain": 400, "": 400, "text/x+json": 400, "application/json2": 400,
	} {
		r := monitor("bob@contoso.example", "True")
		r.header["Content-Type"] = kind
		if answer, body := r.ask(handler(t, monitorFixture())); answer.Code != want {
			t.Errorf("answer to %q = %d %q, want %d", kind, answer.Code, body, want)
		}
	}
}

func TestMonitorAcceptHeader(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "text/html": false, "application/json": true, "application/json, */*": true,
		"text/html, application/json;q=0.9": false, "application/json, text/html;q=0.9": true, "application/*": true,
		"application/json;q=0.5, text/*;q=0.6": false, "nonsense": false, "application/json;q=x": false,
		"application/json;q=7, text/html": false, "application/json;q=0": false, "text/html;q=0, */*": true,
		"*/*;q=0": false, "text/html;q=-1": false, "text/*, application/json;q=1.0": true,
	} {
		r := monitor("bob@contoso.example", "True")
		r.header["Accept"] = accept
		answer, body := r.ask(handler(t, monitorFixture()))
		if got := strings.HasPrefix(answer.Header().Get("Content-Type"), "application/json"); got != want || answer.Code != 200 {
			t.Errorf("answer for %q = %d %q, want JSON: %t", accept, answer.Code, body, want)
		}
	}
}

func TestEffects(t *testing.T) {
	startAnn, startBob := monitor("Ann@contoso.example", "True"), monitor("bob@contoso.example", "True")
	stopAnn, stopBob := monitor("ANN@contoso.example", "False"), monitor("bob@contoso.example", "False")
	const annID = "id-ann-at-contoso.example"
	const annWish, bobWish = "[wish " + annID + " ann@contoso.example]", "[wish id-bob bob@contoso.example]"
	const annCheck, annCover, annResend = "[check " + annID + "]", "[subscription " + annID + "]", "[resend " + annID + " ann@contoso.example]"
	const unresolvedWish = "wish @bob@contoso.example bob@contoso.example"
	const retriedWish = "[" + unresolvedWish + " " + unresolvedWish + " check @bob@contoso.example]"
	nothing := func(*fixture) {}
	annRow := func(change func(row *ooo.Summary)) func(*fixture) {
		return func(f *fixture) {
			row := f.rows["ann@contoso.example"]
			change(&row)
			f.rows["ann@contoso.example"] = row
		}
	}
	annDamaged := func(nonce string) func(*fixture) {
		return func(f *fixture) {
			f.damaged, f.wishes["ann@contoso.example"] = "ann@contoso.example", ooo.Wish{Nonce: nonce}
		}
	}
	bulk := func(emails string) request { return postJSON("/api/users", `{"emails":`+emails+`}`) }
	bobs := func(n int) request {
		return bulk(`["bob@contoso.example"` + strings.Repeat(`,"bob@contoso.example"`, n-1) + `]`)
	}
	stoppedBob := ooo.Wish{Address: "bob@contoso.example", Person: ooo.Person{ID: "x"}, Nonce: "1"}
	contended := func(f *fixture) { f.contended = 40 }
	bobIs := func(wish ooo.Wish) func(*fixture) {
		return func(f *fixture) { f.wishes["bob@contoso.example"] = wish }
	}
	unresolved := func(notFound bool) func(*fixture) {
		return func(f *fixture) {
			f.wishes["bob@contoso.example"] = ooo.Wish{Address: "bob@contoso.example", On: true, Nonce: "1"}
			f.rows["bob@contoso.example"] = ooo.Summary{ID: "@bob@contoso.example", Condition: ooo.Unknown, NotFound: notFound}
		}
	}
	hang := func(ctx context.Context, _ error) error { <-ctx.Done(); return ctx.Err() }
	storeHangs := func(f *fixture) { f.afterWish = hang }
	slow := func(_ context.Context, err error) error { time.Sleep(3 * time.Second); return err }
	lookupErr := func(err error) func(*fixture) { return func(f *fixture) { f.lookupErr = err } }
	for name, tt := range map[string]struct {
		setUp func(f *fixture)
		request
		status          int
		lookups, starts int
		hints           string
	}{
		"new user":                      {nothing, startBob, 200, 1, 1, bobWish},
		"unknown user":                  {nothing, monitor("no@contoso.example", "True"), 404, 1, 0, "[]"},
		"already monitored":             {nothing, startAnn, 200, 0, 0, "[]"},
		"already monitored, PUT":        {nothing, put("/api/users/ann@contoso.example"), 200, 0, 1, annWish},
		"already monitored, bulk":       {nothing, bulkStart("ann@contoso.example"), 202, 0, 1, annWish},
		"new spelling":                  {nothing, monitor("ann@contoso.example", "True"), 200, 0, 1, annWish},
		"refused delivery":              {annRow(func(r *ooo.Summary) { r.Delivery = ooo.DeliveryRefused }), startAnn, 200, 0, 0, annWish},
		"unreadable mailbox":            {annRow(func(r *ooo.Summary) { r.Condition, r.NotFound = ooo.Unknown, true }), startAnn, 200, 0, 0, annCheck},
		"damaged summary":               {annRow(func(r *ooo.Summary) { *r = ooo.Summary{} }), startAnn, 200, 0, 1, annWish},
		"no summary yet":                {annRow(func(r *ooo.Summary) { r.ID = "other" }), startAnn, 200, 0, 0, annWish},
		"stop":                          {nothing, stopAnn, 200, 0, 0, annWish},
		"stop, not monitored":           {nothing, stopBob, 200, 0, 0, "[]"},
		"stop, damaged wish":            {annDamaged("damaged"), stopAnn, 200, 0, 0, annWish},
		"stop, damaged, without nonce":  {annDamaged(""), stopAnn, 200, 0, 0, annWish},
		"stop, damaged, never saved":    {bobIs(ooo.Wish{Nonce: "1"}), stopBob, 200, 0, 0, "[" + unresolvedWish + "]"},
		"damaged wish":                  {bobIs(ooo.Wish{Nonce: "1"}), startBob, 200, 1, 1, bobWish},
		"stopped before":                {bobIs(stoppedBob), startBob, 200, 1, 1, bobWish},
		"Graph hangs":                   {func(f *fixture) { f.lookupHangs = true }, startBob, 202, 0, 1, "[" + unresolvedWish + "]"},
		"Graph hangs, Redis is slow":    {func(f *fixture) { f.lookupHangs, f.afterWish = true, slow }, startBob, 202, 0, 1, "[" + unresolvedWish + "]"},
		"Redis hangs":                   {storeHangs, startBob, 503, 0, 0, "[]"},
		"stop, Redis hangs":             {storeHangs, stopBob, 503, 0, 0, "[]"},
		"Graph unreachable":             {lookupErr(ooo.ErrUnavailable), startBob, 202, 1, 1, "[" + unresolvedWish + "]"},
		"ambiguous address":             {lookupErr(fmt.Errorf("x: %w", ooo.ErrAmbiguous)), startBob, 409, 1, 0, "[]"},
		"monitored, not looked up":      {unresolved(false), startBob, 202, 0, 0, "[" + unresolvedWish + " check @bob@contoso.example]"},
		"monitored, not in directory":   {unresolved(true), startBob, 404, 0, 0, "[" + unresolvedWish + " check @bob@contoso.example]"},
		"not looked up, new spelling":   {unresolved(false), monitor("BOB@contoso.example", "True"), 202, 0, 1, retriedWish},
		"not in directory, PUT":         {unresolved(true), put("/api/users/bob@contoso.example"), 404, 0, 1, retriedWish},
		"start, wish changed 40 times":  {contended, startBob, 200, 1, 1, bobWish},
		"stop, wish changed 40 times":   {contended, stopAnn, 200, 0, 0, annWish},
		"bulk, wishes changed 40 times": {contended, bulkStart("bob@contoso.example"), 202, 0, 1, "[" + unresolvedWish + "]"},
		"bulk, empty":                   {nothing, bulk(`[]`), 202, 0, 0, "[]"},
		"bulk, maximum":                 {nothing, bobs(10_000), 202, 0, 1, "[" + unresolvedWish + "]"},
		"bulk, too many":                {nothing, bobs(10_001), 400, 0, 0, "[]"},
		"bulk, null":                    {nothing, bulk(`null`), 400, 0, 0, "[]"},
		"bulk, invalid addresses":       {nothing, bulk(`["x",null,{}]`), 202, 0, 0, "[]"},
		"check":                         {nothing, post("/api/users/ANN@contoso.example/check"), 202, 0, 0, annCheck},
		"cover":                         {nothing, post("/api/users/ANN@contoso.example/cover"), 202, 0, 0, annCover},
		"resend":                        {nothing, post("/api/users/ANN@contoso.example/resend"), 202, 0, 0, annResend},
		"invalid body":                  {nothing, postMonitor(`{}`), 400, 0, 0, "[]"},
	} {
		t.Run(name, await.Bubble(func(t *testing.T) {
			f := monitorFixture()
			tt.setUp(f)
			began := time.Now()
			answer, body := tt.ask(handler(t, f))
			if hints := fmt.Sprint(f.hintKeys()); answer.Code != tt.status || f.lookups != tt.lookups || len(f.starts) != tt.starts || hints != tt.hints {
				t.Errorf("answer = %d %q with %d look-ups, %d starts and hints %s, want %d with %d, %d and %s",
					answer.Code, body, f.lookups, len(f.starts), hints, tt.status, tt.lookups, tt.starts, tt.hints)
			}
			if took := time.Since(began); took >= 8*time.Second {
				t.Errorf("answered after %v, want less than 8 s", took)
			}
		}))
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

// TestStoredWishes has a sequence of requests for one user. Only the mediator changes the
// spelling, and only a start after a stop changes the StartID.
func TestStoredWishes(t *testing.T) {
	f := monitorFixture()
	h := handler(t, f)
	began := time.Now()
	var last ooo.Wish
	for i, step := range []struct {
		request
		address     string // of the stored wish
		on, restart bool
	}{
		{put("/api/users/Bob@contoso.example"), "Bob@contoso.example", true, true},
		{monitor(" BOB@contoso.example ", "True"), "BOB@contoso.example", true, false},
		{put("/api/users/bob@contoso.example"), "BOB@contoso.example", true, false},
		{bulkStart("bob@contoso.example"), "BOB@contoso.example", true, false},
		{remove("/api/users/Bob@contoso.example"), "BOB@contoso.example", false, false},
		{monitor("bob@contoso.example", "True"), "bob@contoso.example", true, true},
	} {
		answer, body := step.ask(h)
		wish := f.wishes["bob@contoso.example"]
		if answer.Code > 204 || wish.Address != step.address || wish.On != step.on || wish.Person.ID != "id-bob" {
			t.Errorf("step %d: answer = %d %s with wish %+v, want success with %+v of bob", i, answer.Code, body, wish, step)
		}
		if restart := wish.StartID != last.StartID; wish.Nonce == last.Nonce || restart != step.restart || wish.At.Before(began) {
			t.Errorf("step %d: wish = %+v after %+v, want another nonce, another start: %t, and the current time", i, wish, last, step.restart)
		}
		last = wish
	}
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
		"bulk start during a stop": {bulkStart("ann@contoso.example"), stop, false},
	} {
		f := monitorFixture()
		f.directory["ann@contoso.example"] = ooo.Person{ID: "id-ann"}
		f.afterWish = func(_ context.Context, err error) error {
			f.afterWish = nil
			if answer, body := tt.during.ask(handler(t, f)); answer.Code >= 300 {
				t.Errorf("%s: first answer = %d %s, want success", name, answer.Code, body)
			}
			return err
		}
		answer, body := tt.last.ask(handler(t, f))
		if on := f.wishes["ann@contoso.example"].On; answer.Code != 200 || on != tt.on {
			t.Errorf("%s: answer = %d %s and monitored = %t, want 200 and %t", name, answer.Code, body, on, tt.on)
		}
	}
}
