package webhook_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"outlook-monitor/internal/webhook"
)

// forgeries make a token of a version invalid, each by a hole that some receiver has had.
func forgeries(version string) map[string]func(*tokenSpec) {
	otherVersion, caller, otherCaller := "2.0", "appid", "azp"
	if version == "2.0" {
		otherVersion, caller, otherCaller = "1.0", "azp", "appid"
	}
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	return map[string]func(*tokenSpec){
		"unsigned":                 signWith(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"HMAC with the public key": signWith(jwt.SigningMethodHS256, key1().N.Bytes()),
		"RS512":                    signWith(jwt.SigningMethodRS512, key1()),
		"PS256":                    signWith(jwt.SigningMethodPS256, key1()),
		"other signer":             signWith(jwt.SigningMethodRS256, key2()),
		"unpublished key":          setHeader("kid", "b"),
		"encryption key":           setHeader("kid", "enc"),
		"key of an unknown use":    setHeader("kid", "tls"),
		"key for PS256":            setHeader("kid", "pss"),
		"short key":                func(s *tokenSpec) { s.header["kid"], s.key = "weak", weakKey() },
		"no key id":                setHeader("kid", ""),
		"numeric key id":           setHeader("kid", 7),
		"critical header":          setHeader("crit", []string{"exp"}),
		"other audience":           setClaim("aud", otherTenant),
		"several audiences":        setClaim("aud", []string{client, otherTenant}),
		"no audience":              deleteClaim("aud"),
		"other tenant":             setClaim("tid", otherTenant),
		"no tenant":                deleteClaim("tid"),
		"other tenant's issuer":    setClaim("iss", "https://sts.windows.net/"+otherTenant+"/"),
		"other tenant and issuer": func(s *tokenSpec) {
			s.claims["tid"], s.claims["iss"] = otherTenant, strings.ReplaceAll(s.claims["iss"].(string), tenant, otherTenant)
		},
		"issuer without a slash":    setClaim("iss", "https://sts.windows.net/"+tenant),
		"issuer on another host":    setClaim("iss", "https://sts.windows.net.example/"+tenant+"/"),
		"US government issuer":      setClaim("iss", "https://login.microsoftonline.us/"+tenant+"/v2.0"),
		"China issuer":              setClaim("iss", "https://sts.chinacloudapi.cn/"+tenant+"/"),
		"issuer of other version":   setClaim("iss", globalLogin().issuers[otherVersion]),
		"no issuer":                 deleteClaim("iss"),
		"other caller":              setClaim(caller, otherTenant),
		"no caller":                 deleteClaim(caller),
		"caller in the wrong claim": func(s *tokenSpec) { s.claims[caller], s.claims[otherCaller] = otherTenant, publisher },
		"other version":             setClaim("ver", otherVersion),
		"unknown version":           setClaim("ver", "3.0"),
		"no version":                deleteClaim("ver"),
		"expired":                   func(s *tokenSpec) { s.claims["nbf"], s.claims["exp"] = at(-2*time.Hour), at(-time.Minute) },
		"no expiry":                 deleteClaim("exp"),
		"expiry that is not a time": setClaim("exp", "never"),
		"not valid yet":             func(s *tokenSpec) { s.claims["nbf"], s.claims["exp"] = at(time.Minute), at(time.Hour) },
	}
}

func TestIssuersAndTenants(t *testing.T) {
	const domain = "contoso.example"
	global1, china1 := "https://sts.windows.net/"+tenant+"/", "https://sts.chinacloudapi.cn/"+tenant+"/"
	government := newLoginEndpoint("login.microsoftonline.us", global1, "https://login.microsoftonline.us/"+tenant+"/v2.0")
	china := newLoginEndpoint("login.chinacloudapi.cn", china1, "https://login.chinacloudapi.cn/"+tenant+"/v2.0")
	partner := newLoginEndpoint("login.chinacloudapi.cn", china1, "https://login.partner.microsoftonline.cn/"+tenant+"/v2.0")
	custom := newLoginEndpoint("login.example:8443", global1, "https://login.example:8443/"+tenant+"/v2.0")
	ownForm := newLoginEndpoint("login.example", "https://login.example/adfs", "https://login.example/adfs/two")
	other := newLoginEndpoint("login.example", "https://sts.windows.net/"+otherTenant+"/", "https://login.example/"+otherTenant+"/v2.0")
	for name, tt := range map[string]struct {
		login                   *loginEndpoint
		configured, tokenTenant string
		want                    error
	}{
		"US government":                 {government, tenant, tenant, nil},
		"China":                         {china, tenant, tenant, nil},
		"China, partner":                {partner, tenant, tenant, nil},
		"custom, Microsoft's form":      {custom, tenant, tenant, nil},
		"custom, its own form":          {ownForm, tenant, tenant, nil},
		"metadata of another tenant":    {other, tenant, otherTenant, webhook.ErrBadToken},
		"domain":                        {globalLogin(), domain, tenant, nil},
		"domain, another tenant":        {globalLogin(), domain, otherTenant, webhook.ErrBadToken},
		"domain, metadata without a id": {ownForm, domain, tenant, webhook.ErrBadToken},
	} {
		cfg := tt.login.config()
		cfg.TenantID = tt.configured
		tokens := runTokens(t, cfg)
		for _, version := range versions {
			checkTokens(t, name+" "+version, tokens, tt.want, tt.login.token(t, version, setClaim("tid", tt.tokenTenant)))
		}
		if tt.login.host != globalLogin().host {
			checkTokens(t, "the global issuer, not the one of "+name, tokens, webhook.ErrBadToken, globalLogin().token(t, "2.0"))
		}
	}
}

func TestUnusableMetadata(t *testing.T) {
	for name, change := range map[string]func(*loginEndpoint){
		"no issuer":        func(l *loginEndpoint) { l.issuers = nil },
		"keys without TLS": func(l *loginEndpoint) { l.keysURL = "http://login.microsoftonline.com/keys" },
		"no usable key":    func(l *loginEndpoint) { l.keys = nil },
		"no key id":        func(l *loginEndpoint) { l.broken = "kid" },
		"no exponent":      func(l *loginEndpoint) { l.broken = "e" },
	} {
		l := globalLogin()
		valid, noIssuer := l.token(t, "1.0"), l.token(t, "1.0", deleteClaim("iss"))
		change(l)
		tokens := runTokens(t, l.config())
		checkTokens(t, "a valid token: "+name, tokens, webhook.ErrNoMetadata, valid)
		checkTokens(t, "a token without an issuer: "+name, tokens, webhook.ErrNoMetadata, noIssuer)
	}
}

func TestTokenLists(t *testing.T) {
	l := globalLogin()
	tokens := runTokens(t, l.config())
	one, two := l.token(t, "1.0"), l.token(t, "2.0")
	parts1, parts2 := strings.Split(one, "."), strings.Split(two, ".")
	for name, tt := range map[string]struct {
		tokens []string
		want   error
	}{
		"one of each version": {[]string{one, two}, nil},
		"100 tokens":          {slices.Repeat([]string{one}, 100), nil},
		"101 tokens":          {slices.Repeat([]string{one}, 101), webhook.ErrBadToken},
		"over 16 KiB":         {[]string{l.token(t, "1.0", setClaim("more", strings.Repeat("x", 16<<10)))}, webhook.ErrBadToken},
		"empty token":         {[]string{one, ""}, webhook.ErrBadToken},
		"no signature":        {[]string{parts1[0] + "." + parts1[1] + "."}, webhook.ErrBadToken},
		"cut off":             {[]string{one[:len(one)-2]}, webhook.ErrBadToken},
		"another's claims":    {[]string{parts2[0] + "." + parts1[1] + "." + parts2[2]}, webhook.ErrBadToken},
		"leading space":       {[]string{" " + one}, webhook.ErrBadToken},
	} {
		checkTokens(t, name, tokens, tt.want, tt.tokens...)
	}
	if err := tokens.Check(t.Context(), []string{l.token(t, "1.0", setClaim("aud", "some-secret"))}); strings.Contains(err.Error(), "secret") {
		t.Errorf("Check = %v, want nothing of the token", err)
	}
}

// needMetadata are the forgeries that only the metadata and keys of the login endpoint reveal.
var needMetadata = []string{
	"other signer", "unpublished key", "encryption key", "key of an unknown use", "key for PS256", "short key",
	"other tenant", "no tenant", "other tenant's issuer", "other tenant and issuer", "issuer without a slash", "issuer on another host",
	"US government issuer", "China issuer", "issuer of other version", "no issuer",
}
