package graph_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestAddresses(t *testing.T) {
	const graphURL, loginURL = "https://graph.microsoft.com", "https://login.microsoftonline.com"
	for _, tt := range []struct {
		config              graph.Config
		endpoint, authority string
	}{
		{graph.Config{}, graphURL, loginURL},
		{graph.Config{Cloud: "global"}, graphURL, loginURL},
		{graph.Config{Cloud: "usgov"}, "https://graph.microsoft.us", "https://login.microsoftonline.us"},
		{graph.Config{Cloud: "dod"}, "https://dod-graph.microsoft.us", "https://login.microsoftonline.us"},
		{graph.Config{Cloud: "china"}, "https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn"},
		{graph.Config{Endpoint: "https://Graph.Example:9443"}, "https://graph.example:9443", loginURL},
		{graph.Config{AuthorityHost: "https://Login.Example"}, graphURL, "https://login.example"},
	} {
		if endpoint, authority := tt.config.Addresses(); endpoint != tt.endpoint || authority != tt.authority {
			t.Errorf("Addresses of %+v = %s, %s, want %s, %s", tt.config, endpoint, authority, tt.endpoint, tt.authority)
		}
	}
}

func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 20)
	s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		writeJSON(w, http.StatusOK, `{}`)
	})
	for _, call := range stubOperations(t.Context(), s.client(t)) {
		_ = call() // the result does not matter
	}
	close(requests)
	if len(requests) != 7 {
		t.Errorf("%d requests, want 7", len(requests))
	}
	ids := make(map[string]bool)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for r := range requests {
		want := map[string]string{
			"Authorization": "Bearer token-1", "User-Agent": "outlook-monitor", "Accept": "application/json",
			"Content-Encoding": "", "Accept-Encoding": "",
		}
		if r.Method == http.MethodPost || r.Method == http.MethodPatch {
			if want["Content-Type"] = "application/json"; r.ContentLength < 2 {
				t.Errorf("%s %s has a body of length %d, want the length declared", r.Method, r.URL.Path, r.ContentLength)
			}
		}
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s %s has %s %q, want %q", r.Method, r.URL.Path, name, got, value)
			}
		}
		id := r.Header.Get("Client-Request-Id")
		if !uuid.MatchString(id) || ids[id] {
			t.Errorf("%s %s has request id %q, want a new UUID", r.Method, r.URL.Path, id)
		}
		ids[id] = true
	}
}

// Other packages wait and retry. A redirect would send the token to another host.
func TestNoRetriesAndRedirects(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	other := serveNobody(t)
	for _, status := range []int{307, 429, 500, 502, 503, 504} {
		answer := func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Location", other+r.URL.Path)
			writeJSON(w, status, graphError("Whatever", ""))
		}
		s := newStub(t, answer)
		calls := stubOperations(t.Context(), s.client(t))
		s.config.AuthorityHost = serveTLS(t, http.HandlerFunc(answer)).URL
		login := s.client(t)
		calls["Token"] = func() error { return login.Token(t.Context()) }
		for name, call := range calls {
			before := requests.Load()
			err := call()
			_, waits := errors.AsType[*ooo.Throttled](err)
			if got := requests.Load() - before; got != 1 || !waits && !errors.Is(err, ooo.ErrUnavailable) {
				t.Errorf("%s answered with %d: %d requests and %v, want 1 and an error", name, status, got, err)
			}
		}
	}
}

func TestCanceledCalls(t *testing.T) {
	t.Parallel()
	for name := range stubOperations(t.Context(), nil) {
		ctx, cancel := context.WithCancel(t.Context())
		call := stubOperations(ctx, newStub(t, func(_ http.ResponseWriter, r *http.Request) {
			cancel() // Graph has the request
			<-r.Context().Done()
		}).client(t))[name]
		for _, when := range []string{"during the call", "before"} {
			if err := call(); !errors.Is(err, ooo.ErrUnavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s, canceled %s = %v, want %v because of %v", name, when, err, ooo.ErrUnavailable, context.Canceled)
			}
		}
	}
}

func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	e, c, ids := newEnvWithUsers(t, 40)
	hook := newHook(t)
	e.Must(c.Token(t.Context()))
	before := e.calls("token")
	e.RevokeTokens()
	var callers sync.WaitGroup
	for i := range 20 {
		callers.Go(func() {
			for _, r := range c.Read(t.Context(), ids[2*i:2*i+2], nil) {
				if r.Err != nil {
					t.Errorf("Read = %v, want the setting", r.Err)
				}
			}
			if _, err := c.Find(t.Context(), "nobody@contoso.example"); !errors.Is(err, ooo.ErrNotInDirectory) {
				t.Errorf("Find = %v, want %v", err, ooo.ErrNotInDirectory)
			}
			if _, err := c.CreateSubscription(t.Context(), subscriptionRequest(ids[i], hook, time.Hour)); err != nil {
				t.Errorf("CreateSubscription = %v, want nil", err)
			}
		})
	}
	callers.Wait()
	if got := len(list(t, c)); got != 20 {
		t.Errorf("%d subscriptions, want 20", got)
	}
	if got := e.calls("token") - before; got != 1 {
		t.Errorf("%d logins after the token was revoked, want 1", got)
	}
}

func TestErrorsAndLogHaveNoSecrets(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	var log bytes.Buffer
	e.config.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ids := e.users(2)
	check := func(what string, err error) {
		for _, secret := range []string{graphsim.DefaultClientSecret, "Bearer", "eyJ", "user0001", "contoso", "I am ", "state-of"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s = %q, want no %q in it", what, err, secret)
			}
			if strings.Contains(log.String(), secret) {
				t.Errorf("after %s the log has %q in it:\n%s", what, secret, log.String())
			}
		}
	}
	for _, fault := range []graphsim.Fault{
		{Kind: "status", Status: 400}, {Kind: "status", Status: 401}, {Kind: "status", Status: 403}, {Kind: "status", Status: 404},
		{Kind: "status", Status: 409}, {Kind: "status", Status: 500}, {Kind: "throttle"}, {Kind: "reset"},
	} {
		fault.Operation = "all"
		c := e.newClient(e.config)
		check("Token", c.Token(t.Context()))
		e.SetFault(fault)
		for name, call := range operations(t.Context(), c, ids, "user0001@contoso.example", "https://hook.contoso.example", "1") {
			check(name, call())
		}
		e.ClearFaults()
	}
	// The errors of net/http contain the URL.
	e.config.Endpoint = "https://127.0.0.1:1"
	_, err := e.newClient(e.config).Find(t.Context(), "user0001@contoso.example")
	check("Find while unreachable", err)
	if !errors.Is(err, ooo.ErrUnavailable) {
		t.Errorf("Find = %v, want %v", err, ooo.ErrUnavailable)
	}
	if !strings.Contains(log.String(), "Graph answered with an error") {
		t.Errorf("the log is %q, want Graph's errors at debug level", log.String())
	}
}

func TestObserveAndRecordCalls(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	observed := map[string]int{}
	e.config.Observe = func(operation string, status int, _ time.Duration) { observed[fmt.Sprint(operation, " ", status)]++ }
	c := e.newClient(e.config)
	ids := e.users(2)
	ctx, recorded := graph.RecordCalls(t.Context())
	began := time.Now()
	c.Read(ctx, ids, nil)
	c.Read(ctx, ids[:1], nil)
	for _, fault := range []string{"throttle", "reset"} {
		e.SetFault(graphsim.Fault{Operation: "read", Kind: fault})
		c.Read(t.Context(), ids[:1], nil) // not recorded
		e.ClearFaults()
	}
	logins := observed["login 200"]
	want := map[string]int{"login 200": logins, "batch 200": 1, "read 200": 1, "read 429": 1, "read 0": 1}
	if logins == 0 || !maps.Equal(observed, want) {
		t.Errorf("observed %v, want %v with logins", observed, want)
	}
	calls := *recorded
	if len(calls) != 2 || calls[0].Operation != "batch" || calls[1].Operation != "read" {
		t.Fatalf("calls = %+v, want a batch and a read", calls)
	}
	for _, call := range calls {
		if len(call.ClientRequestID) != 36 || len(call.RequestID) != 36 || call.ClientRequestID == call.RequestID || call.Status != 200 ||
			call.Began.Before(began) || call.Ended.Before(call.Began) {
			t.Errorf("call = %+v, want both ids, 200, and its times", call)
		}
	}
}

func TestRunEndsWithContext(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	e.SetFault(graphsim.Fault{Operation: "token", Kind: "hang"})
	stop := await.Run(t, e.newClient(e.config).Run)
	await.True(t, "Run logs in", func() bool { return e.Faults()[0].Hits == 1 })
	stop()
}
