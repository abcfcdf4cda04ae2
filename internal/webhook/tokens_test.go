package webhook_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"outlook-monitor/internal/webhook"
)

// forgeries are what tokens of one version are not to be, each a hole that some
// receiver has.
func forgeries(version string) map[string]func(*draft) {
	other, callerClaim, otherClaim := "2.0", "appid", "azp"
	if version == "2.0" {
		other, callerClaim, otherClaim = "1.0", "azp", "appid"
	}
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	return map[string]func(*draft){
		"unsigned":                       signedWith(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"signed with the public key":     signedWith(jwt.SigningMethodHS256, signer().N.Bytes()),
		"signed with another method":     signedWith(jwt.SigningMethodRS512, signer()),
		"signed with another padding":    signedWith(jwt.SigningMethodPS256, signer()),
		"signed by someone else":         signedWith(jwt.SigningMethodRS256, otherSigner()),
		"of a key that is not published": header("kid", "b"),
		"of a key for something else":    header("kid", "enc"),
		"of a key that is too short":     func(d *draft) { d.header["kid"], d.key = "weak", weakKey() },
		"without a key id":               header("kid", ""),
		"with a key id that is no text":  header("kid", 7),
		"with a demand on who reads it":  header("crit", []string{"exp"}),
		"for another application":        claim("aud", stranger),
		"for several applications":       claim("aud", []string{client, stranger}),
		"for nobody":                     unclaimed("aud"),
		"of another tenant":              claim("tid", stranger),
		"of no tenant":                   unclaimed("tid"),
		"of another tenant and its issue": func(d *draft) {
			d.claims["tid"], d.claims["iss"] = stranger, strings.ReplaceAll(d.claims["iss"].(string), tenant, stranger)
		},
		"of another tenant's issuer":    claim("iss", "https://sts.windows.net/"+stranger+"/"),
		"of an issuer without a slash":  claim("iss", "https://sts.windows.net/"+tenant),
		"of an issuer elsewhere":        claim("iss", "https://sts.windows.net.example/"+tenant+"/"),
		"of the US government's issuer": claim("iss", "https://login.microsoftonline.us/"+tenant+"/v2.0"),
		"of China's issuer":             claim("iss", "https://sts.chinacloudapi.cn/"+tenant+"/"),
		"of no issuer":                  unclaimed("iss"),
		"of another publisher":          claim(callerClaim, stranger),
		"of no publisher":               unclaimed(callerClaim),
		"of a publisher in the wrong place": func(d *draft) {
			d.claims[callerClaim], d.claims[otherClaim] = stranger, publisher
		},
		"of the other version":        claim("ver", other),
		"of an unknown version":       claim("ver", "3.0"),
		"of no version":               unclaimed("ver"),
		"expired":                     func(d *draft) { d.claims["nbf"], d.claims["exp"] = at(-2*time.Hour), at(-time.Minute) },
		"without an end":              unclaimed("exp"),
		"with an end that is no time": claim("exp", "never"),
		"not valid yet":               func(d *draft) { d.claims["nbf"], d.claims["exp"] = at(time.Minute), at(time.Hour) },
	}
}

func TestTokensOfBothVersionsAndAllClouds(t *testing.T) {
	china1 := "https://sts.chinacloudapi.cn/" + tenant + "/"
	tests := map[string]struct {
		host, issuer1, issuer2 string
		want                   error
	}{
		"global":                     {"login.microsoftonline.com", "https://sts.windows.net/" + tenant + "/", "https://login.microsoftonline.com/" + tenant + "/v2.0", nil},
		"US government":              {"login.microsoftonline.us", "https://sts.windows.net/" + tenant + "/", "https://login.microsoftonline.us/" + tenant + "/v2.0", nil},
		"China":                      {"login.chinacloudapi.cn", china1, "https://login.chinacloudapi.cn/" + tenant + "/v2.0", nil},
		"China by its partner":       {"login.chinacloudapi.cn", china1, "https://login.partner.microsoftonline.cn/" + tenant + "/v2.0", nil},
		"one's own, in known forms":  {"login.example:8443", "https://sts.windows.net/" + tenant + "/", "https://login.example:8443/" + tenant + "/v2.0", nil},
		"one's own, in its own form": {"login.example", "https://login.example/adfs", "https://login.example/adfs/two", nil},

		"global that names China's issuers":    {"login.microsoftonline.com", china1, "https://login.chinacloudapi.cn/" + tenant + "/v2.0", webhook.ErrBadToken},
		"China that names the global issuers":  {"login.chinacloudapi.cn", "https://sts.windows.net/" + tenant + "/", "https://login.microsoftonline.com/" + tenant + "/v2.0", webhook.ErrBadToken},
		"global that names others":             {"login.microsoftonline.com", "https://evil.example/" + tenant + "/", "https://evil.example/" + tenant + "/v2.0", webhook.ErrBadToken},
		"one's own that names others":          {"login.example", "https://evil.example/" + tenant + "/", "https://evil.example/" + tenant + "/v2.0", webhook.ErrBadToken},
		"one's own that names another tenant":  {"login.example", "https://sts.windows.net/" + stranger + "/", "https://login.example/" + stranger + "/v2.0", webhook.ErrBadToken},
		"versions that name each other's form": {"login.microsoftonline.com", "https://login.microsoftonline.com/" + tenant + "/v2.0", "https://sts.windows.net/" + tenant + "/", webhook.ErrBadToken},
		"an issuer that is not https":          {"login.example", "http://login.example/" + tenant + "/", "http://login.example/" + tenant + "/v2.0", webhook.ErrBadToken},
	}
	for name, tt := range tests {
		for _, version := range versions {
			t.Run(name+" "+version, func(t *testing.T) {
				l := newLogin(tt.host, tt.issuer1, tt.issuer2)
				if err := check(t, l.config()).Check(t.Context(), []string{l.token(t, version)}); !errors.Is(err, tt.want) {
					t.Errorf("Check = %v, want %v", err, tt.want)
				}
			})
		}
	}
}

func TestListsOfTokens(t *testing.T) {
	l := globalLogin()
	tokens := check(t, l.config())
	one, two := l.token(t, "1.0"), l.token(t, "2.0")
	long := l.token(t, "1.0", claim("more", strings.Repeat("x", 16<<10)))
	tests := map[string]struct {
		tokens []string
		want   error
	}{
		"one of each version":          {[]string{one, two}, nil},
		"100 tokens":                   {slices.Repeat([]string{one}, 100), nil},
		"no list":                      {nil, webhook.ErrBadToken},
		"an empty list":                {[]string{}, webhook.ErrBadToken},
		"101 tokens":                   {slices.Repeat([]string{one}, 101), webhook.ErrBadToken},
		"a token over 16 KiB":          {[]string{long}, webhook.ErrBadToken},
		"an empty token":               {[]string{one, ""}, webhook.ErrBadToken},
		"a text that is no token":      {[]string{"a.b.c"}, webhook.ErrBadToken},
		"a token without its end":      {[]string{one[:strings.LastIndex(one, ".")+1]}, webhook.ErrBadToken},
		"a token cut off":              {[]string{one[:len(one)-2]}, webhook.ErrBadToken},
		"claims of another token":      {[]string{strings.Split(two, ".")[0] + "." + strings.Split(one, ".")[1] + "." + strings.Split(two, ".")[2]}, webhook.ErrBadToken},
		"claims that are null":         {[]string{"eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.bnVsbA.eA"}, webhook.ErrBadToken},
		"a token with a leading space": {[]string{" " + one}, webhook.ErrBadToken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tokens.Check(t.Context(), tt.tokens); !errors.Is(err, tt.want) {
				t.Errorf("Check = %v, want %v", err, tt.want)
			}
		})
	}
	wrong := tokens.Check(t.Context(), []string{l.token(t, "1.0", claim("aud", "some-secret"))})
	if strings.Contains(wrong.Error(), "secret") || strings.Contains(wrong.Error(), stranger) {
		t.Errorf("Check = %v, want nothing of the token", wrong)
	}
}

func TestATenantNamedByItsDomain(t *testing.T) {
	l := globalLogin()
	cfg := l.config()
	cfg.TenantID = "contoso.example"
	tokens := check(t, cfg)
	if err := tokens.Check(t.Context(), []string{l.token(t, "1.0"), l.token(t, "2.0")}); err != nil {
		t.Errorf("Check = %v, want nil: the metadata tells the id", err)
	}
	for _, version := range versions {
		other := l.token(t, version, forgeries(version)["of another tenant and its issue"])
		if err := tokens.Check(t.Context(), []string{other}); !errors.Is(err, webhook.ErrBadToken) {
			t.Errorf("Check of another tenant's = %v, want %v", err, webhook.ErrBadToken)
		}
	}
}

func TestATenantThatCanNotBeComparedIsNotOurs(t *testing.T) {
	l := newLogin("login.example", "https://login.example/adfs", "https://login.example/adfs")
	cfg := l.config()
	cfg.TenantID = "contoso.example"
	if err := check(t, cfg).Check(t.Context(), []string{l.token(t, "1.0")}); !errors.Is(err, webhook.ErrBadToken) {
		t.Errorf("Check = %v, want %v: nothing tells the tenant's id", err, webhook.ErrBadToken)
	}
}

// needKeys are the forgeries that can't be told without keys.
var needKeys = []string{"signed by someone else", "of a key that is not published", "of a key for something else", "of a key that is too short"}

func TestWhatNeedsNoKeysIsToldWithoutThem(t *testing.T) {
	l := globalLogin()
	l.down = true
	tokens := check(t, l.config())
	for _, version := range versions {
		for name, edit := range forgeries(version) {
			want := webhook.ErrBadToken
			if slices.Contains(needKeys, name) || version == "2.0" && name == "of the US government's issuer" {
				want = webhook.ErrNoMetadata
			}
			if err := tokens.Check(t.Context(), []string{l.token(t, version, edit)}); !errors.Is(err, want) {
				t.Errorf("Check of a token %s %s = %v, want %v", name, version, err, want)
			}
		}
	}
}

func TestKeysOfAnotherHostAreNotFetched(t *testing.T) {
	l := globalLogin()
	l.keysAt = "https://keys.example/keys"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := check(t, l.config()).Check(ctx, []string{l.token(t, "1.0")}); !errors.Is(err, webhook.ErrNoMetadata) {
		t.Errorf("Check = %v, want %v", err, webhook.ErrNoMetadata)
	}
}

func TestTokensNeedNames(t *testing.T) {
	for name, cfg := range map[string]webhook.TokensConfig{
		"no tenant":          {AuthorityHost: "https://login.example", ClientID: client},
		"no client":          {AuthorityHost: "https://login.example", TenantID: tenant},
		"no authority":       {TenantID: tenant, ClientID: client},
		"plain http":         {AuthorityHost: "http://login.example", TenantID: tenant, ClientID: client},
		"an address below /": {AuthorityHost: "https://login.example/x", TenantID: tenant, ClientID: client},
	} {
		t.Run(name, func(t *testing.T) {
			if tokens, err := webhook.NewTokens(cfg); err == nil {
				t.Errorf("NewTokens = %v, want an error", tokens)
			}
		})
	}
}
