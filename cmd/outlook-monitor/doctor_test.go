package main_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// examine runs the doctor and returns its report and its exit code.
func (w *surroundings) examine(args ...string) (doctor.Report, int) {
	w.t.Helper()
	p := w.start(append([]string{"doctor", "--json"}, args...)...)
	code := p.Wait()
	var report doctor.Report
	if err := json.NewDecoder(strings.NewReader(p.log.String())).Decode(&report); err != nil {
		w.t.Fatalf("doctor --json = %s: %v", p.log, err)
	}
	for _, hidden := range []string{graphsim.DefaultClientSecret, "Bearer", "user0001@"} {
		if strings.Contains(p.log.String(), hidden) {
			w.t.Errorf("the doctor tells %q", hidden)
		}
	}
	if report.OK != (code == 0) || code > 1 {
		w.t.Errorf("exit code = %d with ok %t, want 0 if all is well, otherwise 1", code, report.OK)
	}
	return report, code
}

// ended lists the checks that ended so.
func ended(r doctor.Report, status doctor.Status) (names []string) {
	for _, c := range r.Checks {
		if c.Status == status {
			names = append(names, c.Name)
		}
	}
	return names
}

// found is what a check found, and its remedy.
func found(r doctor.Report, name string) string {
	for _, c := range r.Checks {
		if c.Name == name {
			return string(c.Status) + ": " + c.Found + " → " + c.Remedy
		}
	}
	return "no such check"
}

func TestDoctorOfAHealthyWorld(t *testing.T) {
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 61})
	users, err := w.sim.AddUsers(1, "contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, running := range map[string]bool{"before the service runs": false, "while it runs": true} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			want := "the doctor listens there during the checks"
			if running {
				p := w.start("serve")
				w.answers()
				want = "the service runs at"
				defer p.stop()
			}
			report, code := w.examine("--user", users[0].UserPrincipalName, "--subscribe")
			if skipped := ended(report, doctor.Skipped); code != 0 || !slices.Equal(skipped, []string{"credential expiry"}) {
				t.Errorf("exit %d, skipped = %q in %+v, want the secret's expiry alone", code, skipped, report)
			}
			for _, name := range ended(report, doctor.Warning) {
				if name != "Redis latency" && name != "Redis clock" { // those of a busy machine
					t.Errorf("%s = %s, want ok", name, found(report, name))
				}
			}
			if got := found(report, "listen address"); !strings.Contains(got, want) {
				t.Errorf("listen address = %s, want %q", got, want)
			}
			if n := len(w.sim.Subscriptions()); n != 0 {
				t.Errorf("%d subscriptions are left, want none", n)
			}
		})
	}
	if w.mediator.Setups() > 1 || len(w.mediator.Calls()) != 0 {
		t.Errorf("the mediator was asked %d times and told %d states, want at most the service's own sync", w.mediator.Setups(), len(w.mediator.Calls()))
	}
}

func TestDoctorFindsEachFault(t *testing.T) {
	server := redistest.Start(t)
	w := world(t, server.URL(), graphsim.Config{Seed: 62})
	users, err := w.sim.AddUsers(2, "contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.sim.SetMailbox(users[1].ID, graphsim.Mailbox{Error: "ErrorAccessDenied"}); err != nil {
		t.Fatal(err)
	}
	site := httptest.NewServer(http.RedirectHandler("https://mediator.example", http.StatusMovedPermanently))
	defer site.Close()
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	defer stranger.Close()
	encrypted, _ := redistest.StartTLS(t)
	locked := redistest.Start(t, "requirepass right")
	tests := map[string]struct {
		env   map[string]string
		fault graphsim.Fault
		args  []string
		check string
		want  string
	}{
		"a wrong secret":             {env: map[string]string{"AZURE_CLIENT_SECRET": "wrong"}, check: "login", want: "the client secret is wrong (AADSTS7000215)"},
		"another app":                {env: map[string]string{"AZURE_CLIENT_ID": "other"}, check: "login", want: "the app is not in this tenant"},
		"another tenant":             {env: map[string]string{"AZURE_TENANT_ID": "other"}, check: "login", want: "there is no such tenant"},
		"an authority that is busy":  {fault: graphsim.Fault{Operation: "token", Kind: "status", Status: 503}, check: "login", want: "answered 503"},
		"a login host that is away":  {env: map[string]string{"AZURE_AUTHORITY_HOST": "https://127.0.0.1:1"}, check: "login endpoint", want: "refuses the connection"},
		"a Graph that nobody trusts": {env: map[string]string{"GRAPH_ENDPOINT": stranger.URL}, check: "Graph", want: "does not trust the certificate"},
		"a user who does not exist":  {args: []string{"--user", "nobody@contoso.example"}, check: "mailbox", want: "not in the directory"},
		"a mailbox that is closed":   {args: []string{"--user", users[1].UserPrincipalName}, check: "mailbox", want: "access denied"},
		"a busy mailbox":             {args: []string{"--user", users[0].UserPrincipalName}, fault: graphsim.Fault{Operation: "read", Kind: "throttle", RetryAfter: graphsim.Duration(9e9)}, check: "mailbox", want: "try again in 9s"},
		"subscriptions are refused":  {args: []string{"--user", users[0].UserPrincipalName, "--subscribe"}, fault: graphsim.Fault{Operation: "subscription-create", Kind: "status", Status: 403}, check: "subscription", want: "subscription denied"},
		"Graph says in .NET's words": {args: []string{"--user", users[0].UserPrincipalName, "--subscribe"}, fault: graphsim.Fault{Operation: "subscription-create",
			Kind: "status", Status: 400, Code: "InvalidRequest", Message: "The underlying connection was closed: An unexpected error occurred on a send."},
			check: "subscription", want: "open PUBLIC_URL to the internet"},
		"an encrypted private key": {env: map[string]string{"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_CERTIFICATE_PATH": "../../internal/graph/testdata/encrypted.pem"},
			check: "credential expiry", want: "is encrypted: decrypt it with openssl pkey"},
		"a port where nobody is":      {env: map[string]string{"PUBLIC_URL": "http://127.0.0.1:1"}, check: "public URL", want: "refuses the connection"},
		"another service":             {env: map[string]string{"PUBLIC_URL": w.mediator.URL()}, check: "public URL", want: "another server answers 404"},
		"a listen address of another": {env: map[string]string{"LISTEN_ADDR": strings.TrimPrefix(w.mediator.URL(), "http://")}, check: "listen address", want: "another program listens"},
		"a Redis that is away":        {env: map[string]string{"REDIS_URL": "redis://127.0.0.1:1/0"}, check: "Redis", want: "start Redis"},
		"a Redis that is none":        {env: map[string]string{"REDIS_URL": "redis://" + strings.TrimPrefix(w.mediator.URL(), "http://")}, check: "Redis", want: "failed: "},
		"a Redis of an unknown maker": {env: map[string]string{"REDIS_URL": encrypted.URL()}, check: "Redis", want: "does not trust the certificate"},
		"a Redis with a password":     {env: map[string]string{"REDIS_URL": "redis://" + locked.Addr()}, check: "Redis", want: "NOAUTH"},
		"another password":            {env: map[string]string{"REDIS_URL": "redis://:other@" + locked.Addr()}, check: "Redis", want: "WRONGPASS"},
		"a Redis that is too old":     {env: map[string]string{"REDIS_URL": server.FakeVersion("6.0.9")}, check: "Redis", want: "Redis is version 6.0.9 → outlook-monitor needs Redis 6.2"},
		"an option that Redis lacks":  {env: map[string]string{"REDIS_URL": server.URL() + "/x"}, check: "settings", want: "REDIS_URL has a database number or an option"},
		"a mediator that is away":     {env: map[string]string{"MEDIATOR_URL": "http://127.0.0.1:1"}, check: "mediator", want: "start the mediator"},
		"a mediator that moved":       {env: map[string]string{"MEDIATOR_URL": site.URL}, check: "mediator", want: "a redirect to https://mediator.example"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t, w.env = t, maps.Clone(w.env)
			maps.Copy(w.env, tt.env)
			if tt.fault.Kind != "" {
				if _, err := w.sim.SetFault(tt.fault); err != nil {
					t.Fatal(err)
				}
				defer w.sim.ClearFaults()
			}
			report, _ := w.examine(tt.args...)
			if failed := ended(report, doctor.Failed); !slices.Equal(failed, []string{tt.check}) {
				t.Errorf("failed = %q, want %q alone", failed, tt.check)
			}
			if got := found(report, tt.check); !strings.Contains(got, tt.want) {
				t.Errorf("%s = %s, want %q", tt.check, got, tt.want)
			}
		})
	}
}

func TestDoctorAsksForTheTunnel(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 66})
	agent := startAgent(t)
	w.env["PUBLIC_URL"], w.env["MONITOR_TOKEN"] = "", "the-token"
	listen := w.env["LISTEN_ADDR"]
	_, port, _ := strings.Cut(listen, ":")
	ask := func(kind, want string) {
		t.Helper()
		w.env["TUNNEL"] = kind
		report, _ := w.examine()
		if got := found(report, "public URL"); !strings.Contains(got, want) {
			t.Errorf("public URL with TUNNEL=%s = %s, want %q", kind, got, want)
		}
	}
	w.env["NGROK_AGENT_URL"] = agent.URL
	ask("agent", "failed: the agent has no https tunnel to port "+port+" → start one with: ngrok http "+port)
	agent.leads("http://"+listen, listen)
	ask("agent", "ok: the handshake works at http://"+listen)
	delete(w.env, "NGROK_AGENT_URL")
	w.env["NGROK_AUTHTOKEN"] = "a-token"
	ask("ngrok", "skipped: with TUNNEL=ngrok there is a URL only while outlook-monitor serve runs")
}

func TestDoctorIsAskedWrongly(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 63})
	for name, args := range map[string][]string{
		"a subscription for nobody": {"doctor", "--subscribe"},
		"an unknown flag":           {"doctor", "--everything"},
	} {
		p := w.start(args...)
		if code := p.Wait(); code != 2 {
			t.Errorf("%s: exit code = %d, want 2: %s", name, code, p.log)
		}
	}
}

// TestFiveMistakes plants five mistakes at once and mends what the doctor names
// first, until it is content.
func TestFiveMistakes(t *testing.T) {
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 64})
	poor := world(t, "", graphsim.Config{Seed: 65, Roles: []string{"User.Read.All", "Calendars.Read"}})
	w.trust(poor)
	to, err := url.Parse(w.base)
	if err != nil {
		t.Fatal(err)
	}
	forgetful := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.URL.RawQuery = ""
	}})
	defer forgetful.Close()

	right := map[string]string{"POLL_INTERVAL": "2s"}
	for _, name := range []string{"AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST", "GRAPH_ENDPOINT", "PUBLIC_URL", "REDIS_URL"} {
		right[name] = w.env[name]
	}
	mistakes := []struct {
		what   string
		wrong  map[string]string
		check  string
		told   string // by the doctor
		remedy string
	}{
		{"an interval without a unit", map[string]string{"POLL_INTERVAL": "2"}, "settings", "POLL_INTERVAL", "use a value such as 2s"},
		{"a secret's id instead of the secret", map[string]string{"AZURE_CLIENT_SECRET": "0f2e-id"}, "login", "the client secret is wrong", "the secret's Value"},
		{"an app without its rights", map[string]string{"AZURE_AUTHORITY_HOST": poor.sim.URL(), "GRAPH_ENDPOINT": poor.sim.URL()}, "permissions", "missing: MailboxSettings.Read", "Grant admin consent"},
		{"a proxy that drops the query", map[string]string{"PUBLIC_URL": forgetful.URL}, "public URL", "the query is lost", "pass the query on"},
		{"a Redis that does not run", map[string]string{"REDIS_URL": "redis://" + programtest.FreeAddress(t)}, "Redis", "refuses the connection", "start Redis"},
	}
	for _, m := range mistakes {
		maps.Copy(w.env, m.wrong)
	}
	for _, m := range mistakes {
		report, _ := w.examine()
		t.Logf("$ outlook-monitor doctor\n%s", w.seen())
		if failed := ended(report, doctor.Failed); len(failed) == 0 || failed[0] != m.check {
			t.Fatalf("failed = %q, want %s first", failed, m.check)
		}
		if got := found(report, m.check); !strings.Contains(got, m.told) || !strings.Contains(got, m.remedy) {
			t.Fatalf("%s: %s = %s, want %q and %q", m.what, m.check, got, m.told, m.remedy)
		}
		for name := range m.wrong {
			w.env[name] = right[name]
		}
		t.Logf("That was %s: fixed.", m.what)
	}
	if report, code := w.examine(); code != 0 {
		t.Errorf("after all was fixed: exit %d, failed %q", code, ended(report, doctor.Failed))
	}
	t.Logf("$ outlook-monitor doctor\n%s", w.seen())
}

// seen is what an operator sees of the doctor.
func (w *surroundings) seen() string {
	w.t.Helper()
	p := w.start("doctor")
	p.Wait()
	if strings.Contains(p.log.String(), "\x1b") {
		w.t.Error("there are colours though nobody looks at a terminal")
	}
	return p.log.String()
}

// trust makes the program trust another world's Graph too.
func (w *surroundings) trust(other *surroundings) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "cas.pem")
	if err := os.WriteFile(file, slices.Concat(w.sim.CAPEM(), other.sim.CAPEM()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.env["SSL_CERT_FILE"] = file
}
