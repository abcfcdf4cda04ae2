package config_test

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/config"
)

func TestDefaults(t *testing.T) {
	want := config.Settings{
		Graph: config.Graph{
			Cloud:    "global",
			TenantID: "contoso.example", ClientID: "11111111-2222-3333-4444-555555555555",
			Credential: config.ClientSecret, ClientSecret: config.NewSecret("client-secret"),
		},
		Tunnel:              config.Tunnel{Kind: config.NoTunnel, AgentURL: config.NewURL("http://127.0.0.1:4040")},
		MediatorURL:         config.NewURL("http://mediator.example:5000"),
		ListenAddr:          ":8080",
		MonitorToken:        config.NewSecret("a-monitor-token-0123"),
		PublicRateLimit:     2000,
		PollInterval:        2 * time.Second,
		Resources:           []string{"/users/{id}/events"},
		Lifetime:            4200 * time.Minute,
		SweepInterval:       30 * time.Minute,
		Scheduled:           "window",
		Message:             "external",
		MessageLimit:        3000,
		DeliveryConcurrency: 8,
		LogLevel:            slog.LevelInfo,
	}
	if got := settings(t, required()); !reflect.DeepEqual(got, want) {
		t.Errorf("Settings = %+v, want %+v", got, want)
	}
}

func TestBlankValuesCountAsNotSet(t *testing.T) {
	e := required()
	for _, row := range config.Table() {
		_, set := e[row.Name]
		if verbatim := row.Name == "AZURE_CLIENT_CERTIFICATE_PASSWORD"; !set && !verbatim {
			e[row.Name] = " "
		}
	}
	if got, want := settings(t, e), settings(t, required()); !reflect.DeepEqual(got, want) {
		t.Errorf("Settings with spaces in all variables = %+v, want the defaults %+v", got, want)
	}
}

func TestLiteralDefaultsAreValid(t *testing.T) {
	e := required()
	for _, row := range config.Table() {
		if row.Literal {
			e[row.Name] = row.Default
		}
	}
	if got, want := settings(t, e), settings(t, required()); !reflect.DeepEqual(got, want) {
		t.Errorf("Settings with all defaults written out = %+v, want %+v", got, want)
	}
}

func TestValues(t *testing.T) {
	certificate, key := ecdsaPair(t)
	rsaCert, rsaKey := rsaPair(t, 2048)
	token := file(t, "token", []byte("token"))
	ngrok := env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "ngrok-token"}
	acme := env{
		"ACME_DOMAINS": "Monitor.Example.com, b.xn--bcher-kva.example,monitor.example.com", "ACME_EMAIL": "operator@example.com",
		"ACME_DIRECTORY": "https://acme.example.com:14000/dir?a=b", "ACME_CA_FILE": certificate,
		"PUBLIC_URL": "https://MONITOR.example.com:8443/base",
	}
	const selecting = "/users/{id}/events?$select=subject,showAs,start"
	withData := "/users/{id}/mailFolders('inbox')/messages,/users/{id}/contacts,/users/{id}/messages?$filter=isRead eq false," +
		"/users/{id}/events?$filter=x&%24Select=id,/users/{id}/chats?$select=id"
	tests := map[string]struct {
		env  env
		got  func(config.Settings) any
		want any
	}{
		"cloud in another letter case":      {env{"GRAPH_CLOUD": "USGov"}, func(s config.Settings) any { return s.Graph.Cloud }, "usgov"},
		"Graph endpoint":                    {env{"GRAPH_ENDPOINT": "https://127.0.0.1:9443/"}, func(s config.Settings) any { return s.Graph.Endpoint }, "https://127.0.0.1:9443"},
		"login endpoint":                    {env{"AZURE_AUTHORITY_HOST": "https://127.0.0.1:9443//"}, func(s config.Settings) any { return s.Graph.AuthorityHost }, "https://127.0.0.1:9443"},
		"certificate password keeps spaces": {env{"AZURE_CLIENT_CERTIFICATE_PASSWORD": " p "}, func(s config.Settings) any { return s.Graph.CertificatePassword.Reveal() }, " p "},
		"public URL with a trailing slash":  {env{"PUBLIC_URL": "https://monitor.example/base/"}, func(s config.Settings) any { return s.PublicURL.Reveal() }, "https://monitor.example/base"},
		"http on loopback":                  {env{"PUBLIC_URL": "http://127.0.0.1:8080"}, func(s config.Settings) any { return s.PublicURL.Reveal() }, "http://127.0.0.1:8080"},
		"an old mediator's IPv6 address":    {env{"MEDIATOR_URL": "", "MEDIATOR_IP": "fd00::1", "MEDIATOR_PORT": "5000"}, mediator, "http://[fd00::1]:5000"},
		"the same within brackets":          {env{"MEDIATOR_URL": "", "MEDIATOR_IP": "[fd00::1]", "MEDIATOR_PORT": "5000"}, mediator, "http://[fd00::1]:5000"},
		"a mediator URL loses its slashes":  {env{"MEDIATOR_URL": "https://mediator.example/voice//"}, mediator, "https://mediator.example/voice"},
		"mediator URL with a password":      {env{"MEDIATOR_URL": "http://u:p@mediator.example"}, mediator, "http://u:p@mediator.example"},
		"two signing secrets":               {env{"MEDIATOR_SIGNING_SECRET": "whsec_bmV3ZXI=  whsec_b2xkZXI="}, func(s config.Settings) any { return revealed(s.SigningSecrets) }, "whsec_bmV3ZXI=|whsec_b2xkZXI="},
		"Redis password with a plus sign":   {env{"REDIS_URL": "redis://:p+w@127.0.0.1"}, func(s config.Settings) any { return s.RedisURL.Reveal() }, "redis://:p+w@127.0.0.1"},
		"Redis Cluster":                     {env{"REDIS_URL": "rediss://h1:6379?addr=h2:6379&addr=h3:6379"}, func(s config.Settings) any { return s.RedisURL.Reveal() }, "rediss://h1:6379?addr=h2:6379&addr=h3:6379"},
		"Redis Sentinel":                    {env{"REDIS_URL": "redis://h1:26379?master_name=m&addr=h2:26379"}, func(s config.Settings) any { return s.RedisURL.Reveal() }, "redis://h1:26379?master_name=m&addr=h2:26379"},
		"PORT":                              {env{"PORT": "10000"}, func(s config.Settings) any { return s.ListenAddr }, ":10000"},
		"address overrides invalid PORT":    {env{"PORT": "none", "LISTEN_ADDR": "127.0.0.1:1"}, func(s config.Settings) any { return s.ListenAddr }, "127.0.0.1:1"},
		"private address":                   {env{"PRIVATE_ADDR": "[::1]:8081"}, func(s config.Settings) any { return s.PrivateAddr }, "[::1]:8081"},
		"two free ports":                    {env{"LISTEN_ADDR": "127.0.0.1:0", "PRIVATE_ADDR": "127.0.0.1:0"}, func(s config.Settings) any { return s.PrivateAddr }, "127.0.0.1:0"},
		"certificate and key":               {env{"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": key}, func(s config.Settings) any { return s.TLSCertFile + s.TLSKeyFile }, certificate + key},
		"anonymous":                         {env{"ALLOW_ANONYMOUS": "YES"}, func(s config.Settings) any { return s.AllowAnonymous }, true},
		"not anonymous":                     {env{"ALLOW_ANONYMOUS": "0"}, func(s config.Settings) any { return s.AllowAnonymous }, false},
		"shortest interval":                 {env{"POLL_INTERVAL": "100ms"}, func(s config.Settings) any { return s.PollInterval }, 100 * time.Millisecond},
		"two resources":                     {env{"SUBSCRIPTION_RESOURCES": " /users/{id}/events , /users/{id}/messages,"}, func(s config.Settings) any { return strings.Join(s.Resources, "|") }, "/users/{id}/events|/users/{id}/messages"},
		"commas in queries":                 {env{"SUBSCRIPTION_RESOURCES": selecting + ", /users/{id}/messages"}, func(s config.Settings) any { return strings.Join(s.Resources, "|") }, selecting + "|/users/{id}/messages"},
		"shortest lifetime":                 {env{"SUBSCRIPTION_LIFETIME": "45m"}, func(s config.Settings) any { return s.Lifetime }, 45 * time.Minute},
		"longest lifetime":                  {env{"SUBSCRIPTION_LIFETIME": "10070m"}, func(s config.Settings) any { return s.Lifetime }, 10070 * time.Minute},
		"internal message":                  {env{"MESSAGE": "internal"}, func(s config.Settings) any { return s.Message }, "internal"},
		"no message limit":                  {env{"MESSAGE_LIMIT": "0"}, func(s config.Settings) any { return s.MessageLimit }, 0},
		"most concurrent deliveries":        {env{"DELIVERY_CONCURRENCY": "1000"}, func(s config.Settings) any { return s.DeliveryConcurrency }, 1000},
		"error level":                       {env{"LOG_LEVEL": "error"}, func(s config.Settings) any { return s.LogLevel }, slog.LevelError},
		"text log":                          {env{"LOG_FORMAT": "Text"}, func(s config.Settings) any { return s.LogFormat }, "text"},
		"Entra login to Redis":              {env{"REDIS_URL": "rediss://h:10000", "REDIS_AUTH": "Entra"}, func(s config.Settings) any { return s.RedisEntra }, true},
		"no rate limit":                     {env{"PUBLIC_RATE_LIMIT": "0"}, func(s config.Settings) any { return s.PublicRateLimit }, 0},
		"addresses and networks":            {env{"PUBLIC_ALLOW": "192.0.2.7, 20.20.32.0/19,2603:1000::1/24 ,::ffff:198.51.100.1"}, allowed, "[192.0.2.7/32 20.20.32.0/19 2603:1000::/24 198.51.100.1/32]"},
		"network with host bits":            {env{"PUBLIC_ALLOW": "10.1.2.3/8"}, allowed, "[10.0.0.0/8]"},
		"every address":                     {env{"PUBLIC_ALLOW": "0.0.0.0/0,::/0"}, allowed, "[0.0.0.0/0 ::/0]"},
		"trusted proxies":                   {env{"TRUSTED_PROXIES": "10.0.0.0/8,fd00::1,"}, func(s config.Settings) any { return fmt.Sprint(s.TrustedProxies) }, "[10.0.0.0/8 fd00::1/128]"},
		"duplicate domain":                  {acme, func(s config.Settings) any { return strings.Join(s.ACMEDomains, "|") }, "monitor.example.com|b.xn--bcher-kva.example"},
		"domain without PUBLIC_URL":         {env{"ACME_DOMAINS": "a.example"}, func(s config.Settings) any { return strings.Join(s.ACMEDomains, "|") }, "a.example"},
		"private ACME server":               {acme, func(s config.Settings) any { return s.ACMEDirectory + s.ACMEEmail + s.ACMECAFile }, "https://acme.example.com:14000/dir?a=boperator@example.com" + certificate},
		"encryption pairs": {env{"ENCRYPTION_CERT_FILE": rsaCert + " , " + rsaCert, "ENCRYPTION_KEY_FILE": rsaKey + "," + rsaKey},
			func(s config.Settings) any {
				return strings.Join(slices.Concat(s.EncryptionCertFiles, s.EncryptionKeyFiles), "|")
			},
			rsaCert + "|" + rsaCert + "|" + rsaKey + "|" + rsaKey},
		"resource data": {env{"ENCRYPTION_CERT_FILE": rsaCert, "ENCRYPTION_KEY_FILE": rsaKey, "SUBSCRIPTION_RESOURCES": withData},
			func(s config.Settings) any { return strings.Join(s.Resources, ",") }, withData},
		"tasks and others without resource data": {env{"SUBSCRIPTION_RESOURCES": "/users/{id}/todo/lists/1/tasks,/users/{id}/chats"},
			func(s config.Settings) any { return len(s.Resources) }, 2},
		"ngrok tunnel": {ngrok, tunnel, "ngrok ngrok-token http://127.0.0.1:4040"},
		"ngrok tunnel without a token on loopback": {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "ngrok-token", "MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080"}, tunnel, "ngrok ngrok-token http://127.0.0.1:4040"},
		"reserved ngrok domain":                    {ngrok.and(env{"NGROK_URL": "https://monitor.ngrok.app/"}), func(s config.Settings) any { return s.Tunnel.NgrokURL }, "https://monitor.ngrok.app"},
		"tunnel exposes all paths":                 {ngrok.and(env{"TUNNEL_EXPOSE": "all"}), func(s config.Settings) any { return s.Tunnel.ExposeAll }, true},
		"agent tunnel":                             {env{"TUNNEL": "agent", "NGROK_AGENT_URL": "http://localhost:4041/"}, tunnel, "agent  http://localhost:4041"},
		"agent tunnel with a private address": {env{"TUNNEL": "agent", "MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080", "PRIVATE_ADDR": "127.0.0.1:8081"},
			tunnel, "agent  http://127.0.0.1:4040"},
		"agent tunnel, anonymous":               {env{"TUNNEL": "agent", "MONITOR_TOKEN": "", "ALLOW_ANONYMOUS": "true"}, tunnel, "agent  http://127.0.0.1:4040"},
		"secret before certificate":             {env{"AZURE_CLIENT_CERTIFICATE_PATH": certificate}, credential, config.ClientSecret},
		"certificate before token file":         {env{"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_CERTIFICATE_PATH": certificate, "AZURE_FEDERATED_TOKEN_FILE": token}, credential, config.Certificate},
		"token file before managed identity":    {env{"AZURE_CLIENT_SECRET": "", "AZURE_FEDERATED_TOKEN_FILE": token, "IDENTITY_ENDPOINT": "http://127.0.0.1"}, credential, config.WorkloadIdentity},
		"managed identity of the platform":      {env{"AZURE_CLIENT_SECRET": "", "IDENTITY_ENDPOINT": "http://127.0.0.1"}, credential, config.ManagedIdentity},
		"managed identity of an older platform": {env{"AZURE_CLIENT_SECRET": "", "MSI_ENDPOINT": "http://127.0.0.1"}, credential, config.ManagedIdentity},
		"managed identity turned on":            {env{"AZURE_CLIENT_SECRET": "", "AZURE_MANAGED_IDENTITY": "on"}, credential, config.ManagedIdentity},
		"managed identity without a tenant":     {env{"AZURE_CLIENT_SECRET": "", "AZURE_MANAGED_IDENTITY": "true", "AZURE_TENANT_ID": "", "AZURE_CLIENT_ID": ""}, credential, config.ManagedIdentity},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.got(settings(t, required().and(tt.env))); got != tt.want {
				t.Errorf("setting with %v = %v, want %v", tt.env, got, tt.want)
			}
		})
	}
}

func mediator(s config.Settings) any { return s.MediatorURL.Reveal() }

func allowed(s config.Settings) any { return fmt.Sprint(s.PublicAllow) }

func tunnel(s config.Settings) any {
	return string(s.Tunnel.Kind) + " " + s.Tunnel.NgrokToken.Reveal() + " " + s.Tunnel.AgentURL.Reveal()
}

func credential(s config.Settings) any { return s.Graph.Credential }

func revealed(secrets []config.Secret) string {
	var all []string
	for _, s := range secrets {
		all = append(all, s.Reveal())
	}
	return strings.Join(all, "|")
}

func TestOldVariables(t *testing.T) {
	old := env{
		"TENANT": "contoso.example", "CLIENT_ID": "11111111-2222-3333-4444-555555555555", "CLIENT_SECRET": "client-secret",
		"MEDIATOR_IP": "10.1.2.3", "MEDIATOR_PORT": "5000", "MONITOR_TOKEN": "a-monitor-token-0123",
	}
	if got, want := settings(t, old), settings(t, required().with("MEDIATOR_URL", "http://10.1.2.3:5000")); !reflect.DeepEqual(got, want) {
		t.Errorf("Settings with old variables = %+v, want %+v", got, want)
	}
}

func TestNewVariablesOverrideOldOnes(t *testing.T) {
	both := required().with("TENANT", "old.example", "CLIENT_ID", "old", "CLIENT_SECRET", "old", "MEDIATOR_IP", "10.1.2.3", "MEDIATOR_PORT", "1")
	if got, want := settings(t, both), settings(t, required()); !reflect.DeepEqual(got, want) {
		t.Errorf("Settings with old and new variables = %+v, want %+v", got, want)
	}
}

func TestWhenTokenIsRequired(t *testing.T) {
	tests := map[string]struct {
		env      env
		required bool
	}{
		"all addresses":                    {env{}, true},
		"PORT":                             {env{"PORT": "10000"}, true},
		"network address":                  {env{"LISTEN_ADDR": "10.0.0.5:8080"}, true},
		"name that begins with localhost":  {env{"LISTEN_ADDR": "localhost.example:8080"}, true},
		"another loopback address":         {env{"LISTEN_ADDR": "127.8.9.1:8080"}, false},
		"IPv6 loopback":                    {env{"LISTEN_ADDR": "[::1]:8080"}, false},
		"IPv4-mapped loopback":             {env{"LISTEN_ADDR": "[::ffff:127.0.0.1]:8080"}, false},
		"localhost":                        {env{"LISTEN_ADDR": "LocalHost:8080"}, false},
		"private routes on loopback":       {env{"LISTEN_ADDR": ":8080", "PRIVATE_ADDR": "127.0.0.1:8081"}, false},
		"private routes on all addresses":  {env{"LISTEN_ADDR": "127.0.0.1:8080", "PRIVATE_ADDR": ":8081"}, true},
		"all addresses with a token":       {env{"MONITOR_TOKEN": "sixteen-letters-"}, false},
		"loopback with a short token":      {env{"LISTEN_ADDR": "127.0.0.1:8080", "MONITOR_TOKEN": "t"}, false},
		"all addresses, anonymous":         {env{"ALLOW_ANONYMOUS": "true"}, false},
		"all addresses with a blank token": {env{"MONITOR_TOKEN": "  "}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found := mistakes(t, required().with("MONITOR_TOKEN", "").and(tt.env))
			if _, required := found["MONITOR_TOKEN"]; required != tt.required || len(found) > 1 {
				t.Errorf("mistakes = %v, want one of MONITOR_TOKEN: %t", found, tt.required)
			}
		})
	}
}
