package doctor_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
)

func TestAllOK(t *testing.T) {
	f := newFixture(t)
	f.cfg.User, f.cfg.Subscribe = ann, true
	var reported []doctor.Result
	f.cfg.OnResult = func(r doctor.Result) { reported = append(reported, r) }
	stopped := 0
	f.cfg.Listen = func(context.Context) (func(), error) { return func() { stopped++ }, nil }
	report := f.run()
	if !report.OK || report.Count(doctor.OK) != len(report.Checks)-1 || !slices.Equal(reported, report.Checks) || stopped != 1 {
		t.Errorf("report = %+v, OnResult called %d times, stopped %d times, want all ok but the secret's expiry", report, len(reported), stopped)
	}
	if want := fmt.Sprintf("%d ok, 1 skipped", len(report.Checks)-1); report.Summary() != want {
		t.Errorf("Summary = %q, want %q", report.Summary(), want)
	}
	if r := f.graph.created; r.Resource != "/users/"+annID+"/events" || r.NotificationURL != f.env["PUBLIC_URL"]+"/graph/notifications" ||
		r.LifecycleURL != f.env["PUBLIC_URL"]+"/graph/lifecycle" || r.ClientState == "" || r.ExpiresAt.Before(time.Now()) {
		t.Errorf("subscription request = %+v, want that of the settings", r)
	}
	if f.graph.deleted != "sub-1" {
		t.Errorf("deleted = %q, want sub-1", f.graph.deleted)
	}
}

// TestWrongACMEDomains expects no word about certificates as if ACME_DOMAINS were not set.
func TestWrongACMEDomains(t *testing.T) {
	f := newFixture(t)
	f.env["ACME_DOMAINS"] = "*.contoso.example"
	skipped := 0
	for _, r := range f.run().Checks {
		if r.Found == "fix ACME_DOMAINS first" {
			skipped++
		}
	}
	if skipped != 2 {
		t.Errorf("%d checks ask for ACME_DOMAINS first, want those of certificates and the public URL", skipped)
	}
}

func TestMistakesInSettings(t *testing.T) {
	f := newFixture(t)
	f.env["AZURE_TENANT_ID"], f.env["POLL_INTERVAL"], f.env["SCHEDULED"], f.env["REDIS_AUTH"] = "", "2", `"a: b"`, "http://x"
	report := f.run()
	var mistakes []string
	status := map[string]doctor.Status{}
	for _, r := range report.Checks {
		status[r.Name] = r.Status
		if r.Name == "settings" {
			verb, _, _ := strings.Cut(r.Remedy, " ")
			mistakes = append(mistakes, r.Found+": "+verb)
			wantResult(t, r, doctor.Failed, "", "")
		}
	}
	slices.Sort(mistakes)
	want := []string{"AZURE_TENANT_ID is not set: set", `POLL_INTERVAL is "2": use`, `REDIS_AUTH is "http://x": use`, `SCHEDULED is "\"a: b\"": use`}
	if !slices.Equal(mistakes, want) {
		t.Errorf("mistakes = %q, want %q", mistakes, want)
	}
	for name, want := range map[string]doctor.Status{
		"login endpoint": doctor.OK, "Graph": doctor.OK, "login": doctor.Skipped, "permissions": doctor.Skipped,
		"public URL": doctor.OK, "Redis": doctor.Skipped, "Redis clock": doctor.Skipped, "mediator": doctor.OK,
	} {
		if status[name] != want {
			t.Errorf("%s = %s, want %s", name, status[name], want)
		}
	}
}

func TestRunWithCanceledContext(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.cfg.OnResult = func(doctor.Result) { cancel() }
	report, err := doctor.Run(ctx, f.cfg)
	if !errors.Is(err, context.Canceled) || len(report.Checks) != 1 || report.OK {
		t.Errorf("Run = %+v, %v, want one check and %v", report, err, context.Canceled)
	}
}

func TestLogin(t *testing.T) {
	answered := func(kind error, status int, code string) func(*fixture) {
		return func(f *fixture) {
			f.graph.login = fmt.Errorf("%w: %w", kind, &graph.LoginError{Status: status, Code: code})
		}
	}
	refused := func(code string) func(*fixture) { return answered(ooo.ErrUnauthorized, 401, "AADSTS"+code) }
	unreadable := func(f *fixture) { f.env["AZURE_CLIENT_SECRET"], f.env["AZURE_CLIENT_SECRET_FILE"] = "", "missing" }
	wantFindings(t, map[string]finding{
		"unreadable secret":    {unreadable, "login", doctor.Skipped, "fix AZURE_CLIENT_SECRET_FILE first", ""},
		"its expiry":           {unreadable, "credential expiry", doctor.Skipped, "fix AZURE_CLIENT_SECRET_FILE first", ""},
		"wrong secret":         {refused("7000215"), "login", doctor.Failed, "the client secret is wrong (AADSTS7000215)", "AZURE_CLIENT_SECRET to the secret's Value"},
		"expired secret":       {refused("7000222"), "login", doctor.Failed, "the client secret has expired", "New client secret"},
		"wrong tenant":         {refused("90002"), "login", doctor.Failed, "there is no such tenant", "AZURE_TENANT_ID"},
		"unknown code":         {refused("50197999"), "login", doctor.Failed, "the login is refused: AADSTS50197999", "https://login.microsoftonline.com/error?code=50197999"},
		"503":                  {answered(ooo.ErrUnavailable, 503, ""), "login", doctor.Failed, "the login endpoint answered 503", "try again"},
		"permissions after it": {refused("90002"), "permissions", doctor.Skipped, "because login failed", ""},
		"Redis after it":       {refused("90002"), "Redis", doctor.OK, "", ""},
	})
}

func TestPermissions(t *testing.T) {
	for name, tt := range map[string]struct {
		roles         []string
		resources     string
		user          string
		noPublicURL   bool
		subscribe     bool
		unreadable    bool
		status        doctor.Status
		found, remedy string
	}{
		"required permissions": {roles: []string{"MailboxSettings.Read", "User.Read.All", "Calendars.Read", "Mail.Read"}, status: doctor.OK, found: "MailboxSettings.Read, User.Read.All, Calendars.Read"},
		"none":                 {status: doctor.Failed, found: "missing: MailboxSettings.Read (to read automatic replies), User.Read.All (to find users), Calendars.Read (to subscribe to /users/{id}/events)", remedy: "Grant admin consent"},
		"no calendar permission without PUBLIC_URL": {roles: []string{"MailboxSettings.Read", "User.Read.All"}, noPublicURL: true, status: doctor.OK, found: "MailboxSettings.Read, User.Read.All"},
		"subscription to messages":                  {roles: []string{"MailboxSettings.Read", "User.Read.All"}, resources: "/users/{id}/mailFolders('inbox')/messages", status: doctor.Failed, found: "missing: Mail.Read (to subscribe"},
		"wider permission":                          {roles: []string{"MailboxSettings.ReadWrite", "User.Read.All", "Calendars.Read"}, status: doctor.Warning, found: "MailboxSettings.Read is enough instead of MailboxSettings.ReadWrite", remedy: "remove the wide permissions"},
		"unneeded write permission":                 {roles: []string{"MailboxSettings.Read", "User.Read.All", "Calendars.Read", "Mail.Send"}, status: doctor.Warning, found: "Mail.Send is not needed", remedy: "remove the wide permissions"},
		"narrower permission":                       {roles: []string{"MailboxSettings.Read", "User.ReadBasic.All", "Calendars.Read"}, status: doctor.Warning, found: "User.ReadBasic.All instead of User.Read.All", remedy: "add the wider permission"},
		"granted in Exchange":                       {roles: []string{"User.Read.All"}, user: ann, noPublicURL: true, status: doctor.OK, found: "RBAC for Applications"},
		"perhaps granted in Exchange":               {roles: []string{"User.Read.All"}, user: ann, status: doctor.Warning, found: "perhaps Calendars.Read too", remedy: "use --subscribe"},
		"subscription shows what is granted":        {roles: []string{"User.Read.All"}, user: ann, subscribe: true, status: doctor.OK, found: "RBAC for Applications"},
		"user unknown":                              {roles: []string{"User.Read.All", "Calendars.Read"}, user: "bob@contoso.example", status: doctor.Failed, found: "missing: MailboxSettings.Read"},
		"unreadable token":                          {unreadable: true, status: doctor.Skipped, found: "can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.graph.grant.Roles, f.env["SUBSCRIPTION_RESOURCES"], f.cfg.User, f.cfg.Subscribe = tt.roles, tt.resources, tt.user, tt.subscribe
			f.graph.grant.Readable = !tt.unreadable
			if tt.noPublicURL {
				f.env["PUBLIC_URL"] = ""
			}
			wantResult(t, f.check("permissions"), tt.status, tt.found, tt.remedy)
		})
	}
}

func TestMailboxAndSubscription(t *testing.T) {
	for name, tt := range map[string]struct {
		arrange               func(*fixture)
		mailbox, subscription doctor.Status
		found, remedy         string // of the mailbox unless that is ok, then of the subscription
	}{
		"user not in the directory":            {func(f *fixture) { f.graph.found = ooo.ErrNotInDirectory }, doctor.Failed, doctor.Failed, "not in the directory", "--user"},
		"look-up denied":                       {func(f *fixture) { f.graph.found = ooo.ErrDenied }, doctor.Failed, doctor.Failed, "look-up", "grant User.Read.All"},
		"mailbox denied":                       {func(f *fixture) { f.graph.read = ooo.ErrDenied }, doctor.Failed, doctor.OK, annID, "admin consent"},
		"no mailbox":                           {func(f *fixture) { f.graph.read = ooo.ErrNoMailbox }, doctor.Failed, doctor.OK, "inactive", "licence"},
		"no mailbox, but a user":               {func(f *fixture) { f.graph.read = ooo.ErrUserGone }, doctor.Failed, doctor.OK, "premises, though the directory has the user", "licence"},
		"401 of this mailbox":                  {func(f *fixture) { f.graph.read = ooo.ErrUnauthorized }, doctor.Failed, doctor.OK, "401 for this mailbox only", "licence"},
		"no subscription, but a user":          {func(f *fixture) { f.graph.create = ooo.ErrUserGone }, doctor.OK, doctor.Failed, "premises, though the directory has the user", "licence"},
		"mailbox throttled":                    {func(f *fixture) { f.graph.read = &ooo.Throttled{After: 7 * time.Second} }, doctor.Failed, doctor.OK, "wait 7s", "try again in 7s"},
		"PUBLIC_URL unreachable from Graph":    {func(f *fixture) { f.graph.create = ooo.ErrHandshake }, doctor.OK, doctor.Failed, "could not reach PUBLIC_URL", "firewall"},
		"duplicate subscription":               {func(f *fixture) { f.graph.create = &ooo.Duplicate{ID: "other"} }, doctor.OK, doctor.OK, "already has one", ""},
		"response lost":                        {func(f *fixture) { f.graph.create = ooo.ErrUnavailable }, doctor.OK, doctor.Failed, "unreachable or busy", "status.cloud.microsoft; if Graph did create"},
		"deletion fails":                       {func(f *fixture) { f.graph.remove = errAny }, doctor.OK, doctor.Warning, "not deleted", "wait until it expires"},
		"PUBLIC_URL unreachable from here too": {func(f *fixture) { f.graph.create, f.env["PUBLIC_URL"] = ooo.ErrHandshake, "http://127.0.0.1:1" }, doctor.OK, doctor.Failed, "could not reach PUBLIC_URL", "fix public URL first"},
		"already deleted":                      {func(f *fixture) { f.graph.remove = ooo.ErrSubscriptionGone }, doctor.OK, doctor.OK, "created one", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.cfg.User, f.cfg.Subscribe = ann, true
			tt.arrange(f)
			mailbox, subscription := f.check("mailbox"), f.check("subscription")
			if mailbox.Status != tt.mailbox || subscription.Status != tt.subscription {
				t.Errorf("mailbox = %+v, subscription = %+v, want %s and %s", mailbox, subscription, tt.mailbox, tt.subscription)
			}
			got := subscription
			if tt.mailbox != doctor.OK {
				got = mailbox
			}
			wantResult(t, got, got.Status, tt.found, tt.remedy)
		})
	}
}

func TestListenAddress(t *testing.T) {
	// The service with a PUBLIC_ALLOW without this machine.
	restricted := http.NewServeMux()
	restricted.Handle("/graph/", reply{status: http.StatusForbidden})
	restricted.Handle("/", serve)
	for name, tt := range map[string]struct {
		err           error
		listener      string // URL of the program that listens; empty: the service
		status        doctor.Status
		found, remedy string
		public        doctor.Status
	}{
		"free":                               {nil, "", doctor.OK, "the doctor listens there during the checks", "", doctor.OK},
		"permission denied":                  {syscall.EACCES, "", doctor.Failed, "may not listen", "CAP_NET_BIND_SERVICE", doctor.Skipped},
		"address of another machine":         {syscall.EADDRNOTAVAIL, "", doctor.Failed, "not an address of this machine", "LISTEN_ADDR", doctor.Skipped},
		"another error":                      {errAny, "", doctor.Failed, "something else", "LISTEN_ADDR", doctor.Skipped},
		"service running":                    {syscall.EADDRINUSE, "", doctor.OK, "the service runs at", "", doctor.OK},
		"another program":                    {syscall.EADDRINUSE, programtest.Serve(t, http.NotFoundHandler()), doctor.Failed, "another program", "stop it", doctor.Skipped},
		"service restricted by PUBLIC_ALLOW": {syscall.EADDRINUSE, programtest.Serve(t, restricted), doctor.OK, "the service runs at", "", doctor.OK},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.cfg.Listen = func(context.Context) (func(), error) {
				if tt.err == nil {
					return func() {}, nil
				}
				return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", tt.err)}
			}
			f.env["LISTEN_ADDR"] = strings.TrimPrefix(cmp.Or(tt.listener, f.env["PUBLIC_URL"]), "http://")
			wantResult(t, f.check("listen address"), tt.status, tt.found, tt.remedy)
			if got := f.check("public URL"); got.Status != tt.public {
				t.Errorf("public URL = %+v, want %s", got, tt.public)
			}
		})
	}
}

// TestColours checks the text on a terminal. The tests of the program check it without colours.
func TestColours(t *testing.T) {
	var out strings.Builder
	p := doctor.Printer{Out: &out, Colour: true}
	for _, r := range []doctor.Result{
		{Name: "Redis", Status: doctor.Failed, Found: "refuses the connection", Remedy: "start Redis"},
		{Name: "settings", Status: doctor.OK, Found: "no mistakes"},
	} {
		report := doctor.Report{OK: r.Status == doctor.OK, Checks: []doctor.Result{r}}
		must.NoError(t, errors.Join(p.Result(r), p.Summary(report)))
	}
	want := "  \x1b[1;31mfailed\x1b[0m   Redis              refuses the connection\n" +
		"           \x1b[36m→ \x1b[0mstart Redis\n\n\x1b[1;31m1 failed\x1b[0m\n" +
		"  \x1b[32mok\x1b[0m       settings           no mistakes\n\n\x1b[32m1 ok\x1b[0m\n"
	if out.String() != want {
		t.Errorf("text = %q, want %q", &out, want)
	}
}
