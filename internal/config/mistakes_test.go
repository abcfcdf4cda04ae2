package config_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/filetest"
)

func TestAllMistakesReportedAtOnce(t *testing.T) {
	e := env{
		"AZURE_TENANT_ID":         "two words",
		"AZURE_MANAGED_IDENTITY":  "perhaps",
		"AZURE_AUTHORITY_HOST":    "http://login.example",
		"GRAPH_CLOUD":             "moon",
		"GRAPH_ENDPOINT":          "https://graph.example/v1.0",
		"PUBLIC_URL":              "http://monitor.example",
		"MEDIATOR_TOKEN":          "one\ntwo",
		"MEDIATOR_SIGNING_SECRET": "whsec_no-base64!",
		"LISTEN_ADDR":             "8080",
		"PRIVATE_ADDR":            "8081",
		"TLS_CERT_FILE":           "/nowhere/cert.pem",
		"ALLOW_ANONYMOUS":         "maybe",
		"POLL_INTERVAL":           "2",
		"SUBSCRIPTION_RESOURCES":  "/me/events",
		"SUBSCRIPTION_LIFETIME":   "1m",
		"SCHEDULED":               "never",
		"TUNNEL":                  "tailscale",
		"TUNNEL_EXPOSE":           "some",
		"MESSAGE":                 "both",
		"MESSAGE_LIMIT":           "-1",
		"DELIVERY_CONCURRENCY":    "0",
		"LOG_LEVEL":               "loud",
		"LOG_FORMAT":              "xml",
	}
	want := slices.Sorted(maps.Keys(e))
	want = append(want, "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "MEDIATOR_URL", "MONITOR_TOKEN", "TLS_KEY_FILE")
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(mistakes(t, e))); !slices.Equal(got, want) {
		t.Errorf("mistakes name\n%v, want\n%v", got, want)
	}
}

func TestMistakes(t *testing.T) {
	certificate, itsKey := ecdsaPair(t)
	_, key := ecdsaPair(t)
	junk := filetest.Temp(t, "ca.pem", "no certificate")
	encryptionCert, encryptionKey := rsaPair(t, 2048)
	otherCert, otherKey := rsaPair(t, 2048)
	weakCert, weakKey := rsaPair(t, 1024)
	folder := t.TempDir()
	encryption := func(certs, keys string) env { return env{"ENCRYPTION_CERT_FILE": certs, "ENCRYPTION_KEY_FILE": keys} }
	resourceData := func(resource string) env {
		return encryption(encryptionCert, encryptionKey).with("SUBSCRIPTION_RESOURCES", resource)
	}
	managed := func(without string) env {
		e := encryption(encryptionCert, encryptionKey)
		e["AZURE_CLIENT_SECRET"], e["AZURE_MANAGED_IDENTITY"], e[without] = "", "true", ""
		return e
	}
	old := env{"MEDIATOR_URL": "", "MEDIATOR_IP": "10.1.2.3", "MEDIATOR_PORT": "5000"}
	mistakeTests{
		"no tenant":                             {env{"AZURE_TENANT_ID": ""}, "AZURE_TENANT_ID", "is not set"},
		"tenant with a slash":                   {env{"AZURE_TENANT_ID": "a/b"}, "AZURE_TENANT_ID", `"a/b"`},
		"invalid old client":                    {env{"AZURE_CLIENT_ID": "", "CLIENT_ID": "a b"}, "CLIENT_ID", `"a b"`},
		"managed identity turned off":           {env{"AZURE_CLIENT_SECRET": "", "IDENTITY_ENDPOINT": "x", "AZURE_MANAGED_IDENTITY": "no"}, "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"},
		"client secret on two lines":            {env{"AZURE_CLIENT_SECRET": "one\ntwo"}, "AZURE_CLIENT_SECRET", "line"},
		"missing certificate file":              {env{"AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere"}, "AZURE_CLIENT_CERTIFICATE_PATH", "/nowhere"},
		"unknown cloud":                         {env{"GRAPH_CLOUD": "germany"}, "GRAPH_CLOUD", "global, usgov, dod or china"},
		"Graph with a password":                 {env{"GRAPH_ENDPOINT": "https://u:p@graph.example"}, "GRAPH_ENDPOINT", "base URL"},
		"Graph with an invalid port":            {env{"GRAPH_ENDPOINT": "https://graph.example:99999"}, "GRAPH_ENDPOINT", "base URL"},
		"login endpoint with a path":            {env{"AZURE_AUTHORITY_HOST": "https://login.example/tenant"}, "AZURE_AUTHORITY_HOST", "base URL"},
		"public URL without TLS":                {env{"PUBLIC_URL": "http://localhost.example"}, "PUBLIC_URL", "https"},
		"public URL with a password":            {env{"PUBLIC_URL": "https://u:very-secret@monitor.example"}, "PUBLIC_URL", "without a user or password"},
		"public URL with a query":               {env{"PUBLIC_URL": "https://monitor.example/?x=1"}, "PUBLIC_URL", "query"},
		"public URL with an empty query":        {env{"PUBLIC_URL": "https://monitor.example/?"}, "PUBLIC_URL", "query"},
		"public URL with a fragment":            {env{"PUBLIC_URL": "https://monitor.example/#x"}, "PUBLIC_URL", "fragment"},
		"public URL with another scheme":        {env{"PUBLIC_URL": "ftp://monitor.example"}, "PUBLIC_URL", "base URL"},
		"old mediator with an invalid port":     {old.with("MEDIATOR_PORT", "http"), "MEDIATOR_IP", "and MEDIATOR_PORT are not a host"},
		"old mediator without an address":       {old.with("MEDIATOR_IP", ""), "MEDIATOR_URL", "is not set"},
		"old mediator with port 0":              {old.with("MEDIATOR_PORT", "0"), "MEDIATOR_IP", "and MEDIATOR_PORT are not a host"},
		"old mediator is a URL":                 {old.with("MEDIATOR_IP", "http://10.1.2.3"), "MEDIATOR_IP", "are not a host and a port: set MEDIATOR_URL"},
		"old mediator with a path":              {old.with("MEDIATOR_IP", "10.1.2.3/x"), "MEDIATOR_IP", "are not a host and a port: set MEDIATOR_URL"},
		"signing secret without prefix":         {env{"MEDIATOR_SIGNING_SECRET": "c2VjcmV0"}, "MEDIATOR_SIGNING_SECRET", "whsec_"},
		"empty signing secret":                  {env{"MEDIATOR_SIGNING_SECRET": "whsec_"}, "MEDIATOR_SIGNING_SECRET", "base64"},
		"one of two signing secrets is invalid": {env{"MEDIATOR_SIGNING_SECRET": "whsec_c2VjcmV0 whsec_?"}, "MEDIATOR_SIGNING_SECRET", "base64"},
		"both signing secrets are invalid":      {env{"MEDIATOR_SIGNING_SECRET": "whsec_! whsec_?"}, "MEDIATOR_SIGNING_SECRET", "base64"},
		"unknown Redis login":                   {env{"REDIS_AUTH": "keys"}, "REDIS_AUTH", "url or entra"},
		"Entra without a Redis":                 {env{"REDIS_AUTH": "entra"}, "REDIS_AUTH", "rediss://"},
		"Entra without TLS":                     {env{"REDIS_AUTH": "entra", "REDIS_URL": "redis://h:10000"}, "REDIS_AUTH", "rediss://"},
		"Entra and a user":                      {env{"REDIS_AUTH": "entra", "REDIS_URL": "rediss://u@h:10000"}, "REDIS_AUTH", "user or password"},
		"Entra and a password in the query":     {env{"REDIS_AUTH": "entra", "REDIS_URL": "rediss://h?password=p"}, "REDIS_AUTH", "user or password"},
		"Entra behind Sentinel":                 {env{"REDIS_AUTH": "entra", "REDIS_URL": "rediss://h?master_name=m"}, "REDIS_AUTH", "Sentinel"},
		"short token":                           {env{"MONITOR_TOKEN": "fifteen-letters"}, "MONITOR_TOKEN", "at least 16"},
		"PORT too high":                         {env{"PORT": "65536"}, "PORT", "65535"},
		"address with an invalid port":          {env{"LISTEN_ADDR": "127.0.0.1:http"}, "LISTEN_ADDR", "port"},
		"private address equals PORT":           {env{"PORT": "10000", "PRIVATE_ADDR": ":10000"}, "PRIVATE_ADDR", "PORT"},
		"private address is one of all":         {env{"PORT": "10000", "PRIVATE_ADDR": "[::1]:10000"}, "PRIVATE_ADDR", "PORT"},
		"listen address is one of all":          {env{"LISTEN_ADDR": "127.0.0.1:1", "PRIVATE_ADDR": "0.0.0.0:1"}, "PRIVATE_ADDR", "LISTEN_ADDR"},
		"key without a certificate":             {env{"TLS_KEY_FILE": key}, "TLS_CERT_FILE", "TLS_KEY_FILE"},
		"key of another certificate":            {env{"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": key}, "TLS_CERT_FILE", "matching certificate"},
		"missing key file":                      {env{"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": "/nowhere"}, "TLS_KEY_FILE", "/nowhere"},
		"invalid bool":                          {env{"ALLOW_ANONYMOUS": "2"}, "ALLOW_ANONYMOUS", "false or true"},
		"interval too short":                    {env{"POLL_INTERVAL": "99ms"}, "POLL_INTERVAL", "100ms"},
		"lifetime too long":                     {env{"SUBSCRIPTION_LIFETIME": "10071m"}, "SUBSCRIPTION_LIFETIME", "10070m"},
		"only commas":                           {env{"SUBSCRIPTION_RESOURCES": ", ,"}, "SUBSCRIPTION_RESOURCES", "no resource"},
		"resource without {id}":                 {env{"SUBSCRIPTION_RESOURCES": "/users/events"}, "SUBSCRIPTION_RESOURCES", "{id}"},
		"resource with an empty path":           {env{"SUBSCRIPTION_RESOURCES": "/users/{id}/"}, "SUBSCRIPTION_RESOURCES", "/users/{id}/"},
		"resource outside /users":               {env{"SUBSCRIPTION_RESOURCES": "/groups/{id}/events"}, "SUBSCRIPTION_RESOURCES", "/users/{id}/"},
		"duplicate resource":                    {env{"SUBSCRIPTION_RESOURCES": "/users/{id}/events,/users/{id}/events"}, "SUBSCRIPTION_RESOURCES", "twice"},
		"mailbox settings as a resource":        {env{"SUBSCRIPTION_RESOURCES": "/users/{id}/mailboxSettings"}, "SUBSCRIPTION_RESOURCES", "polled"},
		"presence as a resource":                {env{"SUBSCRIPTION_RESOURCES": "communications/presences/{id}"}, "SUBSCRIPTION_RESOURCES", "signed-in"},
		"resource with an unsupported option":   {env{"SUBSCRIPTION_RESOURCES": "/users/{id}/messages?$filter=x&$Top=5"}, "SUBSCRIPTION_RESOURCES", `"$top": Graph allows only`},
		"escaped option":                        {env{"SUBSCRIPTION_RESOURCES": "/users/{id}/events?%24orderby=start"}, "SUBSCRIPTION_RESOURCES", `"$orderby"`},
		"concurrency too high":                  {env{"DELIVERY_CONCURRENCY": "1001"}, "DELIVERY_CONCURRENCY", "1000"},
		"negative limit":                        {env{"PUBLIC_RATE_LIMIT": "-1"}, "PUBLIC_RATE_LIMIT", "from 0"},
		"limit too high":                        {env{"PUBLIC_RATE_LIMIT": "1000001"}, "PUBLIC_RATE_LIMIT", "to 1000000"},
		"name instead of an address":            {env{"PUBLIC_ALLOW": "192.0.2.7,graph.microsoft.com"}, "PUBLIC_ALLOW", `"graph.microsoft.com"`},
		"only commas as networks":               {env{"PUBLIC_ALLOW": ","}, "PUBLIC_ALLOW", "names no network"},
		"pattern in the path of the public URL": {env{"PUBLIC_URL": "https://a.example/%2Ax"}, "PUBLIC_URL", "asterisk"},
		"IPv4-mapped IPv6 network":              {env{"PUBLIC_ALLOW": "::ffff:192.0.2.0/120"}, "PUBLIC_ALLOW", "/120"},
		"every address is a trusted proxy":      {env{"TRUSTED_PROXIES": "10.0.0.1,0.0.0.0/0"}, "TRUSTED_PROXIES", "0.0.0.0/0"},
		"domain of one label":                   {env{"ACME_DOMAINS": "localhost"}, "ACME_DOMAINS", `"localhost"`},
		"domain with a port":                    {env{"ACME_DOMAINS": "a.example,b.example:443"}, "ACME_DOMAINS", `"b.example:443"`},
		"wildcard":                              {env{"ACME_DOMAINS": "*.example.com"}, "ACME_DOMAINS", "wildcard"},
		"address instead of a domain":           {env{"ACME_DOMAINS": "192.0.2.7"}, "ACME_DOMAINS", "192.0.2.7"},
		"domain too long":                       {env{"ACME_DOMAINS": strings.Repeat("a.", 130) + "example"}, "ACME_DOMAINS", "a.a.a."},
		"two sources of the certificate":        {env{"ACME_DOMAINS": "a.example", "TLS_CERT_FILE": certificate, "TLS_KEY_FILE": itsKey}, "ACME_DOMAINS", "TLS_CERT_FILE"},
		"PUBLIC_URL is not in ACME_DOMAINS":     {env{"ACME_DOMAINS": "a.example", "PUBLIC_URL": "https://b.example"}, "ACME_DOMAINS", `"b.example"`},
		"directory without TLS":                 {env{"ACME_DIRECTORY": "http://acme.example/dir"}, "ACME_DIRECTORY", "https"},
		"missing CA file":                       {env{"ACME_CA_FILE": junk + ".none"}, "ACME_CA_FILE", "can't be read"},
		"CA file without a certificate":         {env{"ACME_CA_FILE": junk}, "ACME_CA_FILE", "PEM"},
		"email address without @":               {env{"ACME_EMAIL": "operator"}, "ACME_EMAIL", "operator@example.com"},
		"email address with a name":             {env{"ACME_EMAIL": "Ann <ann@contoso.example>"}, "ACME_EMAIL", "operator@example.com"},
		"tunnel and a public URL":               {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret-token", "PUBLIC_URL": "https://monitor.example"}, "TUNNEL", "unset one of them"},
		"ngrok without a token":                 {env{"TUNNEL": "ngrok"}, "NGROK_AUTHTOKEN", "dashboard.ngrok.com"},
		"ngrok domain without https":            {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret-token", "NGROK_URL": "monitor.ngrok.app"}, "NGROK_URL", "https://"},
		"agent is not a URL":                    {env{"TUNNEL": "agent", "NGROK_AGENT_URL": "4040"}, "NGROK_AGENT_URL", "http://127.0.0.1:4040"},
		"agent without a token":                 {env{"MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080", "TUNNEL": "agent"}, "MONITOR_TOKEN", "exposes 127.0.0.1:8080 to the internet"},
		"all paths exposed, short token":        {env{"MONITOR_TOKEN": "fifteen letters", "LISTEN_ADDR": "127.0.0.1:8080", "TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret-token", "TUNNEL_EXPOSE": "all"}, "MONITOR_TOKEN", "TUNNEL_EXPOSE is all"},
		"all paths exposed without a token":     {env{"MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080", "TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret-token", "TUNNEL_EXPOSE": "all"}, "MONITOR_TOKEN", "PRIVATE_ADDR"},
		"agent and listener without a token":    {env{"MONITOR_TOKEN": "", "TUNNEL": "agent"}, "MONITOR_TOKEN", "can be reached from other machines"},

		"encryption certificate without a key": {encryption(encryptionCert, ""), "ENCRYPTION_KEY_FILE", "set both or neither"},
		"more certificates than keys":          {encryption(encryptionCert+","+otherCert, encryptionKey), "ENCRYPTION_KEY_FILE", "name the same number"},
		"encrypted key":                        {encryption(encryptionCert, "../graph/testdata/encrypted.pem"), "ENCRYPTION_CERT_FILE", "openssl pkey"},
		"PKCS#12":                              {encryption(encryptionCert, "../graph/testdata/openssl3.p12"), "ENCRYPTION_CERT_FILE", "openssl pkcs12"},
		"second key of another certificate":    {encryption(encryptionCert+","+otherCert, encryptionKey+","+encryptionKey), "ENCRYPTION_CERT_FILE", "matching certificate"},
		"second certificate is a directory":    {encryption(encryptionCert+","+folder, encryptionKey+","+otherKey), "ENCRYPTION_CERT_FILE", "is a directory"},
		"only commas as certificates":          {encryption(" , ", encryptionKey), "ENCRYPTION_CERT_FILE", "names no file"},
		"resource data of tasks":               {resourceData("/users/{id}/todo/lists/1/tasks?$select=id"), "SUBSCRIPTION_RESOURCES", "no resource data of tasks"},
		"resource data without $select":        {resourceData("/users/{id}/chats?$filter=x"), "SUBSCRIPTION_RESOURCES", "add ?$select="},
		"encryption key too short":             {encryption(weakCert, weakKey), "ENCRYPTION_KEY_FILE", "2048 to 4096"},
		"no client to check tokens with":       {managed("AZURE_CLIENT_ID"), "AZURE_CLIENT_ID", "tokens"},
		"no tenant to check tokens with":       {managed("AZURE_TENANT_ID"), "AZURE_TENANT_ID", "tokens"},
	}.run(t)
}

// mistakeTests each expect one mistake, without a secret or an email address.
type mistakeTests map[string]struct {
	env  env    // added to required
	name string // the variable that the mistake begins with
	says string
}

func (tests mistakeTests) run(t *testing.T) {
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found := mistakes(t, required().and(tt.env))
			line, ok := found[tt.name]
			if !ok || len(found) != 1 || !strings.Contains(line, tt.says) || strings.Contains(line, "very-secret") || strings.Contains(line, "ann@") {
				t.Errorf("mistakes = %v, want only that of %s with %q and without secrets or email addresses", found, tt.name, tt.says)
			}
		})
	}
}

func TestMistakesAreShortWithoutSecrets(t *testing.T) {
	const secret = "very%zzsecret"
	long := strings.Repeat("x", 10_000) + "\n\x1b[31m"
	values := []string{long, secret, secret + "\nx", "https://u:" + secret + "@h", "redis://u:1/" + secret + "@h", "http://h:" + secret}
	for _, row := range config.Table() {
		confidential := slices.Contains([]string{
			"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "MEDIATOR_TOKEN", "MONITOR_TOKEN", "MEDIATOR_SIGNING_SECRET",
			"CLIENT_STATE_KEY", "PUBLIC_URL", "MEDIATOR_URL", "REDIS_URL", "GRAPH_ENDPOINT", "AZURE_AUTHORITY_HOST", "OTEL_EXPORTER_OTLP_ENDPOINT",
		}, row.Name)
		for _, value := range values {
			for variable, line := range mistakes(t, required().with(row.Name, value)) {
				if len(line) > 500 || strings.Contains(line, "\x1b") || confidential && strings.Contains(line, "zzsecret") {
					t.Errorf("mistake of %s = %.600q, want a short line without control characters and secrets", variable, line)
				}
			}
		}
	}
}
