package mediatorsim_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mediatorsim"
)

func TestSetStatus(t *testing.T) {
	const valid = `{"email":"Ann@contoso.example","status":"True","message":"x"}`
	for name, tt := range map[string]struct {
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
		"success status":             {body: valid, reaction: mediatorsim.Reaction{Status: 204}, want: 204},
		"delay and a status":         {body: valid, reaction: mediatorsim.Reaction{Delay: time.Millisecond, Status: 500}, want: 500},
	} {
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

func TestCallsInOrderOfArrival(t *testing.T) {
	received := make(chan mediatorsim.Call, 2)
	s := start(t, mediatorsim.Config{Received: func(c mediatorsim.Call) { received <- c }})
	s.Add(ann, bob)
	proceed := make(chan struct{})
	s.Answer(func(c mediatorsim.Call) mediatorsim.Reaction {
		if c.Email == ann {
			<-proceed
		}
		return mediatorsim.Reaction{}
	})
	before, first := time.Now(), make(chan int)
	go func() {
		status, _ := send(t, s.URL()+"/api/setstatus", `{"email":"Ann@contoso.example","status":"True","message":"Back on Monday"}`, "webhook-id", "msg_1")
		first <- status
	}()
	await.True(t, "the first call has arrived", func() bool { return len(s.Calls()) == 1 })
	wantSetStatus(t, s, bob, 200)
	calls := s.Calls()
	want := []mediatorsim.Call{
		{At: calls[0].At, Email: ann, Status: "True", Message: "Back on Monday", WebhookID: "msg_1"},
		{At: calls[1].At, Email: bob, Status: "True", Answered: 200},
	}
	if !slices.Equal(calls, want) || calls[0].At.Before(before) {
		t.Errorf("Calls = %+v, want %+v", calls, want)
	}
	close(proceed)
	want[0].Answered = 200
	if got := <-first; got != 200 || !slices.Equal(s.Calls(), want) || <-received != want[1] || <-received != want[0] {
		t.Errorf("first = %d, Calls = %+v, want 200 and %+v, received in the order of the answers", got, s.Calls(), want)
	}
	if state, ok := s.State(ann); !ok || state != (mediatorsim.State{Status: "True", Message: "Back on Monday"}) {
		t.Errorf("State = %+v, %t, want the acknowledged one", state, ok)
	}
}
