package config_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
)

func prefixes(all ...string) []netip.Prefix {
	var p []netip.Prefix
	for _, text := range all {
		p = append(p, netip.MustParsePrefix(text))
	}
	return p
}

func TestTheFrontIsUnderstood(t *testing.T) {
	authority, _ := keyPair(t)
	tests := map[string]struct {
		set  env
		want config.Front
	}{
		"nothing is set": {nil, config.Front{PublicRateLimit: 2000}},
		"no rate limit":  {env{"PUBLIC_RATE_LIMIT": "0"}, config.Front{}},
		"another limit":  {env{"PUBLIC_RATE_LIMIT": "5000"}, config.Front{PublicRateLimit: 5000}},
		"addresses and networks": {
			env{"PUBLIC_ALLOW": "192.0.2.7, 20.20.32.0/19,2603:1000::1/24 ,::ffff:198.51.100.1", "TRUSTED_PROXIES": "10.0.0.0/8,fd00::1,"},
			config.Front{
				PublicRateLimit: 2000,
				PublicAllow:     prefixes("192.0.2.7/32", "20.20.32.0/19", "2603:1000::/24", "198.51.100.1/32"),
				TrustedProxies:  prefixes("10.0.0.0/8", "fd00::1/128"),
			},
		},
		"a network with bits of a host": {env{"PUBLIC_ALLOW": "10.1.2.3/8"}, config.Front{PublicRateLimit: 2000, PublicAllow: prefixes("10.0.0.0/8")}},
		"everyone, written out":         {env{"PUBLIC_ALLOW": "0.0.0.0/0,::/0"}, config.Front{PublicRateLimit: 2000, PublicAllow: prefixes("0.0.0.0/0", "::/0")}},
		"ACME": {
			env{
				"ACME_DOMAINS": "Monitor.Example.com, b.xn--bcher-kva.example,monitor.example.com", "ACME_EMAIL": "operator@example.com",
				"ACME_DIRECTORY": "https://acme.example.com:14000/dir?a=b", "ACME_CA_FILE": authority,
				"PUBLIC_URL": "https://MONITOR.example.com:8443/base",
			},
			config.Front{
				PublicRateLimit: 2000, ACMEDomains: []string{"monitor.example.com", "b.xn--bcher-kva.example"},
				ACMEEmail: "operator@example.com", ACMEDirectory: "https://acme.example.com:14000/dir?a=b", ACMECAFile: authority,
			},
		},
		"ACME without PUBLIC_URL": {env{"ACME_DOMAINS": "a.example"}, config.Front{PublicRateLimit: 2000, ACMEDomains: []string{"a.example"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := needed()
			for variable, value := range tt.set {
				e = e.with(variable, value)
			}
			got := settings(t, e).Front
			if !slices.Equal(got.PublicAllow, tt.want.PublicAllow) || !slices.Equal(got.TrustedProxies, tt.want.TrustedProxies) ||
				!slices.Equal(got.ACMEDomains, tt.want.ACMEDomains) || got.PublicRateLimit != tt.want.PublicRateLimit ||
				got.ACMEEmail != tt.want.ACMEEmail || got.ACMEDirectory != tt.want.ACMEDirectory || got.ACMECAFile != tt.want.ACMECAFile {
				t.Errorf("Front = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestMistakesInTheFront(t *testing.T) {
	certificate, key := keyPair(t)
	junk := file(t, "ca.pem", []byte("no certificate"))
	tests := map[string]struct {
		set   env
		name  string // of the one variable that is blamed
		words string // that the mistake has in it
	}{
		"a limit that is no number":         {env{"PUBLIC_RATE_LIMIT": "many"}, "PUBLIC_RATE_LIMIT", `"many"`},
		"a negative limit":                  {env{"PUBLIC_RATE_LIMIT": "-1"}, "PUBLIC_RATE_LIMIT", "from 0"},
		"an enormous limit":                 {env{"PUBLIC_RATE_LIMIT": "1000001"}, "PUBLIC_RATE_LIMIT", "to 1000000"},
		"a name where an address belongs":   {env{"PUBLIC_ALLOW": "192.0.2.7,graph.microsoft.com"}, "PUBLIC_ALLOW", `"graph.microsoft.com"`},
		"a network that is too narrow":      {env{"PUBLIC_ALLOW": "192.0.2.7/33"}, "PUBLIC_ALLOW", `"192.0.2.7/33"`},
		"a network of IPv4 in IPv6":         {env{"PUBLIC_ALLOW": "::ffff:192.0.2.0/120"}, "PUBLIC_ALLOW", "/120"},
		"an address with a port":            {env{"TRUSTED_PROXIES": "10.0.0.1:80"}, "TRUSTED_PROXIES", ":80"},
		"everyone is a trusted proxy":       {env{"TRUSTED_PROXIES": "10.0.0.1,0.0.0.0/0"}, "TRUSTED_PROXIES", "0.0.0.0/0"},
		"a domain of one label":             {env{"ACME_DOMAINS": "localhost"}, "ACME_DOMAINS", `"localhost"`},
		"a domain with a port":              {env{"ACME_DOMAINS": "a.example,b.example:443"}, "ACME_DOMAINS", `"b.example:443"`},
		"a URL where a domain belongs":      {env{"ACME_DOMAINS": "https://a.example"}, "ACME_DOMAINS", "https"},
		"a wildcard":                        {env{"ACME_DOMAINS": "*.example.com"}, "ACME_DOMAINS", "wildcard"},
		"an address where a domain belongs": {env{"ACME_DOMAINS": "192.0.2.7"}, "ACME_DOMAINS", "192.0.2.7"},
		"a domain that is too long":         {env{"ACME_DOMAINS": strings.Repeat("a.", 130) + "example"}, "ACME_DOMAINS", "a.a.a."},
		"two sources of the certificate":    {env{"ACME_DOMAINS": "a.example", "TLS_CERT_FILE": certificate, "TLS_KEY_FILE": key}, "ACME_DOMAINS", "TLS_CERT_FILE"},
		"a PUBLIC_URL elsewhere":            {env{"ACME_DOMAINS": "a.example", "PUBLIC_URL": "https://b.example"}, "ACME_DOMAINS", `"b.example"`},
		"a directory without TLS":           {env{"ACME_DIRECTORY": "http://acme.example/dir"}, "ACME_DIRECTORY", "https"},
		"a directory without a host":        {env{"ACME_DIRECTORY": "https:///dir"}, "ACME_DIRECTORY", "https"},
		"an authority that is not there":    {env{"ACME_CA_FILE": junk + ".none"}, "ACME_CA_FILE", "can't be read"},
		"an authority that is none":         {env{"ACME_CA_FILE": junk}, "ACME_CA_FILE", "PEM"},
		"an address without an at":          {env{"ACME_EMAIL": "operator"}, "ACME_EMAIL", "operator@example.com"},
		"an address with a name":            {env{"ACME_EMAIL": "Ann <ann@contoso.example>"}, "ACME_EMAIL", "operator@example.com"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := needed()
			for variable, value := range tt.set {
				e = e.with(variable, value)
			}
			got := mistakes(t, e)
			if len(got) != 1 || !strings.Contains(got[tt.name], tt.words) || strings.Contains(got[tt.name], "ann@") {
				t.Errorf("mistakes = %q, want one about %s that says %s", got, tt.name, tt.words)
			}
		})
	}
}
