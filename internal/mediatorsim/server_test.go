package mediatorsim_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/mediatorsim"
)

func start(t *testing.T, cfg mediatorsim.Config) *mediatorsim.Server {
	t.Helper()
	s, err := mediatorsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return s
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

func TestSetStatus(t *testing.T) {
	s := start(t, mediatorsim.Config{})
	s.Add("Ann@contoso.example")
	tests := map[string]struct {
		body string
		want int
	}{
		"a state is taken":               {`{"email":"Ann@contoso.example","status":"True","message":"x"}`, 200},
		"another spelling is not known":  {`{"email":"ann@contoso.example","status":"True","message":"x"}`, 404},
		"all three are needed":           {`{"email":"Ann@contoso.example","status":"True"}`, 400},
		"a fourth is too much":           {`{"email":"Ann@contoso.example","status":"True","message":"x","more":"y"}`, 400},
		"only strings are taken":         {`{"email":"Ann@contoso.example","status":true,"message":"x"}`, 400},
		"the status is True or False":    {`{"email":"Ann@contoso.example","status":"true","message":"x"}`, 400},
		"what is no JSON is not a state": {`x`, 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, answer := post(t, s.URL()+"/api/setstatus", tt.body); got != tt.want {
				t.Errorf("status = %d %s, want %d", got, answer, tt.want)
			}
		})
	}
	if state, ok := s.State("Ann@contoso.example"); !ok || state != (mediatorsim.State{Status: "True", Message: "x"}) {
		t.Errorf("State = %+v, %t, want the one that was taken", state, ok)
	}
}

func TestSetupPostsEveryUserFirst(t *testing.T) {
	var mu sync.Mutex
	var posted []string
	monitor := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		posted = append(posted, string(body))
	}))
	defer monitor.Close()
	s := start(t, mediatorsim.Config{MonitorURL: monitor.URL})
	s.Add("a@x.example", "b@x.example", "a@x.example")
	if status, answer := post(t, s.URL()+"/api/setup", ""); status != 200 || answer != `{"result":"True"}`+"\n" {
		t.Errorf("setup = %d %q, want 200 True", status, answer)
	}
	if want := []string{`{"email":"a@x.example","status":"True"}`, `{"email":"b@x.example","status":"True"}`}; !slices.Equal(posted, want) {
		t.Errorf("posted = %q, want %q", posted, want)
	}
	if status, err := s.Monitor(t.Context(), "a@x.example", false); status != 200 || err != nil || posted[2] != `{"email":"a@x.example","status":"False"}` {
		t.Errorf("Monitor = %d, %v, posted %q, want a stop of a", status, err, posted)
	}
}

func TestFaults(t *testing.T) {
	s := start(t, mediatorsim.Config{})
	s.Add("a@x.example")
	const state = `{"email":"a@x.example","status":"False","message":""}`
	bring := func() int { status, _ := post(t, s.URL()+"/api/setstatus", state); return status }
	s.Answer(func(mediatorsim.Call) mediatorsim.Reaction { return mediatorsim.Reaction{Status: 403} })
	if got := bring(); got != 403 {
		t.Errorf("status = %d, want 403", got)
	}
	s.Answer(func(mediatorsim.Call) mediatorsim.Reaction { return mediatorsim.Reaction{Cut: true} })
	if got := bring(); got != 0 {
		t.Errorf("status = %d, want the connection cut", got)
	}
	s.Answer(nil)
	s.Away(true)
	if got := bring(); got != 0 {
		t.Errorf("status while away = %d, want none", got)
	}
	s.Away(false)
	for deadline := time.Now().Add(20 * time.Second); bring() != 200; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the mediator does not come back")
		}
	}
	if _, ok := s.State("a@x.example"); !ok {
		t.Error("State is not known after it came back")
	}
}
