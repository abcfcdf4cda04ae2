package mediatorsim_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mediatorsim"
)

func TestSetStatus(t *testing.T) {
	const valid = `{"email":"Ann@contoso.example","status":"True","message":"x"}`
	tests := map[string]struct {
		body        string
		contentType string // default application/json
		reaction    mediatorsim.Reaction
		want        int
	}{
		"valid":                      {body: valid, want: 200},
		"with a charset":             {body: valid, contentType: "application/json; charset=utf-8", want: 200},
		"out of office ends":         {body: `{"email":"Ann@contoso.example","status":"False","message":""}`, want: 200},
		"another spelling":           {body: `{"email":"ann@contoso.example","status":"True","message":"x"}`, want: 404},
		"missing field":              {body: `{"email":"Ann@contoso.example","status":"True"}`, want: 400},
		"extra field":                {body: `{"email":"Ann@contoso.example","status":"True","message":"x","more":"y"}`, want: 400},
		"null message":               {body: `{"email":"Ann@contoso.example","status":"True","message":null}`, want: 400},
		"bool status":                {body: `{"email":"Ann@contoso.example","status":true,"message":"x"}`, want: 400},
		"lower-case status":          {body: `{"email":"Ann@contoso.example","status":"true","message":"x"}`, want: 400},
		"empty email":                {body: `{"email":"","status":"True","message":"x"}`, want: 400},
		"list":                       {body: `["Ann@contoso.example","True","x"]`, want: 400},
		"not JSON":                   {body: `x`, want: 400},
		"another content type":       {body: valid, contentType: "text/plain", want: 400},
		"body larger than the limit": {body: strings.Replace(valid, "x", strings.Repeat("x", 2<<20), 1), want: 400},
		"delay only":                 {body: valid, reaction: mediatorsim.Reaction{Delay: time.Millisecond}, want: 200},
		"error status":               {body: valid, reaction: mediatorsim.Reaction{Status: 403}, want: 403},
		"success status":             {body: valid, reaction: mediatorsim.Reaction{Status: 204}, want: 204},
		"delay and a status":         {body: valid, reaction: mediatorsim.Reaction{Delay: time.Millisecond, Status: 500}, want: 500},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, mediatorsim.Config{})
			s.Add(ann)
			s.Answer(func(mediatorsim.Call) mediatorsim.Reaction { return tt.reaction })
			status, text := send(t, s.URL()+"/api/setstatus", tt.body, "Content-Type", cmp.Or(tt.contentType, "application/json"))
			want := `{"result":"False"}` + "\n"
			switch tt.want {
			case 200:
				want = `{"result":"True"}` + "\n"
			case 204:
				want = ""
			}
			if status != tt.want || text != want {
				t.Errorf("setstatus = %d %q, want %d %q", status, text, tt.want, want)
			}
			if calls := s.Calls(); len(calls) != 1 || calls[0].Answered != tt.want {
				t.Errorf("Calls = %+v, want one answered %d", calls, tt.want)
			}
			if _, ok := s.State(ann); ok != (tt.want < 300) {
				t.Errorf("State exists = %t, want %t", ok, !ok)
			}
		})
	}
}

func TestCallIsRecorded(t *testing.T) {
	received := make(chan mediatorsim.Call, 1)
	s := start(t, mediatorsim.Config{Received: func(c mediatorsim.Call) { received <- c }})
	s.Add(ann)
	before := time.Now()
	send(t, s.URL()+"/api/setstatus", `{"email":"Ann@contoso.example","status":"True","message":"Back on Monday"}`, "webhook-id", "msg_1")
	call := <-received
	want := mediatorsim.Call{At: call.At, Email: ann, Status: "True", Message: "Back on Monday", WebhookID: "msg_1", Answered: 200}
	if calls := s.Calls(); call != want || call.At.Before(before) || len(calls) != 1 || calls[0] != want {
		t.Errorf("Received = %+v, Calls = %+v, want %+v", call, calls, want)
	}
	if state, ok := s.State(ann); !ok || state != (mediatorsim.State{Status: "True", Message: "Back on Monday"}) {
		t.Errorf("State = %+v, %t, want the acknowledged one", state, ok)
	}
}

func TestCallsInOrderOfArrival(t *testing.T) {
	s := start(t, mediatorsim.Config{})
	s.Add(ann, bob)
	proceed := make(chan struct{})
	s.Answer(func(c mediatorsim.Call) mediatorsim.Reaction {
		if c.Email == ann {
			<-proceed
		}
		return mediatorsim.Reaction{}
	})
	first := make(chan int)
	go func() { first <- setStatus(t, s, ann, "True") }()
	await.True(t, "the first call has arrived", func() bool { return len(s.Calls()) == 1 })
	if got := setStatus(t, s, bob, "True"); got != 200 {
		t.Errorf("second = %d, want 200", got)
	}
	if calls := s.Calls(); calls[0].Email != ann || calls[0].Answered != 0 || calls[1].Email != bob || calls[1].Answered != 200 {
		t.Errorf("Calls = %+v, want the unanswered first call, then the second", calls)
	}
	close(proceed)
	if got := <-first; got != 200 || s.Calls()[0].Answered != 200 {
		t.Errorf("first = %d, want 200", got)
	}
}
