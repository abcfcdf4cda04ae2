package main_test

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// These tests check the contract of the built binary from outside.

func TestHTTPContract(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 11})
	load := newWorkload(tb, 2)
	tb.start("serve")
	load.waitDelivered()
	email := load.users[0].UserPrincipalName
	const form, plain = "application/json", "text/plain"
	for name, tt := range map[string]struct {
		method, path, contentType, body string
		status                          int
		answer                          string // part of the body; empty: only the status matters
	}{
		"start":                       {"POST", "/monitor", form, `{"email":"` + email + `","status":"True"}`, 200, "<h1>You would like to monitor " + email + " True</h1>"},
		"start of an unknown user":    {"POST", "/monitor", form, `{"email":"no@contoso.example","status":"TRUE"}`, 404, "<h1>User no@contoso.example not in Active Directory</h1>"},
		"empty body":                  {"POST", "/monitor", form, ``, 400, `{"result":"Not JSON"}`},
		"JSON array":                  {"POST", "/monitor", form, `[]`, 400, `{"result":"Invalid JSON"}`},
		"missing field":               {"POST", "/monitor", form, `{"email":"a@b.example"}`, 400, `{"result":"Invalid JSON"}`},
		"user in another letter case": {"GET", "/api/users/" + strings.ToUpper(email), "", "", 200, `"outOfOffice":false`},
		"DELETE of an unknown user":   {"DELETE", "/api/users/no@contoso.example", "", "", 204, ""},
		"main page":                   {"GET", "/", "", "", 200, "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL."},
		"handshake":                   {"POST", "/graph/notifications?validationToken=Validation%3a+a%2bb", plain, "", 200, "Validation: a+b"},
		"empty collection":            {"POST", "/graph/notifications", form, `{"value":[]}`, 202, ""},
		"null collection":             {"POST", "/graph/notifications", form, `{"value":null}`, 202, ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := tb.ask(tt.method, tt.path, tt.contentType, tt.body)
			if status != tt.status || !strings.Contains(answer, tt.answer) {
				t.Errorf("%s %s = %d %.200q, want %d with %q", tt.method, tt.path, status, answer, tt.status, tt.answer)
			}
		})
	}
}

func TestGraphOutage(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 14})
	email := tb.sim.AddUsers(1)[0].UserPrincipalName
	graph := func(ok string) func() bool {
		return func() bool {
			status, answer := tb.get("/readyz")
			return status == http.StatusOK && strings.Contains(answer, `"graph":{"ok":`+ok)
		}
	}
	tb.start("serve")
	tb.eventually("Graph is ok", graph("true"))
	tb.sim.SetFault(graphsim.Fault{Operation: "all", Kind: "status", Status: 503})
	tb.wantStatus(http.StatusAccepted, "POST", "/monitor", `{"email":"`+email+`","status":"True"}`)
	tb.mediator.Add(email)
	tb.eventually("Graph has an error, and the service is still ready", graph("false"))
	tb.sim.ClearFaults()
	tb.eventually("the user is resolved and delivered", func() bool { _, ok := tb.mediator.State(email); return ok })
	tb.eventually("Graph is ok again", graph("true"))
}

func TestWrongSettings(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{Seed: 15})
	tb.env["POLL_INTERVAL"], tb.env["GRAPH_CLOUD"], tb.env["TUNNEL"] = "fast", "moon", "ngrok" // ngrok with PUBLIC_URL and without a token
	tb.env["REDIS_URL"] = "redis://127.0.0.1:1/-1"
	_, output := tb.run(2, "", "serve")
	for _, want := range []string{"POLL_INTERVAL", "GRAPH_CLOUD", "NGROK_AUTHTOKEN is not set", "TUNNEL is ngrok and PUBLIC_URL is set too",
		"REDIS_URL has a database number"} {
		if !strings.Contains(output, want) {
			t.Errorf("output = %q, want %q in it", output, want)
		}
	}
	tb.run(2, "", "serve", "--no-such-flag")
	tb.run(2, "", "doctor", "--no-such-flag")
	tb.run(2, "", "doctor", "--subscribe") // without --user
	_, output = tb.run(2, "", "serve", "--monitor-token", "-secret")
	if strings.Contains(output, "-secret") || !strings.Contains(output, "--monitor-token: has no value") {
		t.Errorf("output = %q, want that the flag has no value, without the secret", output)
	}
}

func TestPrivateAddress(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 17})
	public := tb.base
	private := programtest.FreeAddress(t)
	tb.env["PRIVATE_ADDR"] = private
	tb.start("serve")
	tb.base = "http://" + private
	tb.waitReady()
	tb.wantStatus(http.StatusNotFound, "POST", "/graph/notifications?validationToken=x", "")
	tb.base = public
	for _, path := range []string{"/healthz", "/metrics", "/api/users", "/debug/pprof/heap", "/"} {
		tb.wantStatus(http.StatusNotFound, "GET", path, "")
	}
	tb.wantStatus(http.StatusOK, "POST", "/graph/notifications?validationToken=x", "")
	tb.run(0, "", "health")
	tb.env["PRIVATE_ADDR"] = programtest.FreeAddress(t)
	tb.run(1, "", "health") // nothing listens there
}

// TestSlowBody tests the private paths; internal/server tests those of Graph.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 18})
	tb.startReady()
	conn, err := net.Dial("tcp", strings.TrimPrefix(tb.base, "http://"))
	must.NoError(t, err)
	defer conn.Close()
	const head = "POST /monitor HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
	_, err = conn.Write([]byte(head + `{"email":`))
	must.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n') // the server closes the connection within 60 s
	if err != nil || !strings.Contains(line, "408") {
		t.Errorf("answer = %q, %v, want 408", line, err)
	}
}

// TestRestart expects a sync with the mediator at each start, and no subscription write after
// the first one.
func TestRestart(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 35})
	load := newWorkload(tb, 1)
	for want := range 2 {
		p := load.startCovered()
		tb.eventually("the sync at the start", func() bool { return tb.mediator.Setups() == want+1 })
		load.change()
		load.waitDelivered()
		p.stop()
		time.Sleep(4 * time.Second) // replicas that start within 3 s sync only once
	}
	calls := tb.sim.Stats().Calls
	if created := calls["subscription-create"]["201"]; created != 1 || len(calls["subscription-renew"])+len(calls["subscription-delete"]) > 0 {
		t.Errorf("calls = %v, want one subscription created and no other write", calls)
	}
	tb.start("serve").Kill() // perhaps during the sync
	tb.start("serve")
	tb.eventually("a sync after the crash", func() bool { return tb.mediator.Setups() >= 3 })
}
