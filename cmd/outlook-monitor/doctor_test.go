package main_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// doctor runs doctor --json and returns the report and the exit code.
func (tb *testbed) doctor(args ...string) (doctor.Report, int) {
	tb.t.Helper()
	p := tb.start(append([]string{"doctor", "--json"}, args...)...)
	code := p.Wait()
	var report doctor.Report
	if err := json.NewDecoder(strings.NewReader(p.log.String())).Decode(&report); err != nil {
		tb.t.Fatalf("doctor --json = %s: %v", p.log, err)
	}
	for _, hidden := range []string{graphsim.DefaultClientSecret, "Bearer", "user0001@"} {
		if strings.Contains(p.log.String(), hidden) {
			tb.t.Errorf("the report contains %q", hidden)
		}
	}
	if report.OK != (code == 0) || code > 1 {
		tb.t.Errorf("exit code = %d with ok %t, want 0 if nothing failed, otherwise 1", code, report.OK)
	}
	return report, code
}

// checksWith returns the names of the checks with a status.
func checksWith(r doctor.Report, status doctor.Status) (names []string) {
	for _, c := range r.Checks {
		if c.Status == status {
			names = append(names, c.Name)
		}
	}
	return names
}

// checkResult formats the result of a check.
func checkResult(r doctor.Report, name string) string {
	for _, c := range r.Checks {
		if c.Name == name {
			return string(c.Status) + ": " + c.Found + " → " + c.Remedy
		}
	}
	return "no such check"
}

func TestDoctorAllOK(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 61})
	user := tb.sim.AddUsers(1)[0]
	for name, running := range map[string]bool{"service stopped": false, "service running": true} {
		t.Run(name, func(t *testing.T) {
			tb := tb.in(t)
			want := "the doctor listens there during the checks"
			if running {
				p := tb.startReady()
				want = "the service runs at"
				defer p.stop()
			}
			report, code := tb.doctor("--user", user.UserPrincipalName, "--subscribe")
			if skipped := checksWith(report, doctor.Skipped); code != 0 || !slices.Equal(skipped, []string{"credential expiry"}) {
				t.Errorf("exit %d, skipped = %q in %+v, want only the secret's expiry", code, skipped, report)
			}
			for _, name := range checksWith(report, doctor.Warning) {
				if name != "Redis latency" && name != "Redis clock" { // they may fail on a busy machine
					t.Errorf("%s = %s, want ok", name, checkResult(report, name))
				}
			}
			if got := checkResult(report, "listen address"); !strings.Contains(got, want) {
				t.Errorf("listen address = %s, want %q", got, want)
			}
			if got := checkResult(report, "Redis"); !regexp.MustCompile(`^ok: (Redis|Valkey) \d[^ ]+, one server`).MatchString(got) {
				t.Errorf("Redis = %s, want ok with the version, one server", got)
			}
			if n := len(tb.sim.Subscriptions()); n != 0 {
				t.Errorf("%d subscriptions are left, want none", n)
			}
		})
	}
	if tb.mediator.Setups() > 1 || len(tb.mediator.Calls()) != 0 {
		t.Errorf("%d syncs and %d deliveries, want at most the sync of the service", tb.mediator.Setups(), len(tb.mediator.Calls()))
	}
}

// TestDoctorBesideRunningService checks settings that only move the public listener.
func TestDoctorBesideRunningService(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 66})
	private := programtest.FreeAddress(t)
	tb.env["PRIVATE_ADDR"], tb.base = private, "http://"+private
	tb.startReady()
	tb.env["LISTEN_ADDR"] = programtest.FreeAddress(t)
	report, _ := tb.doctor()
	if got := checkResult(report, "listen address"); !strings.HasPrefix(got, "ok") {
		t.Errorf("listen address = %s, want ok", got)
	}
}

// TestDoctorFailures has one failure for each part of the program that a check asks.
func TestDoctorFailures(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 62})
	users := tb.sim.AddUsers(2)
	must.NoError(t, tb.sim.SetMailbox(users[1].ID, graphsim.Mailbox{Error: "ErrorAccessDenied"}))
	tlsRedis, foreign := redistest.StartEntra(t), redistest.Start(t)
	foreign.Do("HSET", "om:{om}:owners", "fingerprint", "other")
	lacking := newTestbed(t, "", graphsim.Config{Seed: 65, Roles: []string{"User.Read.All", "Calendars.Read"}})
	filetest.Write(t, tb.env["SSL_CERT_FILE"], string(slices.Concat(tb.sim.CAPEM(), lacking.sim.CAPEM())))
	for name, tt := range map[string]struct {
		env   map[string]string
		fault graphsim.Fault
		args  []string
		check string
		want  string
	}{
		"missing permission":    {env: map[string]string{"AZURE_AUTHORITY_HOST": lacking.sim.URL(), "GRAPH_ENDPOINT": lacking.sim.URL()}, check: "permissions", want: "missing: MailboxSettings.Read"},
		"mailbox denied":        {args: []string{"--user", users[1].UserPrincipalName}, check: "mailbox", want: "access denied"},
		"subscription denied":   {args: []string{"--user", users[0].UserPrincipalName, "--subscribe"}, fault: graphsim.Fault{Operation: "subscription-create", Kind: "status", Status: 403}, check: "subscription", want: "subscription denied"},
		"listen address in use": {env: map[string]string{"LISTEN_ADDR": strings.TrimPrefix(tb.mediator.URL(), "http://")}, check: "listen address", want: "another program listens"},
		"Redis of another app":  {env: map[string]string{"REDIS_URL": foreign.URL()}, check: "Redis", want: "another tenant, app or Graph → use another Redis or database number"},
		"PRIVATE_ADDR in use":   {env: map[string]string{"PRIVATE_ADDR": strings.TrimPrefix(tb.mediator.URL(), "http://")}, check: "listen address", want: "choose another PRIVATE_ADDR"},
		"pattern in PUBLIC_URL": {env: map[string]string{"PUBLIC_URL": "https://monitor.example/*"}, check: "settings", want: "asterisk"},
		"untrusted Redis":       {env: map[string]string{"REDIS_URL": tlsRedis.URL()}, check: "Redis", want: "does not trust the certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			tb := tb.in(t)
			maps.Copy(tb.env, tt.env)
			if tt.fault.Kind != "" {
				tb.sim.SetFault(tt.fault)
				defer tb.sim.ClearFaults()
			}
			report, _ := tb.doctor(tt.args...)
			if failed := checksWith(report, doctor.Failed); !slices.Equal(failed, []string{tt.check}) {
				t.Errorf("failed = %q, want only %q", failed, tt.check)
			}
			if got := checkResult(report, tt.check); !strings.Contains(got, tt.want) {
				t.Errorf("%s = %s, want %q", tt.check, got, tt.want)
			}
		})
	}
}

func TestDoctorText(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 64})
	tb.env["POLL_INTERVAL"], tb.env["AZURE_CLIENT_SECRET"], tb.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "2", "wrong", "collector"
	text, _ := tb.run(1, "", "doctor")
	for _, want := range []string{
		"outlook-monitor doctor\n\n", `  failed   settings           POLL_INTERVAL is "2"`, "\n  failed   settings           OTEL_EXPORTER_OTLP_ENDPOINT is", "  ok       Graph  ", "\n           → set AZURE_CLIENT_SECRET to the secret's Value", "\n3 failed, ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("text lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("text has colours though it is not written to a terminal:\n%s", text)
	}
}

func TestDoctorConnectsToRedisDespiteOtherMistakes(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 66})
	for name, tt := range map[string]struct{ setting, value, want string }{
		"a mistake that quotes REDIS_": {"LISTEN_ADDR", "REDIS_HOST", string(doctor.OK)},
		"a mistake of Redis":           {"REDIS_AUTH", "keys", string(doctor.Skipped)},
	} {
		t.Run(name, func(t *testing.T) {
			tb := tb.in(t)
			tb.env[tt.setting] = tt.value
			report, _ := tb.doctor()
			if got := checkResult(report, "settings"); !strings.Contains(got, tt.setting+` is "`+tt.value) {
				t.Errorf("settings = %s, want a mistake of %s", got, tt.setting)
			}
			if got := checkResult(report, "Redis"); !strings.HasPrefix(got, tt.want+": ") {
				t.Errorf("Redis = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestFailedLoginMentionsDoctorOnce(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, "", graphsim.Config{Seed: 67})
	tb.env["AZURE_CLIENT_SECRET"] = "wrong"
	p := tb.start("serve")
	tb.eventually("the login has failed three times", func() bool { return strings.Count(p.log.String(), "login failed") >= 3 })
	p.stop()
	if n := strings.Count(p.log.String(), "see outlook-monitor doctor"); n != 1 {
		t.Errorf("the log mentions the doctor %d times, want once: %s", n, p.log)
	}
}
