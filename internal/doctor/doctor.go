package doctor

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// Graph is what is asked of Microsoft Graph; a [graph.Client] is one.
type Graph interface {
	Grant(ctx context.Context) (graph.Grant, error)
	Find(ctx context.Context, address string) (ooo.Person, error)
	Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.ReadResult
	CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error)
	DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error
}

// Redis is what is asked of Redis; a [store.Store] is one.
type Redis interface {
	Ping(ctx context.Context) error
	Now(ctx context.Context) (time.Time, error)
	Inspect(ctx context.Context) (store.Report, error)
	Check(ctx context.Context) error
}

// Config says what is checked.
type Config struct {
	Settings config.Settings // as far as they could be understood
	Mistakes error           // in the settings, a line each that begins with the variable; nil: none

	User      string // whose mailbox is read; empty: nobody's
	Subscribe bool   // create a subscription for User, and delete it

	Endpoint      string // of Graph, such as https://graph.microsoft.com
	AuthorityHost string // such as https://login.microsoftonline.com

	Graph Graph // nil: the settings don't allow it
	Redis Redis // nil: the settings don't allow it, or REDIS_URL is empty
	// LoginCode returns the code, such as AADSTS7000215, in an error of a login.
	LoginCode func(error) string
	// CertificateExpires says when the certificate that logs in ends.
	CertificateExpires func() (time.Time, error)
	// Listen answers at LISTEN_ADDR as the service does, until stop is called. The
	// error is that of net.Listen.
	Listen func(ctx context.Context) (stop func(), err error)

	Roots *x509.CertPool // trusted for all HTTP calls made here; nil: the system's
	Each  func(Result)   // receives each result at once; it may be nil
}

// Limits of the checks.
const (
	checkTime     = 10 * time.Second
	subscribeTime = 35 * time.Second // Graph calls PUBLIC_URL meanwhile, 10 s for each path
)

// check is one row of the table.
type check struct {
	name     string
	settings []string                  // variables that must be right
	unless   func(*examination) string // why it is not made; empty, or no function: it is made
	after    []string                  // checks without which it makes no sense
	run      func(*examination, context.Context) Result
	limit    time.Duration // 0: checkTime
}

// Names of checks that others refer to.
const (
	settingsCheck   = "settings"
	loginHostCheck  = "login endpoint"
	graphHostCheck  = "Graph"
	credentialCheck = "credential expiry"
	tokenCheck      = "login"
	listenCheck     = "listen address"
	publicCheck     = "public URL"
	redisCheck      = "Redis"

	longestName = len("Redis persistence")
)

var (
	hostSettings  = []string{"GRAPH_CLOUD", "GRAPH_ENDPOINT", "AZURE_AUTHORITY_HOST"}
	loginSettings = slices.Concat(hostSettings, []string{
		"AZURE_TENANT_ID", "TENANT", "AZURE_CLIENT_ID", "CLIENT_ID", "AZURE_CLIENT_SECRET", "CLIENT_SECRET",
		"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_MANAGED_IDENTITY",
	})
	certificateSettings = []string{"TLS_CERT_FILE", "TLS_KEY_FILE", "ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE"}
)

var checks = []check{
	{name: loginHostCheck, settings: hostSettings, run: (*examination).loginHost},
	{name: graphHostCheck, settings: hostSettings, run: (*examination).graphHost},
	{name: credentialCheck, settings: loginSettings, run: (*examination).credential},
	{name: tokenCheck, settings: loginSettings, unless: (*examination).withoutGraph, after: []string{loginHostCheck},
		run: (*examination).token},
	{name: "permissions", settings: []string{"SUBSCRIPTION_RESOURCES"}, after: []string{tokenCheck}, run: (*examination).permissions},
	{name: "mailbox", unless: (*examination).withoutUser, after: []string{graphHostCheck, tokenCheck}, run: (*examination).mailbox},
	{name: "certificates", settings: certificateSettings, run: (*examination).certificates},
	{name: listenCheck, settings: []string{"LISTEN_ADDR", "PORT", "TLS_CERT_FILE", "TLS_KEY_FILE"}, run: (*examination).listen},
	{name: publicCheck, settings: []string{"PUBLIC_URL", "TUNNEL", "NGROK_AGENT_URL"}, run: (*examination).public},
	{name: "subscription", settings: []string{"SUBSCRIPTION_RESOURCES", "SUBSCRIPTION_LIFETIME"}, unless: (*examination).withoutSubscription,
		after: []string{graphHostCheck, tokenCheck}, run: (*examination).subscription, limit: subscribeTime},
	{name: redisCheck, settings: []string{"REDIS_URL", "REDIS_AUTH"}, run: (*examination).redis},
	{name: "Redis persistence", unless: (*examination).withoutRedis, after: []string{redisCheck}, run: (*examination).persistence},
	{name: "Redis eviction", unless: (*examination).withoutRedis, after: []string{redisCheck}, run: (*examination).eviction},
	{name: "Redis latency", unless: (*examination).withoutRedis, after: []string{redisCheck}, run: (*examination).latency},
	{name: "Redis clock", unless: (*examination).withoutRedis, after: []string{redisCheck}, run: (*examination).clock},
	{name: "mediator", settings: []string{"MEDIATOR_URL", "MEDIATOR_IP", "MEDIATOR_PORT", "MEDIATOR_TOKEN"}, run: (*examination).mediator},
}

// examination is one run, with what earlier checks found out for later ones.
type examination struct {
	cfg      Config
	client   *http.Client
	mistaken []string // variables
	report   Report

	grant       graph.Grant
	person      ooo.Person
	status      ooo.Status // of person's automatic replies; empty: not read yet
	redisReport store.Report
	stop        func() // ends what answers at LISTEN_ADDR instead of the service; nil: nothing does
}

// Run makes all checks. The error says that ctx ended before that; the report
// then has what was found so far.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if cfg.Each == nil {
		cfg.Each = func(Result) {}
	}
	e := &examination{cfg: cfg, client: newClient(cfg.Roots)}
	defer e.client.CloseIdleConnections()
	defer func() {
		if e.stop != nil {
			e.stop()
		}
	}()
	e.settings()
	for _, c := range checks {
		if err := ctx.Err(); err != nil {
			return e.report, err
		}
		e.add(c.name, e.examine(ctx, c))
	}
	e.report.OK = e.report.Count(Failed) == 0
	return e.report, nil
}

// examine makes one check, unless it can't be made.
func (e *examination) examine(ctx context.Context, c check) Result {
	for _, name := range c.settings {
		if slices.Contains(e.mistaken, name) {
			return skipped("fix %s first", name)
		}
	}
	reason := ""
	if c.unless != nil {
		reason = c.unless(e)
	}
	if reason = cmp.Or(reason, e.blocked(c.after...)); reason != "" {
		return skipped("%s", reason)
	}
	ctx, cancel := context.WithTimeout(ctx, max(c.limit, checkTime))
	defer cancel()
	return c.run(e, ctx)
}

// blocked says which of the named checks was not passed; empty: all were.
func (e *examination) blocked(names ...string) string {
	for _, name := range names {
		switch e.statusOf(name) {
		case Failed:
			return "because " + name + " failed"
		case Skipped:
			return "because " + name + " was skipped"
		}
	}
	return ""
}

// statusOf returns how a check ended; empty: it was not made yet.
func (e *examination) statusOf(name string) (status Status) {
	for _, r := range e.report.Checks {
		if r.Name == name {
			status = r.Status
		}
	}
	return status
}

func (e *examination) add(name string, r Result) {
	r.Name = name
	e.report.Checks = append(e.report.Checks, r)
	e.cfg.Each(r)
}

// settings reports each mistake in a line of its own.
func (e *examination) settings() {
	if e.cfg.Mistakes == nil {
		e.add(settingsCheck, ok("no mistakes"))
		return
	}
	for line := range strings.SplitSeq(e.cfg.Mistakes.Error(), "\n") {
		name, _, _ := strings.Cut(line, " ")
		e.mistaken = append(e.mistaken, name)
		e.add(settingsCheck, failed(split(line)))
	}
}

func (e *examination) withoutGraph() string {
	if e.cfg.Graph == nil {
		return "fix the settings first"
	}
	return ""
}

// problem is a text such as "NAME is wrong: do this", whose colon is not in quotes.
var problem = regexp.MustCompile(`^((?:"(?:\\.|[^"\\])*"|[^":]|:[^\s"])*): (.+)$`)

// split takes the remedy off a message of another package.
func split(text string) (found, remedy string) {
	if parts := problem.FindStringSubmatch(text); parts != nil {
		return parts[1], parts[2]
	}
	return text, ""
}

// plain is the text of an error without what its kind repeats.
func plain(err error) string {
	text := err.Error()
	for _, kind := range []error{ooo.ErrUnauthorized, ooo.ErrUnavailable, ooo.ErrRejected, ooo.ErrDenied} {
		if _, cause, found := strings.Cut(text, kind.Error()+": "); found {
			text = cause
		}
	}
	return text
}

// either reports whether err is one of all.
func either(err error, all ...error) bool {
	return slices.ContainsFunc(all, func(one error) bool { return errors.Is(err, one) })
}
