package mediatorsim_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"outlook-monitor/internal/mediatorsim"
)

func TestSetStatus(t *testing.T) {
	tests := map[string]struct {
		body        string
		contentType string // default application/json
		want        int
	}{
		"a state is taken":               {`{"email":"Ann@contoso.example","status":"True","message":"x"}`, "", 200},
		"a charset is no matter":         {`{"email":"Ann@contoso.example","status":"False","message":""}`, "application/json; charset=utf-8", 200},
		"another spelling is not known":  {`{"email":"ann@contoso.example","status":"True","message":"x"}`, "", 404},
		"all three are needed":           {`{"email":"Ann@contoso.example","status":"True"}`, "", 400},
		"a fourth is too much":           {`{"email":"Ann@contoso.example","status":"True","message":"x","more":"y"}`, "", 400},
		"null is no string":              {`{"email":"Ann@contoso.example","status":"True","message":null}`, "", 400},
		"a bool is no string":            {`{"email":"Ann@contoso.example","status":true,"message":"x"}`, "", 400},
		"the status is True or False":    {`{"email":"Ann@contoso.example","status":"true","message":"x"}`, "", 400},
		"somebody is needed":             {`{"email":"","status":"True","message":"x"}`, "", 400},
		"a list is no state":             {`["Ann@contoso.example","True","x"]`, "", 400},
		"what is no JSON is not a state": {`x`, "", 400},
		"nothing is not a state":         {``, "", 400},
		"JSON must be called JSON":       {`{"email":"Ann@contoso.example","status":"True","message":"x"}`, "text/plain", 400},
		"too much is not read":           {`{"email":"Ann@contoso.example","status":"True","message":"` + strings.Repeat("x", 2<<20) + `"}`, "", 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, mediatorsim.Config{})
			s.Add(ann)
			header := []string{}
			if tt.contentType != "" {
				header = append(header, "Content-Type", tt.contentType)
			}
			status, _, text := send(t, s.URL()+"/api/setstatus", tt.body, header...)
			want := `{"result":"False"}` + "\n"
			if tt.want == 200 {
				want = `{"result":"True"}` + "\n"
			}
			if status != tt.want || text != want {
				t.Errorf("setstatus = %d %q, want %d %q", status, text, tt.want, want)
			}
			if calls := s.Calls(); len(calls) != 1 || calls[0].Answered != tt.want {
				t.Errorf("Calls = %+v, want one answered %d", calls, tt.want)
			}
			if _, ok := s.State(ann); ok != (tt.want == 200) {
				t.Errorf("State is known = %t, want %t", ok, !ok)
			}
		})
	}
}

func TestACallIsRemembered(t *testing.T) {
	received := make(chan mediatorsim.Call, 1)
	s := start(t, mediatorsim.Config{Received: func(c mediatorsim.Call) { received <- c }})
	s.Add(ann)
	before := time.Now()
	status, _, _ := send(t, s.URL()+"/api/setstatus", `{"email":"Ann@contoso.example","status":"True","message":"Back on Monday"}`,
		"webhook-id", "msg_1", "traceparent", "00-1-2-01")
	if status != 200 {
		t.Fatalf("setstatus = %d, want 200", status)
	}
	call := <-received
	if call.At.Before(before) || call.At.After(time.Now()) {
		t.Errorf("At = %v, want the time of the call", call.At)
	}
	want := mediatorsim.Call{
		At: call.At, Email: ann, Status: "True", Message: "Back on Monday",
		WebhookID: "msg_1", Trace: "00-1-2-01", Answered: 200,
	}
	if call != want {
		t.Errorf("Received = %+v, want %+v", call, want)
	}
	if calls := s.Calls(); len(calls) != 1 || calls[0] != want {
		t.Errorf("Calls = %+v, want %+v", calls, want)
	}
	if state, ok := s.State(ann); !ok || state != (mediatorsim.State{Status: "True", Message: "Back on Monday"}) {
		t.Errorf("State = %+v, %t, want the one that was brought", state, ok)
	}
}

func TestCallsAreInTheOrderOfArrival(t *testing.T) {
	s := start(t, mediatorsim.Config{})
	s.Add(ann, bob)
	goOn := make(chan struct{})
	s.Answer(func(c mediatorsim.Call) mediatorsim.Reaction {
		if c.Email == ann {
			<-goOn
		}
		return mediatorsim.Reaction{}
	})
	first := make(chan int)
	go func() { first <- bring(t, s, ann, "True") }()
	eventually(t, "the first has arrived", func() bool { return len(s.Calls()) == 1 })
	if got := bring(t, s, bob, "True"); got != 200 {
		t.Errorf("second = %d, want 200", got)
	}
	if calls := s.Calls(); calls[0].Email != ann || calls[0].Answered != 0 || calls[1].Email != bob || calls[1].Answered != 200 {
		t.Errorf("Calls = %+v, want the first not answered yet, then the second", calls)
	}
	close(goOn)
	if got := <-first; got != 200 || s.Calls()[0].Answered != 200 {
		t.Errorf("first = %d, want 200", got)
	}
}

func TestSignature(t *testing.T) {
	const secret, other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	sign := func(secret string, at time.Time, body string) string {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := signer.Sign("msg_1", at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	body, now := state(ann, "True"), time.Now()
	tests := map[string]struct {
		at        time.Time
		signature string
		want      int
	}{
		"a signature is taken":        {now, sign(secret, now, body), 200},
		"one that fits is enough":     {now, sign(other, now, body) + " " + sign(secret, now, body), 200},
		"another secret is refused":   {now, sign(other, now, body), 401},
		"another body is refused":     {now, sign(secret, now, state(ann, "False")), 401},
		"an old signature is refused": {now.Add(-time.Hour), sign(secret, now.Add(-time.Hour), body), 401},
		"none is refused":             {now, "", 401},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, mediatorsim.Config{SigningSecret: secret})
			s.Add(ann)
			status, _, _ := send(t, s.URL()+"/api/setstatus", body, "webhook-id", "msg_1",
				"webhook-timestamp", strconv.FormatInt(tt.at.Unix(), 10), "webhook-signature", tt.signature)
			if status != tt.want {
				t.Errorf("setstatus = %d, want %d", status, tt.want)
			}
			if calls := s.Calls(); len(calls) != 1 || calls[0].Signed != (tt.want == 200) {
				t.Errorf("Calls = %+v, want one with Signed %t", calls, tt.want == 200)
			}
		})
	}
	if _, err := mediatorsim.New(mediatorsim.Config{SigningSecret: "whsec_%"}); err == nil || strings.Contains(err.Error(), "%") {
		t.Errorf("New with a wrong secret = %v, want an error that does not tell it", err)
	}
}

func TestToken(t *testing.T) {
	s := start(t, mediatorsim.Config{Token: "secret"})
	s.Add(ann)
	for name, tt := range map[string]struct {
		authorization string
		want          int
	}{
		"the token opens":          {"Bearer secret", 200},
		"another token is refused": {"Bearer secre", 401},
		"none is refused":          {"", 401},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/api/setstatus", "/api/setup"} {
				s.SetMonitorURL(newMonitor(t, nil).URL)
				status, _, _ := send(t, s.URL()+path, state(ann, "True"), "Authorization", tt.authorization)
				if status != tt.want {
					t.Errorf("POST %s = %d, want %d", path, status, tt.want)
				}
			}
			request, err := http.NewRequest(http.MethodGet, s.URL()+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", tt.authorization)
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != tt.want {
				t.Errorf("GET / = %d, want %d", response.StatusCode, tt.want)
			}
		})
	}
}
