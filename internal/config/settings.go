// Package config defines, parses and checks the settings of the service.
//
// [Settings] is the one table of settings: flags, help, the rows of deploy/SETTINGS.md
// and the checks of single values come from its tags. A new setting is a row there, and at
// most a check in checks.go, which has the formats of values and the checks of settings.
//
// [Serve] has the flags as strings, because kong would stop at the first mistake.
// [Serve.Settings] adds the environment, parses everything, and returns all mistakes at
// once. A flag overrides its variable, a variable its old name, and an empty value counts
// as not set.
//
// Confidential values are a [Secret], and no mistake repeats them. Each such setting has a
// second one, NAME_FILE, the path of a file with the value.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Settings are all settings, parsed and checked. Their tags:
//
//	setting     the variable; its flag is the same in lower case with hyphens
//	was         an older name of the variable, which still works
//	default     the value if it is not set
//	otherwise   instead of default, a description of what happens if it is not set
//	enum        the choices; a bool is true for the last one
//	min, max    bounds of a number or a duration
//	format      one of formats, which checks and normalizes each value; or resource, or verbatim
//	placeholder the value in help; a Secret whose placeholder is URL is shown without its passwords
//	example     the value that a mistake recommends, with format base
//	help        its meaning, a sentence
//
// A setting whose effect outlives the replica also belongs in settingsDigest in
// cmd/outlook-monitor, or, if it changes states, in [ooo.Policy] and its Tag. Every setting
// belongs in values.schema.json of the Helm chart, or in a list of its test
// (go test -run ChartCovers . in scripts/tools/chart), and in deploy/SETTINGS.md
// (go test -run SettingsGuide ./cmd/outlook-monitor).
type Settings struct {
	Graph Graph

	PublicURL Secret `setting:"PUBLIC_URL" placeholder:"URL" format:"base" example:"https://monitor.example.com" help:"https URL under which Graph reaches this service (http for loopback only); empty: no subscriptions, mailboxes are only polled."`

	Tunnel Tunnel

	MediatorURL    Secret   `setting:"MEDIATOR_URL" was:"MEDIATOR_IP" placeholder:"URL" format:"base" example:"http://mediator.example.com:5000" help:"Base URL of the mediator; required."`
	MediatorToken  Secret   `setting:"MEDIATOR_TOKEN" placeholder:"SECRET" format:"line" help:"Bearer token sent to the mediator."`
	SigningSecrets []Secret `setting:"MEDIATOR_SIGNING_SECRET" placeholder:"SECRET" format:"signing" help:"Standard Webhooks secret (whsec_…) that signs deliveries to the mediator; several separated by spaces while rotating."`

	RedisURL   Secret `setting:"REDIS_URL" placeholder:"URL" format:"line" help:"redis:// or rediss://, also of a Cluster (?addr=…) or Sentinel (?master_name=…); empty: Redis inside this process, whose state is lost at exit."`
	RedisEntra bool   `setting:"REDIS_AUTH" placeholder:"HOW" default:"url" enum:"url,entra" help:"How to log in to Redis: url (user and password in REDIS_URL) or entra (to Azure Managed Redis with the credential that logs in to Graph; needs rediss://, not behind Sentinel)."`

	ListenAddr     string `setting:"LISTEN_ADDR" placeholder:"HOST:PORT" was:"PORT" format:"address" default:":8080" help:"Public listener; if not set, port $PORT on all addresses where the platform sets PORT."`
	PrivateAddr    string `setting:"PRIVATE_ADDR" placeholder:"HOST:PORT" format:"address" help:"Listener for everything but Graph's callbacks, which is then served only here."`
	TLSCertFile    string `setting:"TLS_CERT_FILE" placeholder:"FILE" format:"file" help:"Certificate chain (PEM) of the public listener; re-read when it changes."`
	TLSKeyFile     string `setting:"TLS_KEY_FILE" placeholder:"FILE" format:"file" help:"Private key (PEM) of that certificate."`
	MonitorToken   Secret `setting:"MONITOR_TOKEN" placeholder:"SECRET" format:"line" help:"Token that the mediator and operators must send, as bearer token or as password of basic auth; at least 16 characters if other machines reach the listener."`
	AllowAnonymous bool   `setting:"ALLOW_ANONYMOUS" default:"false" enum:"false,true" help:"Start without MONITOR_TOKEN on an address that is not loopback."`

	ACMEDomains     []string       `setting:"ACME_DOMAINS" placeholder:"DOMAINS" format:"domain" help:"Domains to get certificates for from an ACME server, instead of TLS_CERT_FILE, separated by commas; port 443 of each must reach the public listener as it is. They and the account's key are kept in Redis, for all replicas; without REDIS_URL each start makes new ones, until the ACME server refuses."`
	ACMEEmail       string         `setting:"ACME_EMAIL" placeholder:"ADDRESS" format:"email" help:"Address that the ACME server may write to."`
	ACMEDirectory   string         `setting:"ACME_DIRECTORY" placeholder:"URL" otherwise:"of Let's Encrypt" format:"directory" help:"Directory of the ACME server; using it accepts its terms."`
	ACMECAFile      string         `setting:"ACME_CA_FILE" placeholder:"FILE" otherwise:"the system's" format:"file" help:"Authorities (PEM) trusted for the ACME server, if it is a private one."`
	PublicRateLimit int            `setting:"PUBLIC_RATE_LIMIT" placeholder:"N" default:"2000" min:"0" max:"1000000" help:"Requests a second that each source (IPv4 address, IPv6 /64) may make on Graph's paths, with bursts of twice as many; beyond that 429; 0: no limit."`
	PublicAllow     []netip.Prefix `setting:"PUBLIC_ALLOW" placeholder:"NETWORKS" format:"network" otherwise:"everyone" help:"Addresses and networks that may call Graph's paths, separated by commas; others get 403. Graph's addresses change without notice."`
	TrustedProxies  []netip.Prefix `setting:"TRUSTED_PROXIES" placeholder:"NETWORKS" format:"network" help:"Addresses and networks of proxies whose X-Forwarded-For says where a request to Graph's paths comes from, separated by commas."`

	PollInterval        time.Duration `setting:"POLL_INTERVAL" placeholder:"DURATION" default:"2s" min:"100ms" help:"How often each monitored user is read; at least 100ms."`
	Resources           []string      `setting:"SUBSCRIPTION_RESOURCES" placeholder:"PATHS" default:"/users/{id}/events" format:"resource" help:"Resources subscribed to for each user, separated by commas; {id} is the directory object id."`
	Lifetime            time.Duration `setting:"SUBSCRIPTION_LIFETIME" placeholder:"DURATION" default:"4200m" min:"45m" max:"10070m" help:"Lifetime requested for a subscription, 45m to 10070m; what Graph grants is what counts."`
	SweepInterval       time.Duration `setting:"SWEEP_INTERVAL" placeholder:"DURATION" default:"30m" min:"10s" help:"How often Graph's list of subscriptions is compared with the records, by one replica; at least 10s."`
	PresenceSweep       bool          `setting:"PRESENCE_SWEEP" default:"false" enum:"false,true" help:"Also ask for the presence of all users, 650 in one call, and read at once the mailboxes whose state seems to have changed; needs Presence.Read.All. It pays beyond 26,000 users, with a longer POLL_INTERVAL."`
	Scheduled           string        `setting:"SCHEDULED" placeholder:"MODE" default:"window" enum:"window,always" help:"When a scheduled reply counts: window (between its start and its end) or always."`
	Message             string        `setting:"MESSAGE" placeholder:"WHICH" default:"external" enum:"external,internal" help:"Reply text that is forwarded: external or internal."`
	MessageLimit        int           `setting:"MESSAGE_LIMIT" placeholder:"N" default:"3000" min:"0" max:"1000000" help:"Longest message in characters, because speech services refuse more; longer ones are cut at the end of a sentence, else of a word; 0: no limit."`
	ClientStateKeys     []Secret      `setting:"CLIENT_STATE_KEY" placeholder:"SECRET" otherwise:"made once, kept in Redis" help:"Secret from which the clientState of each subscription is derived; several separated by spaces while rotating."`
	EncryptionCertFiles []string      `setting:"ENCRYPTION_CERT_FILE" placeholder:"FILES" format:"file" help:"Certificate (PEM, RSA 2048 to 4096) with which Graph encrypts resource data; setting it asks for resource data. Several separated by commas while rotating, the first is for new subscriptions; re-read when they change."`
	EncryptionKeyFiles  []string      `setting:"ENCRYPTION_KEY_FILE" placeholder:"FILES" format:"file" help:"Private keys (PEM) of those certificates, in the same order."`
	DeliveryConcurrency int           `setting:"DELIVERY_CONCURRENCY" placeholder:"N" default:"8" min:"1" max:"1000" help:"How many deliveries to the mediator a replica may have in flight."`
	LogLevel            slog.Level    `setting:"LOG_LEVEL" placeholder:"LEVEL" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat           string        `setting:"LOG_FORMAT" placeholder:"FORMAT" otherwise:"json, text on a terminal" enum:"json,text" help:"json or text."`

	TracesEndpoint Secret `setting:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" format:"line" help:"Collector that receives OpenTelemetry traces, such as http://collector:4318; deploy/METRICS.md lists OpenTelemetry's other variables, which have no flags."`
}

// Graph says which Graph to call, and with which credential. The ids may be empty with a
// managed identity. URLs have no trailing slash.
type Graph struct {
	TenantID            string `setting:"AZURE_TENANT_ID" placeholder:"TENANT" was:"TENANT" format:"id" help:"Directory (tenant) of the app registration; with a managed identity only needed for resource data, and to detect that a service of another tenant uses the same Redis."`
	ClientID            string `setting:"AZURE_CLIENT_ID" placeholder:"ID" was:"CLIENT_ID" format:"id" help:"Application (client) id of the app registration; with a managed identity, the id of a user-assigned one."`
	ClientSecret        Secret `setting:"AZURE_CLIENT_SECRET" placeholder:"SECRET" was:"CLIENT_SECRET" format:"line" help:"Client secret of the app registration."`
	CertificatePath     string `setting:"AZURE_CLIENT_CERTIFICATE_PATH" placeholder:"FILE" format:"file" help:"Certificate and private key (PEM or PKCS#12) to log in with instead of a secret; read at each login."`
	CertificatePassword Secret `setting:"AZURE_CLIENT_CERTIFICATE_PASSWORD" placeholder:"SECRET" format:"verbatim" help:"Password of the certificate file, if it has one."`
	FederatedTokenFile  string `setting:"AZURE_FEDERATED_TOKEN_FILE" placeholder:"FILE" format:"file" help:"Token file of workload identity, instead of a secret or certificate."`
	ManagedIdentity     bool   `setting:"AZURE_MANAGED_IDENTITY" otherwise:"where the platform offers one" enum:"false,true" help:"Log in as the platform's managed identity when no secret, certificate or token file is set."`
	AuthorityHost       string `setting:"AZURE_AUTHORITY_HOST" placeholder:"URL" otherwise:"of the cloud" format:"host" help:"Login endpoint; one that is not a Microsoft cloud's turns off instance discovery."`
	Cloud               string `setting:"GRAPH_CLOUD" placeholder:"NAME" default:"global" enum:"global,usgov,dod,china" help:"Microsoft cloud: global, usgov, dod or china; sets Graph and login endpoint together."`
	Endpoint            string `setting:"GRAPH_ENDPOINT" placeholder:"URL" otherwise:"of the cloud" format:"host" help:"Graph to use instead of the cloud's, such as https://127.0.0.1:9443; /v1.0 is appended."`

	Credential Credential // which of those above is used; more than one may be set
}

// Credential is what the service logs in with.
type Credential string

const (
	ClientSecret     Credential = "client secret"
	Certificate      Credential = "certificate"
	WorkloadIdentity Credential = "workload identity"
	ManagedIdentity  Credential = "managed identity"
)

// Tunnel says how a service without a public URL gets one.
type Tunnel struct {
	Kind       TunnelKind `setting:"TUNNEL" placeholder:"KIND" default:"none" enum:"none,ngrok,agent" help:"Tunnel whose URL is used as PUBLIC_URL, for one replica: ngrok (opened by this process) or agent (of an ngrok agent on this machine that points to LISTEN_ADDR); subscriptions follow when the URL changes."`
	ExposeAll  bool       `setting:"TUNNEL_EXPOSE" placeholder:"PATHS" default:"graph" enum:"graph,all" help:"Paths that callers reach through the tunnel: graph (Graph's callbacks alone) or, without PRIVATE_ADDR, all, with MONITOR_TOKEN as elsewhere."`
	NgrokToken Secret     `setting:"NGROK_AUTHTOKEN" placeholder:"SECRET" format:"line" help:"Token of the ngrok account; required with TUNNEL=ngrok."`
	NgrokURL   string     `setting:"NGROK_URL" placeholder:"URL" otherwise:"chosen by ngrok" format:"host" help:"https URL of a domain reserved at ngrok, so that a restart keeps it."`
	AgentURL   Secret     `setting:"NGROK_AGENT_URL" placeholder:"URL" default:"http://127.0.0.1:4040" format:"base" example:"http://127.0.0.1:4040" help:"Local API of the ngrok agent that TUNNEL=agent asks for the URL."`
}

// Used reports whether the service gets its public URL from a tunnel.
func (t Tunnel) Used() bool { return t.Kind == NgrokTunnel || t.Kind == AgentTunnel }

// TunnelKind says who opens the tunnel.
type TunnelKind string

const (
	NoTunnel    TunnelKind = "none"
	NgrokTunnel TunnelKind = "ngrok" // this process
	AgentTunnel TunnelKind = "agent" // an ngrok agent on this machine
)
