package webhook_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/webhook"
)

const (
	tenant      = "8a4b7c1e-0000-4000-8000-000000000001"
	otherTenant = "8a4b7c1e-0000-4000-8000-000000000002"
	client      = "8a4b7c1e-0000-4000-8000-000000000003"
	publisher   = "0bf30f3b-4a52-48df-9a82-234910c4a086"
)

var versions = []string{"1.0", "2.0"}

// loginEndpoint is an http.RoundTripper that answers as a login endpoint.
type loginEndpoint struct {
	host    string
	issuers map[string]string // by version

	mu      sync.Mutex
	keys    map[string]*rsa.PrivateKey // published, by id; guarded by mu, as all below
	keysURL string                     // by default on the host
	down    bool
	broken  string // the field that has a wrong type in all keys; empty: none
	delay   time.Duration
	fetches int // of the metadata of both versions
}

// newLoginEndpoint returns an endpoint that publishes the signer's key as "a".
func newLoginEndpoint(host, issuer1, issuer2 string) *loginEndpoint {
	return &loginEndpoint{
		host: host, issuers: map[string]string{"1.0": issuer1, "2.0": issuer2},
		keys: map[string]*rsa.PrivateKey{"a": key1()}, keysURL: "https://" + host + "/keys",
	}
}

func globalLogin() *loginEndpoint {
	return newLoginEndpoint("login.microsoftonline.com", "https://sts.windows.net/"+tenant+"/", "https://login.microsoftonline.com/"+tenant+"/v2.0")
}

// change calls f with mu held.
func (l *loginEndpoint) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *loginEndpoint) fetchCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fetches
}

func (l *loginEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	version, isMetadata := "1.0", strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration")
	if strings.Contains(r.URL.Path, "/v2.0/") {
		version = "2.0"
	}
	if isMetadata {
		l.fetches++
	}
	if delay := l.delay; delay > 0 {
		l.mu.Unlock()
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
		}
		l.mu.Lock()
	}
	if l.down || r.Context().Err() != nil {
		return nil, errors.New("unreachable")
	}
	var answer any
	switch {
	case isMetadata && r.URL.Host == l.host:
		answer = map[string]any{"issuer": l.issuers[version], "jwks_uri": l.keysURL}
	case r.URL.String() == l.keysURL:
		answer = map[string]any{"keys": l.published()}
	default:
		return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody}, nil
	}
	body, err := json.Marshal(answer)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body))}, err
}

// published returns the keys as JSON, among others that must not be used.
func (l *loginEndpoint) published() []map[string]any {
	encode := base64.RawURLEncoding.EncodeToString
	jwk := func(id, use, algorithm string, key *rsa.PrivateKey) map[string]any {
		return map[string]any{"kid": id, "kty": "RSA", "use": use, "alg": algorithm,
			"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}
	}
	list := []map[string]any{
		{"kid": "curve", "kty": "EC", "crv": "P-256"}, {"kid": 7, "kty": "RSA", "n": "!", "e": "AQAB"},
		jwk("enc", "enc", "", key1()), jwk("tls", "tls", "", key1()), jwk("pss", "sig", "PS256", key1()), jwk("weak", "sig", "RS256", weakKey()),
	}
	for id, key := range l.keys {
		list = append(list, jwk(id, "sig", "RS256", key))
	}
	for _, key := range list {
		if l.broken != "" {
			key[l.broken] = []int{}
		}
	}
	return list
}

// tokenSpec describes a token to be signed.
type tokenSpec struct {
	claims jwt.MapClaims
	header map[string]any
	method jwt.SigningMethod
	key    any
}

// token returns a valid token, with edits applied before it is signed.
func (l *loginEndpoint) token(t testing.TB, version string, edits ...func(*tokenSpec)) string {
	t.Helper()
	now := time.Now()
	s := tokenSpec{
		claims: jwt.MapClaims{
			"iss": l.issuers[version], "aud": client, "tid": tenant, "ver": version, "sub": publisher,
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		},
		header: map[string]any{"kid": "a"}, method: jwt.SigningMethodRS256, key: key1(),
	}
	s.claims[map[string]string{"1.0": "appid", "2.0": "azp"}[version]] = publisher
	for _, edit := range edits {
		edit(&s)
	}
	token := jwt.NewWithClaims(s.method, s.claims)
	maps.Copy(token.Header, s.header)
	signed, err := token.SignedString(s.key)
	must.NoError(t, err)
	return signed
}

func setClaim(name string, value any) func(*tokenSpec) {
	return func(s *tokenSpec) { s.claims[name] = value }
}
func setHeader(name string, value any) func(*tokenSpec) {
	return func(s *tokenSpec) { s.header[name] = value }
}
func deleteClaim(name string) func(*tokenSpec) { return func(s *tokenSpec) { delete(s.claims, name) } }
func signWith(method jwt.SigningMethod, key any) func(*tokenSpec) {
	return func(s *tokenSpec) { s.method, s.key = method, key }
}

// config returns the settings for tokens of this endpoint.
func (l *loginEndpoint) config() webhook.TokensConfig {
	return webhook.TokensConfig{
		AuthorityHost: "https://" + l.host, TenantID: tenant, ClientID: client, Transport: l, Log: slog.New(slog.DiscardHandler),
	}
}

// runTokens returns a Tokens that runs until the test ends.
func runTokens(t testing.TB, cfg webhook.TokensConfig) *webhook.Tokens {
	t.Helper()
	tokens := webhook.NewTokens(cfg)
	await.Run(t, tokens.Run)
	return tokens
}
