package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
)

func TestTheMainPage(t *testing.T) {
	const good, bad = "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL.", "EXCHANGE OOO MAIN PAGE : Unable to sync with Mediator Server."
	tests := map[string]struct {
		method string
		err    error
		body   string
		syncs  int32
	}{
		"a sync that works":            {http.MethodGet, nil, good, 1},
		"a sync that fails":            {http.MethodGet, errors.New("the mediator is away"), bad, 1},
		"a look at it syncs nothing":   {http.MethodHead, nil, "", 0},
		"a look at it can not fail":    {http.MethodHead, errors.New("the mediator is away"), "", 0},
		"a sync that was not finished": {http.MethodGet, context.DeadlineExceeded, bad, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			var syncs atomic.Int32
			w.sync = func(context.Context) error { syncs.Add(1); return tt.err }
			response, body := request{method: tt.method, path: "/"}.ask(handler(t, w))
			if response.Code != 200 || body != tt.body || syncs.Load() != tt.syncs {
				t.Errorf("answer = %d %q after %d syncs, want 200 %q after %d", response.Code, body, syncs.Load(), tt.body, tt.syncs)
			}
			if kind := response.Header().Get("Content-Type"); tt.method == http.MethodGet && !strings.HasPrefix(kind, "text/plain") {
				t.Errorf("Content-Type = %q, want plain text", kind)
			}
		})
	}
}

// TestNothingIsLockedDuringASync has several callers wait in one sync, which
// ends only after /monitor was answered, as the mediator calls back.
func TestNothingIsLockedDuringASync(t *testing.T) {
	const callers = 5
	w := monitorWorld()
	var inside sync.WaitGroup
	inside.Add(callers)
	called := make(chan struct{})
	w.sync = func(ctx context.Context) error {
		inside.Done()
		select {
		case <-called:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	h := handler(t, w)
	answers := make(chan string, callers)
	var callersDone sync.WaitGroup
	for range callers {
		callersDone.Go(func() {
			_, body := get("/").ask(h)
			answers <- body
		})
	}
	inside.Wait()
	if response, body := asJSON(`{"email":"bob@contoso.example","status":"True"}`).ask(h); response.Code != 200 {
		t.Errorf("monitor during a sync = %d %q, want 200", response.Code, body)
	}
	close(called)
	callersDone.Wait()
	for range callers {
		if body := <-answers; !strings.HasSuffix(body, "SUCCESSFUL.") {
			t.Errorf("answer = %q, want that the sync worked", body)
		}
	}
}

// silent is a store and a directory that answer only when they are given up on.
type silent struct{ *world }

func (s silent) Find(ctx context.Context, _ string) (ooo.Person, error) {
	<-ctx.Done()
	return ooo.Person{}, ctx.Err()
}

func (s silent) Wish(ctx context.Context, _ string) (ooo.Wish, error) {
	<-ctx.Done()
	return ooo.Wish{}, ctx.Err()
}

func TestTheMediatorAlwaysGetsAnAnswerInTime(t *testing.T) {
	tests := map[string]struct {
		request
		store, directory bool // that are silent
		status           int
	}{
		"a silent directory: stored all the same": {asJSON(`{"email":"bob@contoso.example","status":"True"}`), false, true, 202},
		"a silent store at a start":               {asJSON(`{"email":"bob@contoso.example","status":"True"}`), true, false, 503},
		"a silent store at a stop":                {asJSON(`{"email":"bob@contoso.example","status":"False"}`), true, false, 503},
		"both silent":                             {asJSON(`{"email":"bob@contoso.example","status":"True"}`), true, true, 503},
		"a silent directory, asked by PUT":        {put("/api/users/bob@contoso.example"), false, true, 202},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := monitorWorld()
				var store wishesAndUsers = w
				var directory api.Directory = w
				if tt.store {
					store = silent{w}
				}
				if tt.directory {
					directory = silent{w}
				}
				began := time.Now()
				answer, _ := tt.ask(over(t, w, store, directory))
				if took := time.Since(began); answer.Code != tt.status || took >= 8*time.Second {
					t.Errorf("answer = %d after %v, want %d within 8 s", answer.Code, took, tt.status)
				}
			})
		})
	}
}

func TestProbesAreAskedAtOnceAndNotForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		hang := func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
		w.checks = []api.Check{{Name: "a", Probe: hang}, {Name: "b", Probe: hang}, {Name: "c", Required: true, Probe: hang}}
		began := time.Now()
		answer, _ := get("/readyz").ask(handler(t, w))
		if took := time.Since(began); answer.Code != 503 || took > 2*time.Second {
			t.Errorf("readyz = %d after %v, want 503 within 2 s", answer.Code, took)
		}
	})
}

func TestDependenciesAreAskedOnceASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var asked atomic.Int32
		w.checks = []api.Check{{Name: "a", Probe: func(context.Context) (string, error) { asked.Add(1); return "", nil }}}
		handler := handler(t, w)
		for range 30 {
			if answer, _ := get("/readyz").ask(handler); answer.Code != 200 {
				t.Fatalf("readyz = %d, want 200", answer.Code)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := asked.Load(); n != 3 {
			t.Errorf("dependency was asked %d times in 3 s, want 3", n)
		}
	})
}

// TestManyTakeLittleMemory posts a list that took 138 MiB to decode as a whole.
func TestManyTakeLittleMemory(t *testing.T) {
	h := handler(t, newWorld())
	many := postJSON("/api/users", `{"emails":[`+strings.Repeat("{},", 1<<20)+`0]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	answer, _ := many.ask(h)
	runtime.ReadMemStats(&after)
	if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; answer.Code != 400 || allocated > 24 {
		t.Errorf("answer = %d after %d MiB were allocated, want 400 and at most 24", answer.Code, allocated)
	}
}

func TestAPanicTellsNobody(t *testing.T) {
	var out bytes.Buffer
	w := newWorld()
	w.log = slog.New(slog.NewTextHandler(&out, nil))
	w.sync = func(context.Context) error { panic("ann@contoso.example has a secret") }
	answer, _ := request{http.MethodGet, "/", "", map[string]string{"Authorization": "Bearer the-token"}}.ask(handler(t, w))
	if answer.Code != 500 || !strings.Contains(answer.Body.String(), `"error"`) {
		t.Errorf("answer = %d %q, want 500 with an error in JSON", answer.Code, answer.Body)
	}
	if log := out.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "stack=") {
		t.Errorf("log = %s, want the error and where it happened", log)
	}
	for _, secret := range []string{"contoso", "the-token"} {
		if strings.Contains(out.String()+answer.Body.String(), secret) {
			t.Errorf("log or answer has %q in it, want it left out", secret)
		}
	}
}

func TestTheLogTellsNoAddresses(t *testing.T) {
	var out bytes.Buffer
	w := monitorWorld()
	w.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.finding = ooo.ErrUnavailable
	h := handler(t, w)
	all := []request{
		asJSON(`{"email":"bob@contoso.example","status":"True"}`), asJSON(`{"email":"bob@contoso.example","status":"False"}`),
		get("/api/users/ann@contoso.example"), put("/api/users/ann@contoso.example"),
		post("/api/users/ann@contoso.example/check"), get("/ann@contoso.example"),
		postJSON("/api/users", `{"emails":["bob@contoso.example"]}`),
	}
	for _, away := range []error{nil, errAway} {
		w.err = away
		for _, r := range all {
			r.ask(h)
		}
	}
	if !strings.Contains(out.String(), "route=/api/users/:email/check") || strings.Contains(out.String(), "contoso") {
		t.Errorf("log = %s, want routes and no address", out.String())
	}
}

// TestASyncMayTakeLongerThanABody asks a real server: it is net/http that would
// think the caller had gone.
func TestASyncMayTakeLongerThanABody(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.sync = func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(6 * time.Second): // a body has 5 s
			return nil
		}
	}
	server := httptest.NewServer(handler(t, w))
	defer server.Close()
	answer, err := http.Get(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), "SUCCESSFUL") {
		t.Errorf("answer = %q, %v, want a sync that worked", text, err)
	}
}
