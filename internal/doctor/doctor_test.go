package doctor_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/ooo"
)

func TestAllIsWell(t *testing.T) {
	w := newWorld(t)
	w.cfg.User, w.cfg.Subscribe = ann, true
	var heard []doctor.Result
	w.cfg.Each = func(r doctor.Result) { heard = append(heard, r) }
	stopped := 0
	w.cfg.Listen = func(context.Context) (func(), error) { return func() { stopped++ }, nil }
	report := w.run()
	if !report.OK || report.Count(doctor.OK) != len(report.Checks)-1 || !slices.Equal(heard, report.Checks) || stopped != 1 {
		t.Errorf("report = %+v, heard %d of it, stopped %d times, want all ok but the secret's expiry", report, len(heard), stopped)
	}
	if want := fmt.Sprintf("%d ok, 1 skipped", len(report.Checks)-1); report.Summary() != want {
		t.Errorf("Summary = %q, want %q", report.Summary(), want)
	}
	if r := w.graph.asked; r.Resource != "/users/"+annID+"/events" || r.NotificationURL != w.env["PUBLIC_URL"]+"/graph/notifications" ||
		r.LifecycleURL != w.env["PUBLIC_URL"]+"/graph/lifecycle" || r.ClientState == "" || r.ExpiresAt.Before(time.Now()) {
		t.Errorf("subscription asked for = %+v", r)
	}
	if w.graph.deleted != "sub-1" {
		t.Errorf("deleted = %q, want sub-1", w.graph.deleted)
	}
}

func TestEveryMistakeInTheSettingsIsReported(t *testing.T) {
	w := newWorld(t)
	w.env["AZURE_TENANT_ID"], w.env["POLL_INTERVAL"], w.env["SCHEDULED"], w.env["REDIS_URL"] = "", "2", `"a: b"`, "http://x"
	w.cfg.Graph, w.cfg.Redis = nil, nil
	report := w.run()
	var mistakes []string
	for _, r := range report.Checks {
		if r.Name == "settings" {
			verb, _, _ := strings.Cut(r.Remedy, " ")
			mistakes = append(mistakes, r.Found+": "+verb)
			wants(t, r, doctor.Failed, "", "")
		}
	}
	slices.Sort(mistakes)
	want := []string{"AZURE_TENANT_ID is not set: set", `POLL_INTERVAL is "2": use`, "REDIS_URL is not a Redis URL: use", `SCHEDULED is "\"a: b\"": use`}
	if !slices.Equal(mistakes, want) {
		t.Errorf("mistakes = %q, want %q", mistakes, want)
	}
	status := map[string]doctor.Status{}
	for _, r := range report.Checks {
		status[r.Name] = r.Status
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

func TestAnEndBeforeTheEnd(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.cfg.Each = func(doctor.Result) { cancel() }
	report, err := doctor.Run(ctx, w.cfg)
	if !errors.Is(err, context.Canceled) || len(report.Checks) != 1 || report.OK {
		t.Errorf("Run = %+v, %v, want one check and the end", report, err)
	}
}

func TestLogin(t *testing.T) {
	for code, want := range map[string]struct{ found, remedy string }{
		"AADSTS7000215":  {"the client secret is wrong (AADSTS7000215)", "AZURE_CLIENT_SECRET to the secret's Value"},
		"AADSTS7000222":  {"the client secret has expired", "New client secret"},
		"AADSTS700016":   {"the app is not in this tenant", "AZURE_CLIENT_ID"},
		"AADSTS90002":    {"there is no such tenant", "AZURE_TENANT_ID"},
		"AADSTS700027":   {"the certificate is not registered", "Upload certificate"},
		"AADSTS50197999": {"the login is refused: AADSTS50197999", "https://login.microsoftonline.com/error?code=50197999"},
	} {
		t.Run(code, func(t *testing.T) {
			w := newWorld(t)
			w.graph.login = fmt.Errorf("%w: the login endpoint answered 401 %s", ooo.ErrUnauthorized, code)
			wants(t, w.check("login"), doctor.Failed, want.found, want.remedy)
			wants(t, w.check("permissions"), doctor.Skipped, "because login failed", "")
			wants(t, w.check("Redis"), doctor.OK, "", "")
		})
	}
	t.Run("the endpoint is busy", func(t *testing.T) {
		w := newWorld(t)
		w.graph.login = fmt.Errorf("%w: the login endpoint answered 503", ooo.ErrUnavailable)
		wants(t, w.check("login"), doctor.Failed, "the login endpoint answered 503", "try again")
	})
}

func TestPermissions(t *testing.T) {
	tests := map[string]struct {
		roles         []string
		resources     string
		user          string
		poll          bool // there is no PUBLIC_URL
		status        doctor.Status
		found, remedy string
	}{
		"what is needed":                     {roles: []string{"MailboxSettings.Read", "User.Read.All", "Calendars.Read", "Mail.Read"}, status: doctor.OK, found: "MailboxSettings.Read, User.Read.All, Calendars.Read"},
		"none at all":                        {status: doctor.Failed, found: "missing: MailboxSettings.Read (to read automatic replies), User.Read.All (to find users), Calendars.Read (to subscribe to /users/{id}/events)", remedy: "Grant admin consent"},
		"one is missing":                     {roles: []string{"User.Read.All", "Calendars.Read"}, status: doctor.Failed, found: "missing: MailboxSettings.Read (to read automatic replies)", remedy: "API permissions"},
		"no calendar, and none is asked":     {roles: []string{"MailboxSettings.Read", "User.Read.All"}, poll: true, status: doctor.OK, found: "MailboxSettings.Read, User.Read.All"},
		"messages are asked for":             {roles: []string{"MailboxSettings.Read", "User.Read.All"}, resources: "/users/{id}/mailFolders('inbox')/messages", status: doctor.Failed, found: "missing: Mail.Read (to subscribe"},
		"a wider one instead":                {roles: []string{"MailboxSettings.ReadWrite", "User.Read.All", "Calendars.Read"}, status: doctor.Warning, found: "MailboxSettings.Read is enough instead of MailboxSettings.ReadWrite", remedy: "remove what is too wide"},
		"a wide one that nobody needs":       {roles: []string{"MailboxSettings.Read", "User.Read.All", "Calendars.Read", "Mail.Send"}, status: doctor.Warning, found: "Mail.Send is not needed", remedy: "remove what is too wide"},
		"only basic profiles":                {roles: []string{"MailboxSettings.Read", "User.ReadBasic.All", "Calendars.Read"}, status: doctor.Warning, found: "User.ReadBasic.All instead of User.Read.All", remedy: "add the wider permission"},
		"mailboxes are given in Exchange":    {roles: []string{"User.Read.All"}, user: ann, status: doctor.OK, found: "RBAC for Applications"},
		"nobody whose mailbox can be proven": {roles: []string{"User.Read.All", "Calendars.Read"}, user: "bob@contoso.example", status: doctor.Failed, found: "missing: MailboxSettings.Read"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.graph.grant.Roles, w.env["SUBSCRIPTION_RESOURCES"], w.cfg.User = tt.roles, tt.resources, tt.user
			if tt.poll {
				w.env["PUBLIC_URL"] = ""
			}
			wants(t, w.check("permissions"), tt.status, tt.found, tt.remedy)
		})
	}
	t.Run("a token that can't be looked into", func(t *testing.T) {
		w := newWorld(t)
		w.graph.grant.Readable = false
		wants(t, w.check("permissions"), doctor.Skipped, "can't be read", "")
	})
}

func TestMailboxAndSubscription(t *testing.T) {
	tests := map[string]struct {
		wrong                 func(*fakeGraph)
		mailbox, subscription doctor.Status
		found, remedy         string // of the mailbox if that is wrong, otherwise of the subscription
	}{
		"not in the directory":   {func(g *fakeGraph) { g.found = ooo.ErrNotInDirectory }, doctor.Failed, doctor.Failed, "not in the directory", "--user"},
		"people are denied":      {func(g *fakeGraph) { g.found = ooo.ErrDenied }, doctor.Failed, doctor.Failed, "look-up", "grant User.Read.All"},
		"the mailbox is denied":  {func(g *fakeGraph) { g.read = ooo.ErrDenied }, doctor.Failed, doctor.OK, annID, "admin consent"},
		"there is no mailbox":    {func(g *fakeGraph) { g.read = ooo.ErrNoMailbox }, doctor.Failed, doctor.OK, "inactive", "licence"},
		"Graph asks to wait":     {func(g *fakeGraph) { g.read = &ooo.Throttled{After: 7 * time.Second} }, doctor.Failed, doctor.OK, "wait 7s", "try again in 7s"},
		"Graph can't reach here": {func(g *fakeGraph) { g.create = ooo.ErrHandshake }, doctor.OK, doctor.Failed, "could not reach PUBLIC_URL", "firewall"},
		"one is there already":   {func(g *fakeGraph) { g.create = &ooo.Duplicate{ID: "other"} }, doctor.OK, doctor.OK, "already has one", ""},
		"the answer was lost":    {func(g *fakeGraph) { g.create = fmt.Errorf("%w: %w", ooo.ErrNoAnswer, ooo.ErrUnavailable) }, doctor.OK, doctor.Failed, "lost", "expires by itself"},
		"it can't be deleted":    {func(g *fakeGraph) { g.remove = errAny }, doctor.OK, doctor.Warning, "not deleted", "expires by itself"},
		"Graph has deleted it":   {func(g *fakeGraph) { g.remove = ooo.ErrSubscriptionGone }, doctor.OK, doctor.OK, "created one", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cfg.User, w.cfg.Subscribe = ann, true
			tt.wrong(w.graph)
			mailbox, subscription := w.check("mailbox"), w.check("subscription")
			if mailbox.Status != tt.mailbox || subscription.Status != tt.subscription {
				t.Errorf("mailbox = %+v, subscription = %+v, want %s and %s", mailbox, subscription, tt.mailbox, tt.subscription)
			}
			told := subscription
			if tt.mailbox != doctor.OK {
				told = mailbox
			}
			wants(t, told, told.Status, tt.found, tt.remedy)
		})
	}
	t.Run("Graph and this machine can't reach here", func(t *testing.T) {
		w := newWorld(t)
		w.cfg.User, w.cfg.Subscribe, w.env["PUBLIC_URL"] = ann, true, "http://127.0.0.1:1"
		w.graph.create = ooo.ErrHandshake
		wants(t, w.check("subscription"), doctor.Failed, "could not reach PUBLIC_URL", "fix public URL first")
	})
}

func TestListenAddress(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	// choosy is the service with a PUBLIC_ALLOW that leaves this machine out.
	choosy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/graph/") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		serve(w, r)
	}))
	defer choosy.Close()
	tests := map[string]struct {
		err           error
		there         string // who listens; empty: the service
		status        doctor.Status
		found, remedy string
		public        doctor.Status
	}{
		"it is free":                    {nil, "", doctor.OK, "the doctor listens there during the checks", "", doctor.OK},
		"it needs more rights":          {syscall.EACCES, "", doctor.Failed, "may not listen", "CAP_NET_BIND_SERVICE", doctor.Skipped},
		"it is not of this machine":     {syscall.EADDRNOTAVAIL, "", doctor.Failed, "not an address of this machine", "LISTEN_ADDR", doctor.Skipped},
		"something else is wrong":       {errAny, "", doctor.Failed, "something else", "LISTEN_ADDR", doctor.Skipped},
		"the service is there":          {syscall.EADDRINUSE, "", doctor.OK, "the service runs at", "", doctor.OK},
		"another program is there":      {syscall.EADDRINUSE, other.URL, doctor.Failed, "another program", "stop it", doctor.Skipped},
		"the service keeps others away": {syscall.EADDRINUSE, choosy.URL, doctor.OK, "the service runs at", "", doctor.OK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cfg.Listen = func(context.Context) (func(), error) {
				if tt.err == nil {
					return func() {}, nil
				}
				return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", tt.err)}
			}
			w.env["LISTEN_ADDR"] = strings.TrimPrefix(cmp.Or(tt.there, w.env["PUBLIC_URL"]), "http://")
			wants(t, w.check("listen address"), tt.status, tt.found, tt.remedy)
			if got := w.check("public URL"); got.Status != tt.public {
				t.Errorf("public URL = %+v, want %s", got, tt.public)
			}
		})
	}
}
