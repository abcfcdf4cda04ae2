package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
)

// Graph is what is asked of Microsoft Graph.
type Graph interface {
	// Grant logs in and says what the token allows.
	Grant(ctx context.Context) (Grant, error)
	// CredentialExpires says when the certificate that logs in ends.
	CredentialExpires() (time.Time, error)
	Find(ctx context.Context, address string) (ooo.Person, error)
	// Read reads the automatic replies of one mailbox.
	Read(ctx context.Context, id ooo.ObjectID) (ooo.Setting, error)
	CreateSubscription(ctx context.Context, request ooo.SubscriptionRequest) (ooo.GraphSubscription, error)
	DeleteSubscription(ctx context.Context, id ooo.SubscriptionID) error
}

// Grant is what a token allows.
type Grant struct {
	Expires  time.Time
	Roles    []string // application permissions
	Readable bool     // the token could be looked into; otherwise there are no Roles
}

// Redis is what is asked of Redis.
type Redis interface {
	Ping(ctx context.Context) error
	Now(ctx context.Context) (time.Time, error)
	// Describe says what Redis is, as far as it tells. The error says why it did
	// not answer, or why it can't be used.
	Describe(ctx context.Context) (RedisFacts, error)
}

// RedisFacts are what Redis tells of itself. What it keeps to itself is empty.
type RedisFacts struct {
	Server  string // such as "Redis 7.2.4"
	Form    string // such as "Cluster of 3 masters"; empty: a single one
	Keeping string // how it keeps its data over a restart
	Policy  string // maxmemory-policy
	Memory  string // used, and of how much
	Limit   string // what it refuses so that the service is slower, with the remedy after a colon; empty: nothing

	Loss    []Fault // by which data is lost at a restart
	Evicted []Fault // by which data is thrown away
}

// Fault is a thing that is wrong and what mends it.
type Fault struct{ Problem, Remedy string }

// Config says what is checked and by whom.
type Config struct {
	Settings config.Settings // as far as they could be understood
	Mistakes error           // of the settings, a line each that begins with the variable; nil: none

	User      string // whose mailbox is read; empty: nobody's
	Subscribe bool   // make a subscription for User, and delete it

	Endpoint      string // of Graph, such as https://graph.microsoft.com
	AuthorityHost string // such as https://login.microsoftonline.com

	Graph Graph // nil: the settings don't allow it
	Redis Redis // nil: the settings don't allow it, or REDIS_URL is empty
	// LoginCode returns the code, such as AADSTS7000215, in an error of a login.
	LoginCode func(error) string

	// NotificationPath and LifecyclePath are where Graph calls, under PUBLIC_URL.
	NotificationPath, LifecyclePath string
	// Listen answers at LISTEN_ADDR as the service does, until stop is called. The
	// error is that of net.Listen.
	Listen func(ctx context.Context) (stop func(), err error)

	// Agent returns the URL of the tunnel that an agent leads to LISTEN_ADDR. The
	// error says what is wrong, and after a colon what to do. It is asked with
	// TUNNEL=agent alone; nil: it can't be asked.
	Agent func(ctx context.Context) (string, error)

	Roots *x509.CertPool // trusted for all that is asked here; nil: the system's
	Each  func(Result)   // hears of each result at once; it may be nil
}

// Bounds of the checks.
const (
	checkTime     = 10 * time.Second
	subscribeTime = 35 * time.Second // Graph calls PUBLIC_URL meanwhile, 10 s for each path
	wholeTime     = 90 * time.Second
)

// check is one question.
type check struct {
	name     string
	settings []string // variables that must not be mistaken
	after    []string // checks that must have ended well
	limit    time.Duration
	run      func(ctx context.Context) verdict
}

// examination is one run.
type examination struct {
	cfg      Config
	client   *http.Client
	mistaken []string // variables
	report   Report
	grant    Grant
	person   ooo.Person
	status   ooo.Status // of person's automatic replies; empty: not read yet
	facts    RedisFacts
	stop     func() // ends the stand-in for the service; nil: there is none
	absent   string // why nothing can answer at PUBLIC_URL; empty: something can
}

// Run checks everything. The error says that ctx ended before that; the report
// then has what was found so far.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if cfg.Listen == nil || cfg.LoginCode == nil {
		return Report{}, errors.New("doctor: Listen and LoginCode are required")
	}
	e := &examination{cfg: cfg, client: newClient(cfg.Roots)}
	defer e.client.CloseIdleConnections()
	defer func() {
		if e.stop != nil {
			e.stop()
		}
	}()
	whole, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	e.settings()
	for _, c := range e.checks() {
		if err := ctx.Err(); err != nil {
			return e.report, err
		}
		e.add(c.name, e.examine(whole, c))
	}
	e.report.OK = e.report.Count(Failed) == 0
	return e.report, nil
}

// Names of the checks.
const (
	settingsCheck     = "settings"
	loginHostCheck    = "login endpoint"
	graphHostCheck    = "Graph"
	tokenCheck        = "login"
	credentialCheck   = "credential expiry"
	permissionsCheck  = "permissions"
	mailboxCheck      = "mailbox"
	certificatesCheck = "certificates"
	listenCheck       = "listen address"
	publicCheck       = "public URL"
	subscriptionCheck = "subscription"
	redisCheck        = "Redis"
	keepingCheck      = "Redis persistence"
	evictionCheck     = "Redis eviction"
	latencyCheck      = "Redis latency"
	clockCheck        = "Redis clock"
	mediatorCheck     = "mediator"
)

// widest is the length of the longest name.
const widest = len(keepingCheck)

var (
	hostSettings  = []string{"GRAPH_CLOUD", "GRAPH_ENDPOINT", "AZURE_AUTHORITY_HOST"}
	loginSettings = slices.Concat(hostSettings, []string{
		"AZURE_TENANT_ID", "TENANT", "AZURE_CLIENT_ID", "CLIENT_ID", "AZURE_CLIENT_SECRET", "CLIENT_SECRET",
		"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_MANAGED_IDENTITY",
	})
	certSettings = []string{"TLS_CERT_FILE", "TLS_KEY_FILE", "ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE"}
)

func (e *examination) checks() []check {
	reading, covering := []string{graphHostCheck, tokenCheck}, []string{graphHostCheck, tokenCheck}
	if e.cfg.User == "" {
		reading = nil // nobody asked
	}
	if !e.cfg.Subscribe {
		covering = nil
	}
	return []check{
		{name: loginHostCheck, settings: hostSettings, run: e.loginHost},
		{name: graphHostCheck, settings: hostSettings, run: e.graphHost},
		{name: credentialCheck, settings: loginSettings, run: e.credential},
		{name: tokenCheck, settings: loginSettings, after: []string{loginHostCheck}, run: e.token},
		{name: permissionsCheck, settings: []string{"SUBSCRIPTION_RESOURCES"}, after: []string{tokenCheck}, run: e.permissions},
		{name: mailboxCheck, after: reading, run: e.mailbox},
		{name: certificatesCheck, settings: certSettings, run: e.certificates},
		{name: listenCheck, settings: []string{"LISTEN_ADDR", "PORT", "TLS_CERT_FILE", "TLS_KEY_FILE"}, run: e.listen},
		{name: publicCheck, settings: []string{"PUBLIC_URL", "TUNNEL", "NGROK_AGENT_URL"}, run: e.public},
		{name: subscriptionCheck, settings: []string{"SUBSCRIPTION_RESOURCES", "SUBSCRIPTION_LIFETIME"},
			after: covering, limit: subscribeTime, run: e.subscription},
		{name: redisCheck, settings: []string{"REDIS_URL", "REDIS_AUTH"}, run: e.redis},
		{name: keepingCheck, after: []string{redisCheck}, run: e.keeping},
		{name: evictionCheck, after: []string{redisCheck}, run: e.eviction},
		{name: latencyCheck, after: []string{redisCheck}, run: e.latency},
		{name: clockCheck, after: []string{redisCheck}, run: e.clock},
		{name: mediatorCheck, settings: []string{"MEDIATOR_URL", "MEDIATOR_IP", "MEDIATOR_PORT", "MEDIATOR_TOKEN"}, run: e.mediator},
	}
}

// examine makes one check, unless it can't be made.
func (e *examination) examine(ctx context.Context, c check) verdict {
	for _, name := range c.settings {
		if slices.Contains(e.mistaken, name) {
			return skipped("%s must be mended first", name)
		}
	}
	for _, name := range c.after {
		switch before, _ := e.result(name); before.Status {
		case Failed:
			return skipped("because %s failed", name)
		case Skipped:
			return skipped("because %s was skipped", name)
		}
	}
	if ctx.Err() != nil {
		return skipped("the %v for all checks are over", wholeTime)
	}
	ctx, cancel := context.WithTimeout(ctx, max(c.limit, checkTime))
	defer cancel()
	return c.run(ctx)
}

func (e *examination) result(name string) (Result, bool) {
	i := slices.IndexFunc(e.report.Checks, func(r Result) bool { return r.Name == name })
	if i < 0 {
		return Result{}, false
	}
	return e.report.Checks[i], true
}

func (e *examination) add(name string, v verdict) {
	r := Result{Name: name, Status: v.status, Found: v.found, Remedy: v.remedy}
	e.report.Checks = append(e.report.Checks, r)
	if e.cfg.Each != nil {
		e.cfg.Each(r)
	}
}

// settings tells of every mistake.
func (e *examination) settings() {
	if e.cfg.Mistakes == nil {
		e.add(settingsCheck, well("all understood"))
		return
	}
	for line := range strings.SplitSeq(e.cfg.Mistakes.Error(), "\n") {
		name, _, _ := strings.Cut(line, " ")
		e.mistaken = append(e.mistaken, name)
		found, remedy := sentence(line)
		e.add(settingsCheck, failed(found, remedy))
	}
}

// sentence cuts "NAME is wrong: do this" at its colon, not at one in quotes.
func sentence(line string) (found, remedy string) {
	quoted, escaped := false, false
	for i, r := range line {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = quoted
		case r == '"':
			quoted = !quoted
		case r == ':' && !quoted && strings.HasPrefix(line[i:], ": "):
			return line[:i], line[i+2:]
		}
	}
	return line, ""
}

// until writes when something ends, and how long that is, coarsely.
func until(at time.Time) string {
	switch left := time.Until(at); {
	case left >= 48*time.Hour:
		return fmt.Sprintf("%s, in %d days", at.UTC().Format(time.DateOnly), int(left.Hours()/24))
	case left > 0:
		return fmt.Sprintf("%s, in %d minutes", at.UTC().Format(minutely), int(left.Minutes()))
	}
	return at.UTC().Format(minutely)
}

const minutely = "2006-01-02 15:04 UTC"

// took writes how long an answer took.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2g ms", max(d.Seconds()*1000, 0.01))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
