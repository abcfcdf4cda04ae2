package main_test

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// The contract as a stranger tests it: the built binary, asked from outside.

func TestBadInputIsAnsweredAsPromised(t *testing.T) {
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 11})
	c := newCrowd(w, 2)
	w.start("serve")
	c.settle()
	known := c.users[0].UserPrincipalName
	const form, plain = "application/json", "text/plain"
	tests := map[string]struct {
		method, path, contentType, body string
		status                          int
		answer                          string // contained; empty: nothing but the status is promised
	}{
		"a start":                         {"POST", "/monitor", form, `{"email":"` + known + `","status":"True"}`, 200, "<h1>You would like to monitor " + known + " True</h1>"},
		"a JSON type with parameters":     {"POST", "/monitor", "application/vnd.x+json; charset=utf-8", `{"email":"` + known + `","status":true,"more":1}`, 200, "<h1>You would like to monitor " + known + " True</h1>"},
		"a start of nobody":               {"POST", "/monitor", form, `{"email":"no@contoso.example","status":"TRUE"}`, 404, "<h1>User no@contoso.example not in Active Directory</h1>"},
		"a stop of nobody":                {"POST", "/monitor", form, `{"email":"no@contoso.example","status":"false"}`, 200, "<h1>You would like to monitor no@contoso.example"},
		"markup in the address":           {"POST", "/monitor", form, `{"email":"<b>@contoso.example","status":"True"}`, 404, "&lt;b&gt;@contoso.example"},
		"an empty body":                   {"POST", "/monitor", form, ``, 400, `{"result":"Not JSON"}`},
		"no JSON":                         {"POST", "/monitor", form, `email=x`, 400, `{"result":"Not JSON"}`},
		"JSON that is no object":          {"POST", "/monitor", form, `[]`, 400, `{"result":"Invalid JSON"}`},
		"a missing field":                 {"POST", "/monitor", form, `{"email":"a@b.example"}`, 400, `{"result":"Invalid JSON"}`},
		"an unknown status":               {"POST", "/monitor", form, `{"email":"a@b.example","status":"yes"}`, 400, `{"result":"Invalid JSON"}`},
		"a slash at the end":              {"POST", "/monitor/", form, `{"email":"` + known + `","status":"True"}`, 0, ""},
		"an unknown user":                 {"GET", "/api/users/no@contoso.example", "", "", 404, "error"},
		"a user in another letter case":   {"GET", "/api/users/" + strings.ToUpper(known), "", "", 200, `"outOfOffice":false`},
		"a stop of an unknown user":       {"DELETE", "/api/users/no@contoso.example", "", "", 204, ""},
		"many at once":                    {"POST", "/api/users", form, `{"emails":["` + known + `","nonsense"]}`, 202, `"invalid"`},
		"a check of nobody":               {"POST", "/api/users/no@contoso.example/check", "", "", 404, ""},
		"a resend":                        {"POST", "/api/users/" + known + "/resend", "", "", 202, ""},
		"a history":                       {"GET", "/api/users/" + known + "/history", "", "", 200, `"kind":"changed"`},
		"an unknown path":                 {"GET", "/nothing", "", "", 404, ""},
		"another method":                  {"GET", "/monitor", "", "", 405, ""},
		"alive":                           {"GET", "/healthz", "", "", 200, ""},
		"metrics":                         {"GET", "/metrics", "", "", 200, "outlook_monitor_reads_total"},
		"the main page":                   {"GET", "/", "", "", 200, "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL."},
		"a look at the main page":         {"HEAD", "/", "", "", 200, ""},
		"a handshake":                     {"POST", "/graph/notifications?validationToken=Validation%3a+a%2bb", plain, "", 200, "Validation: a+b"},
		"a handshake for lifecycle":       {"POST", "/graph/lifecycle?validationToken=abc", plain, "", 200, "abc"},
		"a handshake that is markup":      {"POST", "/graph/notifications?validationToken=%3Cscript%3E", plain, "", 400, ""},
		"an empty collection":             {"POST", "/graph/notifications", form, `{"value":[]}`, 202, ""},
		"a null collection":               {"POST", "/graph/notifications", form, `{"value":null}`, 202, ""},
		"null and foreign items":          {"POST", "/graph/notifications", form, `{"value":[null,1,"x",[],{}]}`, 202, ""},
		"a forged item":                   {"POST", "/graph/notifications", form, `{"value":[{"subscriptionId":"x","clientState":"x","changeType":"updated"}]}`, 202, ""},
		"a notification that is no JSON":  {"POST", "/graph/notifications", form, `{`, 400, ""},
		"a notification without a value":  {"POST", "/graph/notifications", form, `{}`, 400, ""},
		"a notification that is too long": {"POST", "/graph/notifications", form, `{"value":["` + strings.Repeat("x", 4<<20) + `"]}`, 413, ""},
		"another method for Graph":        {"GET", "/graph/notifications", "", "", 405, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			status, answer := w.ask(tt.method, tt.path, tt.contentType, tt.body)
			if tt.status == 0 { // whatever it is, it is no redirect
				if status >= 300 && status < 400 {
					t.Errorf("status = %d, want no redirect", status)
				}
				return
			}
			if status != tt.status || !strings.Contains(answer, tt.answer) {
				t.Errorf("%s %s = %d %.200q, want %d with %q", tt.method, tt.path, status, answer, tt.status, tt.answer)
			}
		})
	}
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := world(t, server.URL(), graphsim.Config{Seed: 12})
	c := newCrowd(w, 3)
	c.begin()
	sub := w.sim.Subscriptions()[0]
	genuine := `{"value":[{"subscriptionId":"` + sub.ID + `","clientState":"` + sub.ClientState + `","changeType":"updated"}]}`
	server.Kill()
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
	}{
		"a monitor request":                 {"POST", "/monitor", `{"email":"x@contoso.example","status":"True"}`, 503},
		"a genuine notification":            {"POST", "/graph/notifications", genuine, 503},
		"a forged notification":             {"POST", "/graph/notifications", strings.Replace(genuine, sub.ClientState, "x", 1), 202},
		"whether it is alive":               {"GET", "/healthz", "", 200},
		"whether it is ready":               {"GET", "/readyz", "", 503},
		"a handshake, which needs no Redis": {"POST", "/graph/notifications?validationToken=x", "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			if status, answer := w.ask(tt.method, tt.path, "application/json", tt.body); status != tt.status {
				t.Errorf("%s %s = %d %.200q, want %d", tt.method, tt.path, status, answer, tt.status)
			}
		})
	}
	c.change()
	server.Restart()
	c.settle()

	// Everything is lost: the mediator is asked for its users again.
	setups := w.mediator.Setups()
	server.RestartEmpty()
	w.eventually("the mediator is asked for its users", func() bool { return w.mediator.Setups() > setups })
	c.change()
	c.settle()
	c.cover()
}

func TestStopAndStart(t *testing.T) {
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 13})
	c := newCrowd(w, 2)
	c.begin()
	user := c.users[0]
	for range 2 {
		w.monitor(user.UserPrincipalName, false)
		w.eventually("no subscription is left", func() bool { return w.covered()[user.ID] == 0 })
		if status, _ := w.get("/api/users/" + user.UserPrincipalName); status != http.StatusNotFound {
			t.Errorf("status of a stopped user = %d, want 404", status)
		}
		told := len(c.acknowledged()[user.UserPrincipalName])
		w.monitor(user.UserPrincipalName, true)
		w.eventually("one subscription is there again", func() bool { return w.covered()[user.ID] == 1 })
		w.eventually("the state is told anew", func() bool { return len(c.acknowledged()[user.UserPrincipalName]) == told+1 })
	}
}

func TestGraphAway(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 14})
	users, err := w.sim.AddUsers(1, "contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	email := users[0].UserPrincipalName
	graph := func(ok string) func() bool {
		return func() bool {
			status, answer := w.get("/readyz")
			return status == http.StatusOK && strings.Contains(answer, `"graph":{"ok":`+ok)
		}
	}
	w.start("serve")
	w.eventually("Graph is well", graph("true"))
	w.fault(graphsim.Fault{Operation: "all", Kind: "status", Status: 503})
	body := `{"email":"` + email + `","status":"True"}`
	if status, answer := w.post("/monitor", body); status != http.StatusAccepted {
		t.Fatalf("POST /monitor = %d %s, want 202", status, answer)
	}
	w.mediator.Add(email)
	w.eventually("Graph's trouble is told, and the service stays ready", graph("false"))
	w.sim.ClearFaults()
	w.eventually("the user is resolved later and told of", func() bool { _, ok := w.mediator.State(email); return ok })
	w.eventually("Graph is well again", graph("true"))
}

func TestSettingsThatAreWrong(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 15})
	w.env["POLL_INTERVAL"], w.env["GRAPH_CLOUD"], w.env["TUNNEL"] = "fast", "moon", "ngrok" // with PUBLIC_URL and without a token
	_, output := w.run(2, "", "serve")
	for _, want := range []string{"POLL_INTERVAL", "GRAPH_CLOUD", "NGROK_AUTHTOKEN is not set", "TUNNEL is ngrok and PUBLIC_URL is set too"} {
		if !strings.Contains(output, want) {
			t.Errorf("output = %q, want %q in it", output, want)
		}
	}
	w.run(2, "", "serve", "--no-such-flag")
}

func TestUsersFromAShell(t *testing.T) {
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 16})
	w.env["MONITOR_TOKEN"] = "a-token-of-the-operator"
	users, err := w.sim.AddUsers(2, "contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	w.start("serve")
	w.answers()
	if status, _ := w.get("/api/users"); status != http.StatusUnauthorized {
		t.Errorf("status without the token = %d, want 401", status)
	}
	w.env["OUTLOOK_MONITOR_URL"] = w.base
	email := users[0].UserPrincipalName
	shell := func(code int, args ...string) string {
		t.Helper()
		out, errs := w.users(code, "", args...)
		return out + errs
	}
	shell(1, "show", email)
	shell(1, "add", "nobody@contoso.example")
	shell(0, "add", email)
	w.mediator.Add(email)
	w.eventually("the user is watched", func() bool { return strings.Contains(shell(0, "show", email), "watching") })
	var listed struct {
		Users []struct{ Email, State string }
	}
	if err := json.Unmarshal([]byte(shell(0, "--json", "list")), &listed); err != nil || len(listed.Users) != 1 || listed.Users[0].Email != email {
		t.Errorf("users --json list = %+v, %v, want the one user", listed, err)
	}
	shell(0, "check", email)
	w.eventually("the state is told", func() bool { _, ok := w.mediator.State(email); return ok })
	told := len(w.mediator.Calls())
	shell(0, "resend", email)
	w.eventually("the state is told again", func() bool { return len(w.mediator.Calls()) > told })
	shell(0, "remove", email)
	shell(1, "show", email)
	delete(w.env, "MONITOR_TOKEN")
	if said := shell(1, "list"); !strings.Contains(said, "MONITOR_TOKEN") {
		t.Errorf("users list without a token says %q, want MONITOR_TOKEN named", said)
	}
}

func TestPrivateAddress(t *testing.T) {
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 17})
	public := w.base
	private := programtest.FreeAddress(t)
	w.env["PRIVATE_ADDR"] = private
	w.start("serve")
	w.base = "http://" + private
	w.answers()
	if status, _ := w.ask(http.MethodPost, "/graph/notifications?validationToken=x", "", ""); status != http.StatusNotFound {
		t.Errorf("handshake on the private address = %d, want 404", status)
	}
	w.base = public
	for path, want := range map[string]int{"/healthz": 404, "/metrics": 404, "/api/users": 404, "/": 404} {
		if status, _ := w.get(path); status != want {
			t.Errorf("GET %s on the public address = %d, want %d", path, status, want)
		}
	}
	if status, _ := w.ask(http.MethodPost, "/graph/notifications?validationToken=x", "", ""); status != http.StatusOK {
		t.Errorf("handshake on the public address = %d, want 200", status)
	}
	w.run(0, "", "health")
	w.env["PRIVATE_ADDR"] = programtest.FreeAddress(t)
	w.run(1, "", "health") // nothing listens there
}

func TestASlowBodyIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 18})
	w.start("serve")
	w.answers()
	tests := map[string]struct{ head, want string }{
		"a monitor request":             {"POST /monitor HTTP/1.1\r\nContent-Type: application/json\r\n", "408"},
		"a notification":                {"POST /graph/notifications HTTP/1.1\r\nContent-Type: application/json\r\n", "408"},
		"a handshake needs no body":     {"POST /graph/notifications?validationToken=x HTTP/1.1\r\n", "200"},
		"a handshake for lifecycle too": {"POST /graph/lifecycle?validationToken=x HTTP/1.1\r\n", "200"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(tt.head + "Host: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{\"email\":")); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n') // ends by itself after 60 s at most
			if err != nil || !strings.Contains(line, tt.want) {
				t.Errorf("answer = %q, %v, want %s", line, err, tt.want)
			}
		})
	}
}

func TestEveryStartAsksTheMediatorForItsUsers(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 35})
	c := newCrowd(w, 1)
	for want := range 2 {
		p := w.start("serve")
		w.eventually("the mediator is asked", func() bool { return w.mediator.Setups() == want+1 })
		c.settle()
		p.stop()
		time.Sleep(4 * time.Second) // who starts sooner counts as started together
	}
	w.start("serve").Kill() // maybe while it asks
	w.start("serve")
	w.eventually("the mediator is asked after a crash", func() bool { return w.mediator.Setups() >= 3 })
}
