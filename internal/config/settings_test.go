package config_test

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/filetest"
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
		if verbatim := row.Name == "AZURE_CLIENT_CERTIFICATE_PASSWORD"; e[row.Name] == "" && !verbatim {
			e[row.Name] = " "
		}
	}
	if got, want := settings(t, e), settings(t, required()); !reflect.DeepEqual(got, want) {
		t.Errorf("Settings with spaces in all variables = %+v, want the defaults %+v", got, want)
	}
}

func TestValues(t *testing.T) {
	certificate, _ := ecdsaPair(t)
	rsaCert, rsaKey := rsaPair(t, 2048)
	ngrok := env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "ngrok-token"}
	local := env{"MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080"}
	withoutSecret := env{"AZURE_CLIENT_SECRET": ""}
	tokenFile := withoutSecret.with("AZURE_FEDERATED_TOKEN_FILE", filetest.Temp(t, "token", "token"))
	noIDs := env{"AZURE_CLIENT_SECRET": "", "AZURE_MANAGED_IDENTITY": "true", "AZURE_TENANT_ID": "", "AZURE_CLIENT_ID": ""}
	old := env{"MEDIATOR_URL": "", "MEDIATOR_PORT": "5000"}
	acme := env{
		"ACME_DOMAINS": "Monitor.Example.com, b.xn--bcher-kva.example,monitor.example.com", "ACME_EMAIL": "operator@example.com",
		"ACME_DIRECTORY": "https://acme.example.com:14000/dir?a=b", "ACME_CA_FILE": certificate,
		"PUBLIC_URL": "https://MONITOR.example.com:8443/base",
	}
	const selecting, tasks = "/users/{id}/events?$select=subject,showAs", "/users/{id}/todo/lists/1/tasks"
	encryption := env{"ENCRYPTION_CERT_FILE": rsaCert + " , " + rsaCert, "ENCRYPTION_KEY_FILE": rsaKey + "," + rsaKey}
	withData := "/users/{id}/mailFolders('inbox')/messages,/users/{id}/contacts,/users/{id}/messages?$filter=isRead eq false," +
		"/users/{id}/events?$filter=x&%24Select=id,/users/{id}/chats?$select=id"
	for name, tt := range map[string]struct {
		env         env
		field, want string
	}{
		"cloud in another letter case":      {env{"GRAPH_CLOUD": "USGov"}, "Graph.Cloud", "usgov"},
		"Graph endpoint":                    {env{"GRAPH_ENDPOINT": "https://127.0.0.1:9443/"}, "Graph.Endpoint", "https://127.0.0.1:9443"},
		"login endpoint with empty query":   {env{"AZURE_AUTHORITY_HOST": "https://login.example?"}, "Graph.AuthorityHost", "https://login.example"},
		"certificate password with spaces":  {env{"AZURE_CLIENT_CERTIFICATE_PASSWORD": " p "}, "Graph.CertificatePassword", " p "},
		"public URL with a trailing slash":  {env{"PUBLIC_URL": "https://monitor.example/base/"}, "PublicURL", "https://monitor.example/base"},
		"http on loopback":                  {env{"PUBLIC_URL": "http://127.0.0.1:8080"}, "PublicURL", "http://127.0.0.1:8080"},
		"an old mediator's IPv6 address":    {old.with("MEDIATOR_IP", "fd00::1"), "MediatorURL", "http://[fd00::1]:5000"},
		"the same within brackets":          {old.with("MEDIATOR_IP", "[fd00::1]"), "MediatorURL", "http://[fd00::1]:5000"},
		"mediator URL with slashes":         {env{"MEDIATOR_URL": "https://mediator.example/a//"}, "MediatorURL", "https://mediator.example/a"},
		"mediator URL with a password":      {env{"MEDIATOR_URL": "http://u:p@mediator.example"}, "MediatorURL", "http://u:p@mediator.example"},
		"two signing secrets":               {env{"MEDIATOR_SIGNING_SECRET": "whsec_bmV3  whsec_b2xk"}, "SigningSecrets", "whsec_bmV3 whsec_b2xk"},
		"Redis password with a plus sign":   {env{"REDIS_URL": "redis://:p+w@127.0.0.1"}, "RedisURL", "redis://:p+w@127.0.0.1"},
		"Redis Cluster":                     {env{"REDIS_URL": "rediss://h1?addr=h2&addr=h3"}, "RedisURL", "rediss://h1?addr=h2&addr=h3"},
		"Redis Sentinel":                    {env{"REDIS_URL": "redis://h1?master_name=m&addr=h2"}, "RedisURL", "redis://h1?master_name=m&addr=h2"},
		"PORT":                              {env{"PORT": "10000"}, "ListenAddr", ":10000"},
		"address overrides invalid PORT":    {env{"PORT": "none", "LISTEN_ADDR": "127.0.0.1:1"}, "ListenAddr", "127.0.0.1:1"},
		"private address":                   {env{"PRIVATE_ADDR": "[::1]:8081"}, "PrivateAddr", "[::1]:8081"},
		"one port of two addresses":         {env{"LISTEN_ADDR": "127.0.0.1:1", "PRIVATE_ADDR": "[::1]:1"}, "PrivateAddr", "[::1]:1"},
		"two free ports":                    {env{"LISTEN_ADDR": "127.0.0.1:0", "PRIVATE_ADDR": "127.0.0.1:0"}, "PrivateAddr", "127.0.0.1:0"},
		"anonymous":                         {env{"ALLOW_ANONYMOUS": "YES"}, "AllowAnonymous", "true"},
		"not anonymous":                     {env{"ALLOW_ANONYMOUS": "0"}, "AllowAnonymous", "false"},
		"shortest interval":                 {env{"POLL_INTERVAL": "100ms"}, "PollInterval", "100ms"},
		"two resources, comma in a query":   {env{"SUBSCRIPTION_RESOURCES": selecting + " , " + tasks + ","}, "Resources", "[" + selecting + " " + tasks + "]"},
		"shortest lifetime":                 {env{"SUBSCRIPTION_LIFETIME": "45m"}, "Lifetime", "45m0s"},
		"longest lifetime":                  {env{"SUBSCRIPTION_LIFETIME": "10070m"}, "Lifetime", "167h50m0s"},
		"no message limit":                  {env{"MESSAGE_LIMIT": "0"}, "MessageLimit", "0"},
		"most concurrent deliveries":        {env{"DELIVERY_CONCURRENCY": "1000"}, "DeliveryConcurrency", "1000"},
		"error level":                       {env{"LOG_LEVEL": "error"}, "LogLevel", "ERROR"},
		"Entra with an invalid Redis URL":   {env{"REDIS_URL": "http://h", "REDIS_AUTH": "entra"}, "RedisEntra", "true"}, // internal/store finds it
		"Entra login to Redis":              {env{"REDIS_URL": "rediss://h:10000", "REDIS_AUTH": "Entra"}, "RedisEntra", "true"},
		"no rate limit":                     {env{"PUBLIC_RATE_LIMIT": "0"}, "PublicRateLimit", "0"},
		"addresses and networks":            {env{"PUBLIC_ALLOW": "192.0.2.7, 10.1.2.3/8,::ffff:10.0.0.1"}, "PublicAllow", "[192.0.2.7/32 10.0.0.0/8 10.0.0.1/32]"},
		"every address":                     {env{"PUBLIC_ALLOW": "0.0.0.0/0,::/0"}, "PublicAllow", "[0.0.0.0/0 ::/0]"},
		"trusted proxies":                   {env{"TRUSTED_PROXIES": "10.0.0.0/8,fd00::1,"}, "TrustedProxies", "[10.0.0.0/8 fd00::1/128]"},
		"duplicate domain":                  {acme, "ACMEDomains", "[monitor.example.com b.xn--bcher-kva.example]"},
		"domain without PUBLIC_URL":         {env{"ACME_DOMAINS": "a.example"}, "ACMEDomains", "[a.example]"},
		"private ACME server":               {acme, "ACMEDirectory", "https://acme.example.com:14000/dir?a=b"},
		"email address for ACME":            {acme, "ACMEEmail", "operator@example.com"},
		"authorities of the ACME server":    {acme, "ACMECAFile", certificate},
		"encryption pairs":                  {encryption, "EncryptionCertFiles", "[" + rsaCert + " " + rsaCert + "]"},
		"resource data":                     {encryption.with("SUBSCRIPTION_RESOURCES", withData), "Resources", "[" + strings.ReplaceAll(withData, ",", " ") + "]"},
		"tasks without resource data":       {env{"SUBSCRIPTION_RESOURCES": tasks}, "Resources", "[" + tasks + "]"},
		"ngrok tunnel":                      {ngrok, "Tunnel.NgrokToken", "ngrok-token"},
		"ngrok without a token on loopback": {local.and(ngrok), "Tunnel.Kind", "ngrok"},
		"reserved ngrok domain":             {ngrok.with("NGROK_URL", "https://ours.ngrok.app/"), "Tunnel.NgrokURL", "https://ours.ngrok.app"},
		"tunnel exposes all paths":          {ngrok.with("TUNNEL_EXPOSE", "all"), "Tunnel.ExposeAll", "true"},
		"agent tunnel":                      {env{"TUNNEL": "agent", "NGROK_AGENT_URL": "http://localhost:1/"}, "Tunnel.AgentURL", "http://localhost:1"},
		"agent tunnel, private address":     {local.and(env{"TUNNEL": "agent", "PRIVATE_ADDR": "127.0.0.1:8081"}), "Tunnel.Kind", "agent"},
		"agent tunnel, anonymous":           {env{"TUNNEL": "agent", "MONITOR_TOKEN": "", "ALLOW_ANONYMOUS": "true"}, "Tunnel.Kind", "agent"},
		"secret before certificate":         {env{"AZURE_CLIENT_CERTIFICATE_PATH": certificate}, "Graph.Credential", "client secret"},
		"certificate before token file":     {tokenFile.with("AZURE_CLIENT_CERTIFICATE_PATH", certificate), "Graph.Credential", "certificate"},
		"token file before identity":        {tokenFile.with("IDENTITY_ENDPOINT", "x"), "Graph.Credential", "workload identity"},
		"managed identity, platform":        {withoutSecret.with("IDENTITY_ENDPOINT", "x"), "Graph.Credential", "managed identity"},
		"managed identity, older platform":  {withoutSecret.with("MSI_ENDPOINT", "x"), "Graph.Credential", "managed identity"},
		"managed identity turned on":        {withoutSecret.with("AZURE_MANAGED_IDENTITY", "on"), "Graph.Credential", "managed identity"},
		"managed identity without ids":      {noIDs, "Graph.Credential", "managed identity"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := field(settings(t, required().and(tt.env)), tt.field); got != tt.want {
				t.Errorf("%s with %v = %s, want %s", tt.field, tt.env, got, tt.want)
			}
		})
	}
}

// field returns the text of a field of the settings, such as Graph.Endpoint.
func field(s config.Settings, path string) string {
	value := reflect.ValueOf(s)
	for name := range strings.SplitSeq(path, ".") {
		value = value.FieldByName(name)
	}
	switch v := value.Interface().(type) {
	case config.Secret:
		return v.Reveal()
	case []config.Secret:
		var all []string
		for _, secret := range v {
			all = append(all, secret.Reveal())
		}
		return strings.Join(all, " ")
	default:
		return fmt.Sprint(v)
	}
}

func TestOldVariables(t *testing.T) {
	old := env{"TENANT": "old.example", "CLIENT_ID": "old", "CLIENT_SECRET": "old-secret", "MEDIATOR_IP": "10.1.2.3", "MEDIATOR_PORT": "5000"}
	token := env{"MONITOR_TOKEN": "a-monitor-token-0123"}
	want := settings(t, token.and(env{
		"AZURE_TENANT_ID": "old.example", "AZURE_CLIENT_ID": "old", "AZURE_CLIENT_SECRET": "old-secret", "MEDIATOR_URL": "http://10.1.2.3:5000",
	}))
	if got := settings(t, token.and(old)); !reflect.DeepEqual(got, want) {
		t.Errorf("Settings with old variables = %+v, want %+v", got, want)
	}
	if got, want := settings(t, old.and(required())), settings(t, required()); !reflect.DeepEqual(got, want) {
		t.Errorf("Settings with old and new variables = %+v, want those of the new ones: %+v", got, want)
	}
}

func TestWhenTokenIsRequired(t *testing.T) {
	for name, tt := range map[string]struct {
		env      env
		required bool
	}{
		"all addresses":                   {env{}, true},
		"network address":                 {env{"LISTEN_ADDR": "10.0.0.5:8080"}, true},
		"name that begins with localhost": {env{"LISTEN_ADDR": "localhost.example:8080"}, true},
		"another loopback address":        {env{"LISTEN_ADDR": "127.8.9.1:8080"}, false},
		"IPv6 loopback":                   {env{"LISTEN_ADDR": "[::1]:8080"}, false},
		"IPv4-mapped loopback":            {env{"LISTEN_ADDR": "[::ffff:127.0.0.1]:8080"}, false},
		"localhost":                       {env{"LISTEN_ADDR": "LocalHost:8080"}, false},
		"private routes on loopback":      {env{"LISTEN_ADDR": ":8080", "PRIVATE_ADDR": "127.0.0.1:8081"}, false},
		"private routes on all addresses": {env{"LISTEN_ADDR": "127.0.0.1:8080", "PRIVATE_ADDR": ":8081"}, true},
		"all addresses with a token":      {env{"MONITOR_TOKEN": "sixteen-letters-"}, false},
		"loopback with a short token":     {env{"LISTEN_ADDR": "127.0.0.1:8080", "MONITOR_TOKEN": "t"}, false},
		"all addresses, anonymous":        {env{"ALLOW_ANONYMOUS": "true"}, false},
	} {
		found := mistakes(t, required().with("MONITOR_TOKEN", "").and(tt.env))
		if _, required := found["MONITOR_TOKEN"]; required != tt.required || len(found) > 1 {
			t.Errorf("%s: mistakes = %v, want one of MONITOR_TOKEN: %t", name, found, tt.required)
		}
	}
}
