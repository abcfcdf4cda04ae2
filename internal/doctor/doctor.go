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

// Graph is implemented by [graph.Client].
type Graph interface {
	Grant(ctx context.Context) (graph.Grant, error)
	Find(ctx context.Context, address string) (ooo.Person, error)
	Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.ReadResult
	CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error)
	DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error
}

// Redis is implemented by [store.Store].
type Redis interface {
	Ping(ctx context.Context) error
	Now(ctx context.Context) (time.Time, error)
	Inspect(ctx context.Context) (store.Report, error)
	CheckFingerprint(ctx context.Context) error
	Check(ctx context.Context) error
}

// Config says what to check, and with what.
type Config struct {
	Settings config.Settings // those that are valid
	Mistakes error           // in the settings, one per line, each beginning with the variable; nil: none

	User      string // whose mailbox to read; empty: none
	Subscribe bool   // create a subscription for User and delete it

	Login graph.Config // of Graph
	Graph Graph
	Redis Redis // nil: the settings don't allow it, or REDIS_URL is empty
	// Listen serves LISTEN_ADDR with the service's handler until stop is called. It returns
	// the error of net.Listen.
	Listen func(ctx context.Context) (stop func(), err error)

	Roots *x509.CertPool // trusted for all HTTP calls of this package; nil: the system's
	// OnResult is called with each result as soon as it is known. It may be nil.
	OnResult func(Result)
}

const (
	checkTimeout     = 10 * time.Second
	subscribeTimeout = 35 * time.Second // includes a look-up, and 30 s in which Graph calls PUBLIC_URL
)

// check is one row of the table.
type check struct {
	name     string
	settings []string // variables that must be valid
	requires []string // checks that must not have failed or been skipped
	run      func(*diagnosis, context.Context) Result
	timeout  time.Duration // 0: checkTimeout
}

// Names of checks that other checks refer to.
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
	certificateSettings = []string{"ACME_DOMAINS", "TLS_CERT_FILE", "TLS_KEY_FILE", "ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE"}
)

var checks = []check{
	{name: loginHostCheck, settings: hostSettings, run: (*diagnosis).loginHost},
	{name: graphHostCheck, settings: hostSettings, run: (*diagnosis).graphHost},
	{name: credentialCheck, settings: loginSettings, run: (*diagnosis).credential},
	{name: tokenCheck, settings: loginSettings, requires: []string{loginHostCheck}, run: (*diagnosis).token},
	{name: "permissions", settings: []string{"SUBSCRIPTION_RESOURCES"}, requires: []string{tokenCheck}, run: (*diagnosis).permissions},
	{name: "mailbox", requires: []string{graphHostCheck, tokenCheck}, run: (*diagnosis).mailbox},
	{name: "certificates", settings: certificateSettings, run: (*diagnosis).certificates},
	{name: listenCheck, settings: []string{"LISTEN_ADDR", "PORT", "PUBLIC_URL", "TLS_CERT_FILE", "TLS_KEY_FILE"}, run: (*diagnosis).listen},
	{name: publicCheck, settings: []string{"PUBLIC_URL", "TUNNEL", "NGROK_AGENT_URL", "ACME_DOMAINS"}, run: (*diagnosis).public},
	{name: "subscription", settings: []string{"SUBSCRIPTION_RESOURCES", "SUBSCRIPTION_LIFETIME"},
		requires: []string{graphHostCheck, tokenCheck}, run: (*diagnosis).subscription, timeout: subscribeTimeout},
	{name: redisCheck, settings: []string{"REDIS_URL", "REDIS_AUTH"}, run: (*diagnosis).redis},
	{name: "Redis persistence", requires: []string{redisCheck}, run: (*diagnosis).persistence},
	{name: "Redis eviction", requires: []string{redisCheck}, run: (*diagnosis).eviction},
	{name: "Redis latency", requires: []string{redisCheck}, run: (*diagnosis).latency},
	{name: "Redis clock", requires: []string{redisCheck}, run: (*diagnosis).clock},
	{name: "mediator", settings: []string{"MEDIATOR_URL", "MEDIATOR_IP", "MEDIATOR_TOKEN"}, run: (*diagnosis).mediator},
}

// diagnosis is one run of the doctor, with what earlier checks found out for later ones.
type diagnosis struct {
	cfg      Config
	client   *http.Client
	mistakes config.Mistakes
	report   Report

	grant       graph.Grant
	redisReport store.Report
	stop        func() // as returned by Config.Listen; nil: the doctor does not listen
}

// Run makes all checks. If ctx ends earlier it returns the results so far and ctx's error.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if cfg.OnResult == nil {
		cfg.OnResult = func(Result) {}
	}
	d := &diagnosis{cfg: cfg, client: newClient(cfg.Roots)}
	defer d.client.CloseIdleConnections()
	defer func() {
		if d.stop != nil {
			d.stop()
		}
	}()
	d.settings()
	for _, c := range checks {
		if err := ctx.Err(); err != nil {
			return d.report, err
		}
		d.add(c.name, d.check(ctx, c))
	}
	d.report.OK = d.report.Count(Failed) == 0
	return d.report, nil
}

// check makes one check, or says why it can't be made.
func (d *diagnosis) check(ctx context.Context, c check) Result {
	if reason := cmp.Or(d.mistaken(c.settings), d.blocked(c.requires...)); reason != "" {
		return skipped("%s", reason)
	}
	if d.cfg.Redis == nil && slices.Contains(c.requires, redisCheck) {
		return skipped("there is no Redis to check")
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.timeout, checkTimeout))
	defer cancel()
	return c.run(d, ctx)
}

// mistaken returns which of the settings has a mistake; empty: none.
func (d *diagnosis) mistaken(settings []string) string {
	if name := d.mistakes.In(settings...); name != "" {
		return "fix " + name + " first"
	}
	return ""
}

// blocked returns which of the named checks failed or was skipped; empty: none.
func (d *diagnosis) blocked(names ...string) string {
	for _, name := range names {
		switch d.statusOf(name) {
		case Failed:
			return "because " + name + " failed"
		case Skipped:
			return "because " + name + " was skipped"
		}
	}
	return ""
}

// statusOf returns the status of a check; empty: it was not made yet.
func (d *diagnosis) statusOf(name string) (status Status) {
	for _, r := range d.report.Checks {
		if r.Name == name {
			status = r.Status
		}
	}
	return status
}

func (d *diagnosis) add(name string, r Result) {
	r.Name = name
	d.report.Checks = append(d.report.Checks, r)
	d.cfg.OnResult(r)
}

// settings adds a result for each mistake.
func (d *diagnosis) settings() {
	if d.cfg.Mistakes == nil {
		d.add(settingsCheck, ok("no mistakes"))
		return
	}
	d.mistakes = strings.Split(d.cfg.Mistakes.Error(), "\n")
	for _, mistake := range d.mistakes {
		d.add(settingsCheck, failed(splitRemedy(mistake)))
	}
}

// messagePattern matches a message such as "NAME is wrong: do this". Its first colon outside
// of quotes separates problem and remedy.
var messagePattern = regexp.MustCompile(`^((?:"(?:\\.|[^"\\])*"|[^":]|:[^\s"])*): (.+)$`)

// splitRemedy separates problem and remedy in a message of another package.
func splitRemedy(text string) (found, remedy string) {
	if parts := messagePattern.FindStringSubmatch(text); parts != nil {
		return parts[1], parts[2]
	}
	return text, ""
}

// withoutKind returns the text of an error without the text of its kind.
func withoutKind(err error) string {
	text := err.Error()
	for _, kind := range []error{ooo.ErrUnauthorized, ooo.ErrUnavailable, ooo.ErrRejected, ooo.ErrDenied} {
		if _, cause, found := strings.Cut(text, kind.Error()+": "); found {
			text = cause
		}
	}
	return text
}

// isAny reports whether err is one of targets.
func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}
