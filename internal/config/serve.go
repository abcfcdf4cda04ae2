// Package config is the settings of the service: which there are, what they
// mean, and whether what was given makes sense.
//
// # The story
//
// [Serve] is the one list of settings. Each field names its variable, its
// default and its meaning in tags; the flag, the line in serve --help and the
// row in the README all come from there. kong fills the fields with what the
// command line says and understands nothing of it: a parser that stops at the
// first mistake would send the operator round once for each. [Serve.Settings]
// then looks up in the environment what no flag gave, understands everything,
// and returns either a complete [Settings] or all mistakes at once, each a line
// that names the variable and says what to write.
//
// A flag wins over its variable, a variable over its old name, and an empty
// value counts as none.
//
// What must not be seen is a [Secret] or a [URL]: types that print themselves
// as something harmless, wherever they are printed from. No mistake repeats a
// value that may hold a secret.
package config

// Serve holds the settings as the command line gives them; empty where it does
// not. It can be used as a kong command.
//
// The tags: setting is the variable, otherwise the default and help the meaning
// as the README and the help have them.
type Serve struct {
	TenantID            string `name:"azure-tenant-id" setting:"AZURE_TENANT_ID" placeholder:"TENANT" help:"Directory (tenant) of the app registration; not needed with a managed identity."`
	ClientID            string `name:"azure-client-id" setting:"AZURE_CLIENT_ID" placeholder:"ID" help:"Application (client) id of the app registration; with a managed identity, the id of a user-assigned one."`
	ClientSecret        Secret `name:"azure-client-secret" setting:"AZURE_CLIENT_SECRET" placeholder:"SECRET" help:"Client secret of the app registration."`
	CertificatePath     string `name:"azure-client-certificate-path" setting:"AZURE_CLIENT_CERTIFICATE_PATH" placeholder:"FILE" help:"Certificate and private key (PEM or PKCS#12) to log in with instead of a secret; read at each login."`
	CertificatePassword Secret `name:"azure-client-certificate-password" setting:"AZURE_CLIENT_CERTIFICATE_PASSWORD" placeholder:"SECRET" help:"Password of the certificate file, if it has one."`
	FederatedTokenFile  string `name:"azure-federated-token-file" setting:"AZURE_FEDERATED_TOKEN_FILE" placeholder:"FILE" help:"Token file of workload identity, instead of a secret or certificate."`
	ManagedIdentity     Switch `name:"azure-managed-identity" setting:"AZURE_MANAGED_IDENTITY" otherwise:"where the platform offers one" help:"Log in as the platform's managed identity when no secret, certificate or token file is set."`
	AuthorityHost       string `name:"azure-authority-host" setting:"AZURE_AUTHORITY_HOST" placeholder:"URL" otherwise:"of the cloud" help:"Login endpoint; one that is not a Microsoft cloud's turns instance discovery off."`
	Cloud               string `name:"graph-cloud" setting:"GRAPH_CLOUD" placeholder:"NAME" otherwise:"global" literal:"" help:"Microsoft cloud: global, usgov, dod or china; sets Graph and login endpoint together."`
	Endpoint            string `name:"graph-endpoint" setting:"GRAPH_ENDPOINT" placeholder:"URL" otherwise:"of the cloud" help:"Graph to use instead of the cloud's, such as https://127.0.0.1:9443; /v1.0 is appended."`

	PublicURL URL `name:"public-url" setting:"PUBLIC_URL" placeholder:"URL" help:"https URL under which Graph reaches this service (http for loopback only); empty: no subscriptions, mailboxes are only polled."`

	Tunnel       string `name:"tunnel" setting:"TUNNEL" placeholder:"KIND" otherwise:"none" literal:"" help:"Tunnel whose URL is used as PUBLIC_URL, for one replica: ngrok (opened by this process) or agent (of an ngrok agent on this machine that points to LISTEN_ADDR); subscriptions follow when the URL changes."`
	TunnelExpose string `name:"tunnel-expose" setting:"TUNNEL_EXPOSE" placeholder:"PATHS" otherwise:"graph" literal:"" help:"Paths that callers reach through the tunnel: graph (Graph's callbacks alone) or all, which show MONITOR_TOKEN as elsewhere."`
	NgrokToken   Secret `name:"ngrok-authtoken" setting:"NGROK_AUTHTOKEN" placeholder:"SECRET" help:"Token of the ngrok account; required with TUNNEL=ngrok."`
	NgrokURL     string `name:"ngrok-url" setting:"NGROK_URL" placeholder:"URL" otherwise:"chosen by ngrok" help:"https URL of a domain reserved at ngrok, so that a restart keeps it."`
	NgrokAgent   URL    `name:"ngrok-agent-url" setting:"NGROK_AGENT_URL" placeholder:"URL" otherwise:"http://127.0.0.1:4040" literal:"" help:"Local API of the ngrok agent that TUNNEL=agent asks for the URL."`

	MediatorURL   URL    `name:"mediator-url" setting:"MEDIATOR_URL" placeholder:"URL" help:"Base URL of the mediator; required."`
	MediatorToken Secret `name:"mediator-token" setting:"MEDIATOR_TOKEN" placeholder:"SECRET" help:"Bearer token sent to the mediator."`
	SigningSecret Secret `name:"mediator-signing-secret" setting:"MEDIATOR_SIGNING_SECRET" placeholder:"SECRET" help:"Standard Webhooks secret (whsec_…) that signs what the mediator is told; several separated by spaces while rotating."`

	RedisURL  URL    `name:"redis-url" setting:"REDIS_URL" placeholder:"URL" help:"redis:// or rediss://, also of a Cluster (?addr=…) or Sentinel (?master_name=…); empty: Redis inside this process, its state is gone at exit."`
	RedisAuth string `name:"redis-auth" setting:"REDIS_AUTH" placeholder:"HOW" otherwise:"url" literal:"" help:"How to log in to Redis: url (user and password in REDIS_URL) or entra (to Azure Managed Redis with the credential that logs in to Graph; needs rediss://, not behind Sentinel)."`

	ListenAddr     string `name:"listen-addr" setting:"LISTEN_ADDR" placeholder:"HOST:PORT" otherwise:":8080, or :$PORT" help:"Public listener."`
	PrivateAddr    string `name:"private-addr" setting:"PRIVATE_ADDR" placeholder:"HOST:PORT" help:"Listener of everything but Graph's callbacks, which is then found here alone."`
	TLSCertFile    string `name:"tls-cert-file" setting:"TLS_CERT_FILE" placeholder:"FILE" help:"Certificate chain (PEM) of the public listener; re-read when it changes."`
	TLSKeyFile     string `name:"tls-key-file" setting:"TLS_KEY_FILE" placeholder:"FILE" help:"Private key (PEM) of that certificate."`
	ACMEDomains    string `name:"acme-domains" setting:"ACME_DOMAINS" placeholder:"DOMAINS" help:"Domains to get certificates for from an ACME server, instead of TLS_CERT_FILE, separated by commas; port 443 of each must reach the public listener as it is. They are kept in Redis, for all replicas."`
	ACMEEmail      string `name:"acme-email" setting:"ACME_EMAIL" placeholder:"ADDRESS" help:"Address that the ACME server may write to."`
	ACMEDirectory  string `name:"acme-directory" setting:"ACME_DIRECTORY" placeholder:"URL" otherwise:"of Let's Encrypt" help:"Directory of the ACME server; to use it is to accept its terms."`
	ACMECAFile     string `name:"acme-ca-file" setting:"ACME_CA_FILE" placeholder:"FILE" otherwise:"the system's" help:"Authorities (PEM) trusted for the ACME server, if it is a private one."`
	RateLimit      string `name:"public-rate-limit" setting:"PUBLIC_RATE_LIMIT" placeholder:"N" otherwise:"2000" literal:"" help:"Requests a second that each source (IPv4 address, IPv6 /64) may make on Graph's paths, twice as many at once; beyond it 429; 0: no limit."`
	PublicAllow    string `name:"public-allow" setting:"PUBLIC_ALLOW" placeholder:"NETWORKS" otherwise:"everyone" help:"Addresses and networks that may call Graph's paths, separated by commas; others get 403. Graph's addresses change without notice."`
	TrustedProxies string `name:"trusted-proxies" setting:"TRUSTED_PROXIES" placeholder:"NETWORKS" help:"Addresses and networks of proxies whose X-Forwarded-For says where a request to Graph's paths comes from, separated by commas."`
	MonitorToken   Secret `name:"monitor-token" setting:"MONITOR_TOKEN" placeholder:"SECRET" help:"Token that the mediator and operators must show, as bearer token or as password of basic auth."`
	AllowAnonymous Switch `name:"allow-anonymous" setting:"ALLOW_ANONYMOUS" otherwise:"false" literal:"" help:"Start without MONITOR_TOKEN on an address that is not loopback."`

	PollInterval string `name:"poll-interval" setting:"POLL_INTERVAL" placeholder:"DURATION" otherwise:"2s" literal:"" help:"How often each monitored user is read; at least 100ms."`
	Resources    string `name:"subscription-resources" setting:"SUBSCRIPTION_RESOURCES" placeholder:"PATHS" otherwise:"/users/{id}/events" literal:"" help:"Resources subscribed to for each user, separated by commas; {id} is the directory object id."`
	Lifetime     string `name:"subscription-lifetime" setting:"SUBSCRIPTION_LIFETIME" placeholder:"DURATION" otherwise:"4200m" literal:"" help:"Life asked for a subscription, 45m to 10070m; what Graph grants is what counts."`
	Sweep        string `name:"sweep-interval" setting:"SWEEP_INTERVAL" placeholder:"DURATION" otherwise:"30m" literal:"" help:"How often Graph's list of subscriptions is compared with the records, by one replica; at least 10s."`
	Presence     Switch `name:"presence-sweep" setting:"PRESENCE_SWEEP" otherwise:"false" literal:"" help:"Also ask for the presence of all users, 650 in one call, and read at once who seems to have turned; needs Presence.Read.All. It pays beyond 26,000 users, with a longer POLL_INTERVAL."`
	Scheduled    string `name:"scheduled" setting:"SCHEDULED" placeholder:"MODE" otherwise:"window" literal:"" help:"When a scheduled reply counts: window (between its start and its end) or always."`
	Message      string `name:"message" setting:"MESSAGE" placeholder:"WHICH" otherwise:"external" literal:"" help:"Reply text that is forwarded: external or internal."`
	MessageLimit string `name:"message-limit" setting:"MESSAGE_LIMIT" placeholder:"N" otherwise:"3000" literal:"" help:"Longest message in characters, because speech services refuse more; longer ones are cut at the end of a sentence, else of a word; 0: no limit."`
	ClientStates Secret `name:"client-state-key" setting:"CLIENT_STATE_KEY" placeholder:"SECRET" otherwise:"made once, kept in Redis" help:"Secret from which the clientState of each subscription is derived; several separated by spaces while rotating."`
	EncryptCert  string `name:"encryption-cert-file" setting:"ENCRYPTION_CERT_FILE" placeholder:"FILES" help:"Certificate (PEM, RSA 2048 to 4096) with which Graph encrypts resource data; setting it asks for resource data. Several separated by commas while rotating, the first is for new subscriptions; re-read when they change."`
	EncryptKey   string `name:"encryption-key-file" setting:"ENCRYPTION_KEY_FILE" placeholder:"FILES" help:"Private keys (PEM) of those certificates, in the same order."`
	Concurrency  string `name:"delivery-concurrency" setting:"DELIVERY_CONCURRENCY" placeholder:"N" otherwise:"8" literal:"" help:"How many calls to the mediator may be in flight."`
	LogLevel     string `name:"log-level" setting:"LOG_LEVEL" placeholder:"LEVEL" otherwise:"info" literal:"" help:"debug, info, warn or error."`
	LogFormat    string `name:"log-format" setting:"LOG_FORMAT" placeholder:"FORMAT" otherwise:"json, text on a terminal" help:"json or text."`
}
