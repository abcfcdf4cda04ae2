package webhook_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/webhook"
)

const (
	tenant    = "8a4b7c1e-0000-4000-8000-000000000001"
	stranger  = "8a4b7c1e-0000-4000-8000-000000000002" // another tenant
	client    = "8a4b7c1e-0000-4000-8000-000000000003"
	publisher = "0bf30f3b-4a52-48df-9a82-234910c4a086"
)

var versions = []string{"1.0", "2.0"}

func newKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// Keys take long to make, so that the tests share them.
var (
	signer      = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	otherSigner = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
)

// login is a login endpoint that answers in this process.
type login struct {
	host    string
	issuers map[string]string // by version

	mu      sync.Mutex
	keys    map[string]*rsa.PrivateKey // published, by id; guarded by mu, as all below
	keysAt  string                     // URL, by default on the host
	down    bool
	delay   time.Duration
	fetches int // of metadata, of both versions
}

// newLogin publishes the key "a".
func newLogin(host, issuer1, issuer2 string) *login {
	return &login{
		host: host, issuers: map[string]string{"1.0": issuer1, "2.0": issuer2},
		keys: map[string]*rsa.PrivateKey{"a": signer()}, keysAt: "https://" + host + "/keys",
	}
}

func globalLogin() *login {
	return newLogin("login.microsoftonline.com", "https://sts.windows.net/"+tenant+"/", "https://login.microsoftonline.com/"+tenant+"/v2.0")
}

func (l *login) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *login) fetched() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fetches
}

func (l *login) RoundTrip(r *http.Request) (*http.Response, error) {
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
		return nil, errors.New("nobody answers")
	}
	var answer any
	switch {
	case isMetadata && r.URL.Host == l.host:
		answer = map[string]any{"issuer": l.issuers[version], "jwks_uri": l.keysAt}
	case r.URL.String() == l.keysAt:
		answer = map[string]any{"keys": l.published()}
	default:
		return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody}, nil
	}
	body, err := json.Marshal(answer)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body))}, err
}

// published lists the keys, among others that are not for signatures.
func (l *login) published() []map[string]any {
	text := base64.RawURLEncoding.EncodeToString
	of := func(id string, key *rsa.PrivateKey) map[string]any {
		return map[string]any{"kid": id, "kty": "RSA", "use": "sig",
			"n": text(key.N.Bytes()), "e": text(big.NewInt(int64(key.E)).Bytes())}
	}
	list := []map[string]any{{"kid": "curve", "kty": "EC", "crv": "P-256"}, {"kid": "broken", "kty": "RSA", "n": "!", "e": "AQAB"}}
	enc := of("enc", signer())
	enc["use"] = "enc"
	list = append(list, enc, of("weak", weakKey()))
	for id, key := range l.keys {
		list = append(list, of(id, key))
	}
	return list
}

// draft is a token before it is signed.
type draft struct {
	claims jwt.MapClaims
	header map[string]any
	method jwt.SigningMethod
	key    any
}

// token makes one that is good but for the edits.
func (l *login) token(t testing.TB, version string, edits ...func(*draft)) string {
	t.Helper()
	now := time.Now()
	d := draft{
		claims: jwt.MapClaims{
			"iss": l.issuers[version], "aud": client, "tid": tenant, "ver": version, "sub": publisher,
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		},
		header: map[string]any{"kid": "a"}, method: jwt.SigningMethodRS256, key: signer(),
	}
	d.claims[map[string]string{"1.0": "appid", "2.0": "azp"}[version]] = publisher
	for _, edit := range edits {
		edit(&d)
	}
	token := jwt.NewWithClaims(d.method, d.claims)
	for name, value := range d.header {
		token.Header[name] = value
	}
	signed, err := token.SignedString(d.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func claim(name string, value any) func(*draft) { return func(d *draft) { d.claims[name] = value } }
func header(name string, value any) func(*draft) {
	return func(d *draft) { d.header[name] = value }
}
func unclaimed(name string) func(*draft) { return func(d *draft) { delete(d.claims, name) } }
func signedWith(method jwt.SigningMethod, key any) func(*draft) {
	return func(d *draft) { d.method, d.key = method, key }
}

// config is what a checker of l's tokens needs.
func (l *login) config() webhook.TokensConfig {
	return webhook.TokensConfig{
		AuthorityHost: "https://" + l.host, TenantID: tenant, ClientID: client, Transport: l,
		Log: slog.New(slog.DiscardHandler),
	}
}

// check runs a checker of tokens until the test ends.
func check(t testing.TB, cfg webhook.TokensConfig) *webhook.Tokens {
	t.Helper()
	tokens, err := webhook.NewTokens(cfg)
	if err != nil {
		t.Fatal(err)
	}
	await.Run(t, tokens.Run)
	return tokens
}
