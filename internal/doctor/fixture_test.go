package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/webhook"
)

const (
	ann    = "ann@contoso.example"
	annID  = "8c1d2f3e-0000-4000-8000-000000000001"
	secret = "a-secret-nobody-may-see"
)

// fakeGraph is a Graph without problems unless a test sets some.
type fakeGraph struct {
	grant                              graph.Grant
	login, found, read, create, remove error
	created                            ooo.SubscriptionRequest
	deleted                            ooo.SubscriptionID
}

func (g *fakeGraph) Grant(context.Context) (graph.Grant, error) { return g.grant, g.login }

func (g *fakeGraph) Find(_ context.Context, address string) (ooo.Person, error) {
	if address != ann {
		return ooo.Person{}, ooo.ErrNotInDirectory
	}
	return ooo.Person{ID: annID}, g.found
}

func (g *fakeGraph) Read(context.Context, []ooo.ObjectID, []ooo.Digest) []ooo.ReadResult {
	if g.read != nil {
		return []ooo.ReadResult{{Err: g.read}}
	}
	return []ooo.ReadResult{{Setting: ooo.Setting{Status: ooo.AlwaysEnabled}}}
}

func (g *fakeGraph) CreateSubscription(_ context.Context, r ooo.SubscriptionRequest) (ooo.GraphSubscription, error) {
	g.created = r
	return ooo.GraphSubscription{ID: "sub-1", ExpiresAt: r.ExpiresAt}, g.create
}

func (g *fakeGraph) DeleteSubscription(_ context.Context, id ooo.SubscriptionID) error {
	g.deleted = id
	return g.remove
}

// fakeRedis is a Redis without problems unless a test sets some.
type fakeRedis struct {
	report                store.Report
	err, foreign, refused error
	ping, off             time.Duration // off is the clock difference
}

func (r *fakeRedis) Inspect(context.Context) (store.Report, error) { return r.report, r.err }

func (r *fakeRedis) CheckFingerprint(context.Context) error { return r.foreign }

func (r *fakeRedis) Check(context.Context) error { return r.refused }

func (r *fakeRedis) Ping(context.Context) error {
	time.Sleep(r.ping)
	return r.err
}

func (r *fakeRedis) Now(context.Context) (time.Time, error) { return time.Now().Add(r.off), r.err }

// fixture is what the doctor checks: real servers, and a fake Graph and Redis.
type fixture struct {
	t     *testing.T
	env   map[string]string
	cfg   doctor.Config
	graph *fakeGraph
	redis *fakeRedis
}

// newFixture returns a fixture without problems.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	service := programtest.Serve(t, serve)
	f := &fixture{
		t: t,
		graph: &fakeGraph{grant: graph.Grant{
			Expires: time.Now().Add(time.Hour), Readable: true,
			Roles: []string{"MailboxSettings.Read", "User.Read.All", "Calendars.Read"},
		}},
		redis: &fakeRedis{report: store.Report{
			Server: "Redis 7.2.4", Persistence: "append-only file", Policy: "noeviction", Memory: "1.5M used",
		}},
		env: map[string]string{
			"AZURE_TENANT_ID": "contoso.example", "AZURE_CLIENT_ID": "app", "AZURE_CLIENT_SECRET": secret,
			"PUBLIC_URL": service, "MEDIATOR_URL": programtest.Serve(t, http.HandlerFunc(mediate)), "MEDIATOR_TOKEN": secret,
			"LISTEN_ADDR": "127.0.0.1:0",
			"REDIS_URL":   "redis://:" + secret + "@127.0.0.1:6379/0", "CLIENT_STATE_KEY": secret,
		},
	}
	f.cfg = doctor.Config{
		Login:  graph.Config{Endpoint: service, AuthorityHost: service},
		Listen: func(context.Context) (func(), error) { return func() {}, nil },
		Graph:  f.graph, Redis: f.redis,
	}
	return f
}

// serve is the service's handler for Graph's requests.
var serve = func() http.HandlerFunc {
	log := slog.New(slog.DiscardHandler)
	engine := api.NewEngine(log)
	webhook.New(webhook.Config{
		Ready:   func() bool { return true },
		Public:  server.NewPublic(server.PublicConfig{Concurrency: 1, Refused: func(int) {}, Log: log}),
		Keys:    func(context.Context) (ooo.ClientStateKeys, error) { return ooo.ClientStateKeys{}, errAny },
		Counted: func(string, int) {}, Answered: func(time.Duration) {}, Log: log,
	}).Register(engine)
	return engine.ServeHTTP
}()

// mediate answers like a mediator that requires the token.
func mediate(w http.ResponseWriter, r *http.Request) {
	_, password, _ := r.BasicAuth()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+secret && password != secret:
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/":
		_, _ = w.Write([]byte("VMO MEDIATOR"))
	case r.URL.Path == "/api/setstatus" && r.Method == http.MethodOptions:
		w.Header().Set("Allow", "POST, OPTIONS")
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// run runs the doctor, and makes sure that the report contains no secret.
func (f *fixture) run() doctor.Report {
	f.t.Helper()
	f.cfg.Settings, f.cfg.Mistakes = new(config.Serve).Settings(func(name string) string { return f.env[name] })
	f.cfg.Login.CertificatePath = f.cfg.Settings.Graph.CertificatePath
	f.cfg.Login.CertificatePassword = f.cfg.Settings.Graph.CertificatePassword.Reveal()
	if f.cfg.Settings.RedisURL.IsZero() {
		f.cfg.Redis = nil
	}
	report, err := doctor.Run(f.t.Context(), f.cfg)
	must.NoError(f.t, err)
	text, err := json.Marshal(report)
	must.NoError(f.t, err)
	for _, hidden := range []string{secret, ann} {
		if strings.Contains(string(text), hidden) {
			f.t.Errorf("the report contains %q: %s", hidden, text)
		}
	}
	return report
}

// check returns the result of one check.
func (f *fixture) check(name string) doctor.Result {
	f.t.Helper()
	report := f.run()
	i := slices.IndexFunc(report.Checks, func(r doctor.Result) bool { return r.Name == name })
	if i < 0 {
		f.t.Fatalf("no check %q in %+v", name, report)
	}
	return report.Checks[i]
}

// finding is what one check finds out about a fixture that was changed.
type finding struct {
	arrange       func(*fixture)
	check         string
	status        doctor.Status
	found, remedy string
}

func wantFindings(t *testing.T, tests map[string]finding) {
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			tt.arrange(f)
			wantResult(t, f.check(tt.check), tt.status, tt.found, tt.remedy)
		})
	}
}

// wantResult checks a result. Warnings and failures, and nothing else, have a remedy.
func wantResult(t *testing.T, got doctor.Result, status doctor.Status, found, remedy string) {
	t.Helper()
	if got.Status != status || !strings.Contains(got.Found, found) || !strings.Contains(got.Remedy, remedy) {
		t.Errorf("%s = %s, %q, remedy %q, want %s, %q, remedy %q", got.Name, got.Status, got.Found, got.Remedy, status, found, remedy)
	}
	if (got.Status == doctor.Failed || got.Status == doctor.Warning) != (got.Remedy != "") {
		t.Errorf("%s = %s with remedy %q, want a remedy for warnings and failures only", got.Name, got.Status, got.Remedy)
	}
}

var errAny = errors.New("something else")
