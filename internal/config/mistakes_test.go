package config_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
)

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	e := env{
		"AZURE_TENANT_ID":         "two words",
		"AZURE_MANAGED_IDENTITY":  "perhaps",
		"AZURE_AUTHORITY_HOST":    "http://login.example",
		"GRAPH_CLOUD":             "moon",
		"GRAPH_ENDPOINT":          "https://graph.example/v1.0",
		"PUBLIC_URL":              "http://monitor.example",
		"MEDIATOR_TOKEN":          "one\ntwo",
		"MEDIATOR_SIGNING_SECRET": "whsec_no-base64!",
		"REDIS_URL":               "http://redis.example",
		"LISTEN_ADDR":             "8080",
		"PRIVATE_ADDR":            "8081",
		"TLS_CERT_FILE":           "/nowhere/cert.pem",
		"ALLOW_ANONYMOUS":         "maybe",
		"POLL_INTERVAL":           "2",
		"SUBSCRIPTION_RESOURCES":  "/me/events",
		"SUBSCRIPTION_LIFETIME":   "1m",
		"SCHEDULED":               "never",
		"MESSAGE":                 "both",
		"MESSAGE_LIMIT":           "-1",
		"DELIVERY_CONCURRENCY":    "0",
		"LOG_LEVEL":               "loud",
		"LOG_FORMAT":              "xml",
	}
	want := slices.Sorted(maps.Keys(e))
	want = append(want, "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "MEDIATOR_URL", "TLS_KEY_FILE")
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(mistakes(t, e))); !slices.Equal(got, want) {
		t.Errorf("mistakes name\n%v, want\n%v", got, want)
	}
}

func TestNothingSetNamesAllThatIsNeeded(t *testing.T) {
	want := []string{"AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "MEDIATOR_URL", "MONITOR_TOKEN"}
	if got := slices.Sorted(maps.Keys(mistakes(t, env{}))); !slices.Equal(got, want) {
		t.Errorf("mistakes of nothing name %v, want %v", got, want)
	}
}

func TestMistakesNameTheirVariable(t *testing.T) {
	certificate, itsKey := keyPair(t)
	_, key := keyPair(t)
	junk := file(t, "ca.pem", []byte("no certificate"))
	old := env{"MEDIATOR_URL": "", "MEDIATOR_IP": "10.1.2.3", "MEDIATOR_PORT": "5000"}
	tests := map[string]struct {
		env  env
		name string
		says string
	}{
		"a tenant with a slash":                {env{"AZURE_TENANT_ID": "a/b"}, "AZURE_TENANT_ID", `"a/b"`},
		"an old tenant that is wrong":          {env{"AZURE_TENANT_ID": "", "TENANT": "a b"}, "TENANT", `"a b"`},
		"an old client that is wrong":          {env{"AZURE_CLIENT_ID": "", "CLIENT_ID": "a b"}, "CLIENT_ID", `"a b"`},
		"no client":                            {env{"AZURE_CLIENT_ID": ""}, "AZURE_CLIENT_ID", "is not set"},
		"no credential":                        {env{"AZURE_CLIENT_SECRET": ""}, "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"},
		"an identity that is refused":          {env{"AZURE_CLIENT_SECRET": "", "IDENTITY_ENDPOINT": "x", "AZURE_MANAGED_IDENTITY": "no"}, "AZURE_CLIENT_SECRET", "is not set"},
		"a client secret in two lines":         {env{"AZURE_CLIENT_SECRET": "one\ntwo"}, "AZURE_CLIENT_SECRET", "line"},
		"an old client secret in two lines":    {env{"AZURE_CLIENT_SECRET": "", "CLIENT_SECRET": "one\ntwo"}, "CLIENT_SECRET", "line"},
		"a certificate that is not there":      {env{"AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere"}, "AZURE_CLIENT_CERTIFICATE_PATH", "/nowhere"},
		"a token file that is a folder":        {env{"AZURE_FEDERATED_TOKEN_FILE": t.TempDir()}, "AZURE_FEDERATED_TOKEN_FILE", "directory"},
		"a cloud that is none":                 {env{"GRAPH_CLOUD": "germany"}, "GRAPH_CLOUD", "global, usgov, dod or china"},
		"Graph without TLS":                    {env{"GRAPH_ENDPOINT": "http://127.0.0.1:9080"}, "GRAPH_ENDPOINT", "https"},
		"Graph with a password":                {env{"GRAPH_ENDPOINT": "https://u:p@graph.example"}, "GRAPH_ENDPOINT", "base URL"},
		"a login endpoint with a path":         {env{"AZURE_AUTHORITY_HOST": "https://login.example/tenant"}, "AZURE_AUTHORITY_HOST", "base URL"},
		"a public URL without TLS":             {env{"PUBLIC_URL": "http://monitor.example"}, "PUBLIC_URL", "https"},
		"a public URL without TLS, like local": {env{"PUBLIC_URL": "http://localhost.example"}, "PUBLIC_URL", "https"},
		"a public URL without a scheme":        {env{"PUBLIC_URL": "monitor.example"}, "PUBLIC_URL", "base URL"},
		"a public URL with a query":            {env{"PUBLIC_URL": "https://monitor.example/?x=1"}, "PUBLIC_URL", "query"},
		"a public URL with an empty query":     {env{"PUBLIC_URL": "https://monitor.example/?"}, "PUBLIC_URL", "query"},
		"a public URL with a fragment":         {env{"PUBLIC_URL": "https://monitor.example/#x"}, "PUBLIC_URL", "fragment"},
		"a public URL with a wrong port":       {env{"PUBLIC_URL": "https://monitor.example:99999"}, "PUBLIC_URL", "base URL"},
		"a public URL of another kind":         {env{"PUBLIC_URL": "ftp://monitor.example"}, "PUBLIC_URL", "base URL"},
		"no mediator":                          {env{"MEDIATOR_URL": ""}, "MEDIATOR_URL", "is not set"},
		"a mediator without a host":            {env{"MEDIATOR_URL": "http://:5000"}, "MEDIATOR_URL", "base URL"},
		"an old mediator without a port":       {old.with("MEDIATOR_PORT", ""), "MEDIATOR_PORT", "MEDIATOR_URL"},
		"an old mediator with a wrong port":    {old.with("MEDIATOR_PORT", "http"), "MEDIATOR_PORT", `"http"`},
		"an old mediator without an address":   {old.with("MEDIATOR_IP", ""), "MEDIATOR_IP", "MEDIATOR_URL"},
		"an old mediator that is a URL":        {old.with("MEDIATOR_IP", "http://10.1.2.3"), "MEDIATOR_IP", "base URL"},
		"a signing secret without its prefix":  {env{"MEDIATOR_SIGNING_SECRET": "c2VjcmV0"}, "MEDIATOR_SIGNING_SECRET", "whsec_"},
		"a signing secret that is empty":       {env{"MEDIATOR_SIGNING_SECRET": "whsec_"}, "MEDIATOR_SIGNING_SECRET", "base64"},
		"one of two signing secrets is wrong":  {env{"MEDIATOR_SIGNING_SECRET": "whsec_c2VjcmV0 whsec_?"}, "MEDIATOR_SIGNING_SECRET", "base64"},
		"both signing secrets are wrong":       {env{"MEDIATOR_SIGNING_SECRET": "whsec_! whsec_?"}, "MEDIATOR_SIGNING_SECRET", "base64"},
		"a Redis of another kind":              {env{"REDIS_URL": "tcp://127.0.0.1:6379"}, "REDIS_URL", "redis://"},
		"a Redis without a host":               {env{"REDIS_URL": "redis:///0"}, "REDIS_URL", "redis://"},
		"a Redis password with a slash":        {env{"REDIS_URL": "redis://u:12/34@127.0.0.1"}, "REDIS_URL", "%2F"},
		"a Redis password with a hash":         {env{"REDIS_URL": "redis://u:12#34@127.0.0.1"}, "REDIS_URL", "%23"},
		"a Redis password, a word and a slash": {env{"REDIS_URL": "redis://u:ab/cd@127.0.0.1"}, "REDIS_URL", "%2F"},
		"a Redis password with a percent sign": {env{"REDIS_URL": "redis://u:100%@127.0.0.1"}, "REDIS_URL", "%25"},
		"a password behind Sentinel, plus":     {env{"REDIS_URL": "redis://h?master_name=m&password=a+b"}, "REDIS_URL", "%2B"},
		"a password behind Sentinel, hash":     {env{"REDIS_URL": "redis://h?master_name=m&password=a#b"}, "REDIS_URL", "%23"},
		"a password behind Sentinel, percent":  {env{"REDIS_URL": "redis://h?master_name=m&password=a%b"}, "REDIS_URL", "%25"},
		"a login to Redis that is none":        {env{"REDIS_AUTH": "keys"}, "REDIS_AUTH", "url or entra"},
		"Entra without a Redis":                {env{"REDIS_AUTH": "entra"}, "REDIS_AUTH", "rediss://"},
		"Entra without TLS":                    {env{"REDIS_AUTH": "entra", "REDIS_URL": "redis://h:10000"}, "REDIS_AUTH", "rediss://"},
		"Entra beside a user":                  {env{"REDIS_AUTH": "entra", "REDIS_URL": "rediss://u@h:10000"}, "REDIS_AUTH", "user or password"},
		"Entra beside a password":              {env{"REDIS_AUTH": "entra", "REDIS_URL": "rediss://:p@h:10000"}, "REDIS_AUTH", "user or password"},
		"Entra beside a password in the query": {env{"REDIS_AUTH": "entra", "REDIS_URL": "rediss://h?password=p"}, "REDIS_AUTH", "user or password"},
		"Entra behind Sentinel":                {env{"REDIS_AUTH": "entra", "REDIS_URL": "rediss://h?master_name=m"}, "REDIS_AUTH", "Sentinel"},
		"Entra with a Redis URL that is none":  {env{"REDIS_AUTH": "entra", "REDIS_URL": "tcp://h"}, "REDIS_URL", "redis://"},
		"a token that can be guessed":          {env{"MONITOR_TOKEN": "fifteen-letters"}, "MONITOR_TOKEN", "at least 16"},
		"a PORT that is none":                  {env{"PORT": "eighty"}, "PORT", `"eighty"`},
		"a PORT too high":                      {env{"PORT": "65536"}, "PORT", "65535"},
		"an address without a port":            {env{"LISTEN_ADDR": "127.0.0.1"}, "LISTEN_ADDR", "port"},
		"an address with a wrong port":         {env{"LISTEN_ADDR": "127.0.0.1:http"}, "LISTEN_ADDR", "port"},
		"both addresses the same":              {env{"PRIVATE_ADDR": ":8080"}, "PRIVATE_ADDR", "LISTEN_ADDR"},
		"a private address that is PORT's":     {env{"PORT": "10000", "PRIVATE_ADDR": ":10000"}, "PRIVATE_ADDR", "PORT"},
		"a certificate without its key":        {env{"TLS_CERT_FILE": certificate}, "TLS_KEY_FILE", "TLS_CERT_FILE"},
		"a key without its certificate":        {env{"TLS_KEY_FILE": key}, "TLS_CERT_FILE", "TLS_KEY_FILE"},
		"another certificate's key":            {env{"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": key}, "TLS_CERT_FILE", "fit together"},
		"a key that is not there":              {env{"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": "/nowhere"}, "TLS_KEY_FILE", "/nowhere"},
		"a switch that is neither":             {env{"ALLOW_ANONYMOUS": "2"}, "ALLOW_ANONYMOUS", "true or false"},
		"an interval without a unit":           {env{"POLL_INTERVAL": "2"}, "POLL_INTERVAL", "2s"},
		"an interval too short":                {env{"POLL_INTERVAL": "99ms"}, "POLL_INTERVAL", "100ms"},
		"an interval below nothing":            {env{"POLL_INTERVAL": "-2s"}, "POLL_INTERVAL", "100ms"},
		"a life too short":                     {env{"SUBSCRIPTION_LIFETIME": "44m"}, "SUBSCRIPTION_LIFETIME", "45m"},
		"a life too long":                      {env{"SUBSCRIPTION_LIFETIME": "10071m"}, "SUBSCRIPTION_LIFETIME", "10070m"},
		"no resource but commas":               {env{"SUBSCRIPTION_RESOURCES": ", ,"}, "SUBSCRIPTION_RESOURCES", "no resource"},
		"a resource without the id":            {env{"SUBSCRIPTION_RESOURCES": "/users/events"}, "SUBSCRIPTION_RESOURCES", "{id}"},
		"a resource that is the user":          {env{"SUBSCRIPTION_RESOURCES": "/users/{id}"}, "SUBSCRIPTION_RESOURCES", "/users/{id}/"},
		"a resource of nothing":                {env{"SUBSCRIPTION_RESOURCES": "/users/{id}/"}, "SUBSCRIPTION_RESOURCES", "/users/{id}/"},
		"a resource elsewhere":                 {env{"SUBSCRIPTION_RESOURCES": "/groups/{id}/events"}, "SUBSCRIPTION_RESOURCES", "/users/{id}/"},
		"a resource twice":                     {env{"SUBSCRIPTION_RESOURCES": "/users/{id}/events,/users/{id}/events"}, "SUBSCRIPTION_RESOURCES", "twice"},
		"mailbox settings as a resource":       {env{"SUBSCRIPTION_RESOURCES": "/users/{id}/mailboxSettings"}, "SUBSCRIPTION_RESOURCES", "polled"},
		"presence as a resource":               {env{"SUBSCRIPTION_RESOURCES": "communications/presences/{id}"}, "SUBSCRIPTION_RESOURCES", "signed-in"},
		"too many deliveries at a time":        {env{"DELIVERY_CONCURRENCY": "1001"}, "DELIVERY_CONCURRENCY", "1000"},
		"a limit that is no number":            {env{"MESSAGE_LIMIT": "3k"}, "MESSAGE_LIMIT", `"3k"`},
		"deliveries that are no number":        {env{"DELIVERY_CONCURRENCY": "many"}, "DELIVERY_CONCURRENCY", `"many"`},
		"a mode that is none":                  {env{"SCHEDULED": "windows"}, "SCHEDULED", "window or always"},
		"a text that is none":                  {env{"MESSAGE": "none"}, "MESSAGE", "external or internal"},
		"a level that is none":                 {env{"LOG_LEVEL": "trace"}, "LOG_LEVEL", "debug, info, warn or error"},
		"a format that is none":                {env{"LOG_FORMAT": "logfmt"}, "LOG_FORMAT", "json or text"},
		"a rate that is no number":             {env{"PUBLIC_RATE_LIMIT": "many"}, "PUBLIC_RATE_LIMIT", `"many"`},
		"a negative limit":                     {env{"PUBLIC_RATE_LIMIT": "-1"}, "PUBLIC_RATE_LIMIT", "from 0"},
		"an enormous limit":                    {env{"PUBLIC_RATE_LIMIT": "1000001"}, "PUBLIC_RATE_LIMIT", "to 1000000"},
		"a name where an address belongs":      {env{"PUBLIC_ALLOW": "192.0.2.7,graph.microsoft.com"}, "PUBLIC_ALLOW", `"graph.microsoft.com"`},
		"a network that is too narrow":         {env{"PUBLIC_ALLOW": "192.0.2.7/33"}, "PUBLIC_ALLOW", `"192.0.2.7/33"`},
		"a network of IPv4 in IPv6":            {env{"PUBLIC_ALLOW": "::ffff:192.0.2.0/120"}, "PUBLIC_ALLOW", "/120"},
		"an address with a port":               {env{"TRUSTED_PROXIES": "10.0.0.1:80"}, "TRUSTED_PROXIES", ":80"},
		"everyone is a trusted proxy":          {env{"TRUSTED_PROXIES": "10.0.0.1,0.0.0.0/0"}, "TRUSTED_PROXIES", "0.0.0.0/0"},
		"a domain of one label":                {env{"ACME_DOMAINS": "localhost"}, "ACME_DOMAINS", `"localhost"`},
		"a domain with a port":                 {env{"ACME_DOMAINS": "a.example,b.example:443"}, "ACME_DOMAINS", `"b.example:443"`},
		"a URL where a domain belongs":         {env{"ACME_DOMAINS": "https://a.example"}, "ACME_DOMAINS", "https"},
		"a wildcard":                           {env{"ACME_DOMAINS": "*.example.com"}, "ACME_DOMAINS", "wildcard"},
		"an address where a domain belongs":    {env{"ACME_DOMAINS": "192.0.2.7"}, "ACME_DOMAINS", "192.0.2.7"},
		"a domain that is too long":            {env{"ACME_DOMAINS": strings.Repeat("a.", 130) + "example"}, "ACME_DOMAINS", "a.a.a."},
		"two sources of the certificate":       {env{"ACME_DOMAINS": "a.example", "TLS_CERT_FILE": certificate, "TLS_KEY_FILE": itsKey}, "ACME_DOMAINS", "TLS_CERT_FILE"},
		"a PUBLIC_URL elsewhere":               {env{"ACME_DOMAINS": "a.example", "PUBLIC_URL": "https://b.example"}, "ACME_DOMAINS", `"b.example"`},
		"a directory without TLS":              {env{"ACME_DIRECTORY": "http://acme.example/dir"}, "ACME_DIRECTORY", "https"},
		"a directory without a host":           {env{"ACME_DIRECTORY": "https:///dir"}, "ACME_DIRECTORY", "https"},
		"an authority that is not there":       {env{"ACME_CA_FILE": junk + ".none"}, "ACME_CA_FILE", "can't be read"},
		"an authority that is none":            {env{"ACME_CA_FILE": junk}, "ACME_CA_FILE", "PEM"},
		"an address without an at":             {env{"ACME_EMAIL": "operator"}, "ACME_EMAIL", "operator@example.com"},
		"an address with a name":               {env{"ACME_EMAIL": "Ann <ann@contoso.example>"}, "ACME_EMAIL", "operator@example.com"},
		"a kind that is none":                  {env{"TUNNEL": "tailscale"}, "TUNNEL", "none, ngrok or agent"},
		"a tunnel and a public URL":            {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret-token", "PUBLIC_URL": "https://monitor.example"}, "TUNNEL", "set either"},
		"no token of ngrok's":                  {env{"TUNNEL": "ngrok"}, "NGROK_AUTHTOKEN", "dashboard.ngrok.com"},
		"a token in two lines":                 {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret\ntoken"}, "NGROK_AUTHTOKEN", "one line"},
		"a domain without https":               {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret-token", "NGROK_URL": "monitor.ngrok.app"}, "NGROK_URL", "https://"},
		"an agent that is no URL":              {env{"TUNNEL": "agent", "NGROK_AGENT_URL": "4040"}, "NGROK_AGENT_URL", "http://127.0.0.1:4040"},
		"paths that are none":                  {env{"TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret-token", "TUNNEL_EXPOSE": "some"}, "TUNNEL_EXPOSE", "graph or all"},
		"an agent that leads inside":           {env{"MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080", "TUNNEL": "agent"}, "MONITOR_TOKEN", "from the internet to 127.0.0.1:8080"},
		"all paths open to the world":          {env{"MONITOR_TOKEN": "", "LISTEN_ADDR": "127.0.0.1:8080", "TUNNEL": "ngrok", "NGROK_AUTHTOKEN": "very-secret-token", "TUNNEL_EXPOSE": "all"}, "MONITOR_TOKEN", "PRIVATE_ADDR"},
		"open to all machines already":         {env{"MONITOR_TOKEN": "", "TUNNEL": "agent"}, "MONITOR_TOKEN", "can be reached from other machines"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found := mistakes(t, needed().and(tt.env))
			line, ok := found[tt.name]
			if !ok || len(found) != 1 || !strings.Contains(line, tt.says) || strings.Contains(line, "very-secret") || strings.Contains(line, "ann@") {
				t.Errorf("mistakes = %v, want %s alone, saying %q and no secret or address", found, tt.name, tt.says)
			}
		})
	}
}

func TestMistakesAreShortAndRepeatNoSecret(t *testing.T) {
	const secret = "very%zzsecret"
	long := strings.Repeat("x", 10_000) + "\n\x1b[31m"
	values := []string{long, secret, secret + "\nx", "https://u:" + secret + "@h", "redis://u:1/" + secret + "@h", "http://h:" + secret}
	for _, row := range config.Table() {
		hidden := slices.Contains([]string{
			"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "MEDIATOR_TOKEN", "MONITOR_TOKEN", "MEDIATOR_SIGNING_SECRET",
			"CLIENT_STATE_KEY", "PUBLIC_URL", "MEDIATOR_URL", "REDIS_URL", "GRAPH_ENDPOINT", "AZURE_AUTHORITY_HOST",
		}, row.Name)
		for _, value := range values {
			for variable, line := range mistakes(t, needed().with(row.Name, value)) {
				if len(line) > 500 || strings.Contains(line, "\x1b") || hidden && strings.Contains(line, "zzsecret") {
					t.Errorf("the mistake of %s is %.600q, want a short line without control characters and secrets", variable, line)
				}
			}
		}
	}
}
