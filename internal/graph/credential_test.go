package graph_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

// write writes a file of the test's own and returns its path.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// federatedToken is what a cluster gives to a workload.
func federatedToken(t *testing.T) []byte {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: "https://cluster.example", Subject: "system:serviceaccount:default:outlook-monitor",
		Audience: jwt.ClaimStrings{"api://AzureADTokenExchange"}, ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}).SignedString([]byte("cluster"))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(token)
}

func TestLogsInWithEachCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	ids := w.users(2)
	tests := map[string]func(*graph.Config){
		"a secret":            func(cfg *graph.Config) { cfg.ClientSecret = graphsim.DefaultClientSecret },
		"a certificate":       func(cfg *graph.Config) { cfg.CertificatePath = "testdata/plain.pem" },
		"a workload identity": func(cfg *graph.Config) { cfg.FederatedTokenFile = write(t, "token", federatedToken(t)) },
		"the secret before it": func(cfg *graph.Config) {
			cfg.ClientSecret, cfg.CertificatePath = graphsim.DefaultClientSecret, "nowhere"
		},
	}
	for name, set := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := w.config
			cfg.ClientSecret = ""
			set(&cfg)
			c := w.idleClient(cfg)
			if err := c.Token(t.Context()); err != nil {
				t.Errorf("Token = %v, want nil", err)
			}
			for _, r := range c.Read(t.Context(), ids, nil) {
				if r.Err != nil {
					t.Errorf("Read = %v, want the setting", r.Err)
				}
			}
			w.logsInToRedis(cfg)
		})
	}
}

// logsInToRedis checks that the same credential gets a token for another service.
func (w *world) logsInToRedis(cfg graph.Config) {
	w.t.Helper()
	var heard string
	source, err := graph.NewTokenSource(cfg, "https://redis.azure.com/.default", func(object, token string) { heard = object + token })
	if err != nil {
		w.t.Fatal(err)
	}
	object, token, err := source.Token(w.t.Context())
	if err != nil || object != graphsim.DefaultClientID || token == "" || heard != object+token {
		w.t.Errorf("Token = %q, %d bytes, %v, want one for %s that was heard of", object, len(token), err, graphsim.DefaultClientID)
	}
}

// A managed identity is asked for at an address that the platform puts into the
// environment; here it is one that passes on to the local Graph.
func TestLogsInWithAManagedIdentity(t *testing.T) {
	w := newWorld(t, graphsim.Config{})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: tlsFor(w.config.RootCAs)}}
	t.Cleanup(client.CloseIdleConnections)
	platform := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-IDENTITY-HEADER") != "platform" || r.URL.Query().Get("client_id") != "the-identity" {
			http.Error(rw, "no", http.StatusForbidden)
			return
		}
		resp, err := client.PostForm(w.URL()+"/"+w.TenantID()+"/oauth2/v2.0/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {graphsim.DefaultClientID},
			"client_secret": {graphsim.DefaultClientSecret}, "scope": {r.URL.Query().Get("resource") + "/.default"}})
		if err != nil {
			http.Error(rw, "down", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		var token struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&token); err != nil {
			http.Error(rw, "odd", http.StatusBadGateway)
			return
		}
		body, err := json.Marshal(map[string]any{"access_token": token.AccessToken, "token_type": "Bearer",
			"expires_on": time.Now().Add(time.Hour).Unix(), "resource": r.URL.Query().Get("resource")})
		if err != nil {
			panic(err) // strings and a number
		}
		answerJSON(rw, http.StatusOK, string(body))
	}))
	t.Cleanup(platform.Close)
	t.Setenv("IDENTITY_ENDPOINT", platform.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "platform")
	cfg := w.config
	cfg.ClientSecret, cfg.TenantID, cfg.ClientID = "", "", ""
	cfg.ManagedIdentity, cfg.ManagedIdentityClientID = true, "the-identity"
	c := w.idleClient(cfg)
	if r := c.Read(t.Context(), w.users(1), nil)[0]; r.Err != nil {
		t.Errorf("Read = %v, want the setting", r.Err)
	}
	w.logsInToRedis(cfg)
}

func TestReadsTheCertificateAtEachLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	cfg := w.config
	cfg.ClientSecret, cfg.CertificatePath = "", write(t, "app.pem", []byte("to come"))
	c := w.idleClient(cfg)
	if err := c.Token(t.Context()); !errors.Is(err, ooo.ErrUnauthorized) {
		t.Errorf("Token = %v, want %v", err, ooo.ErrUnauthorized)
	}
	pair, err := os.ReadFile("testdata/plain.pem")
	if err == nil {
		err = os.WriteFile(cfg.CertificatePath, pair, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	await.True(t, "a login with the new file", func() bool { return c.Token(t.Context()) == nil })
}

// The files in testdata end in 2126, and their password is open-sesame. They were made
// by OpenSSL 3 and keytool: those of PKCS#12 with AES-256 and SHA-256, as Windows too
// writes them, but for older.p12, with 3DES and SHA-1.
func TestCertificateFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	tests := map[string]struct {
		file, password string
		want           string // what the error says; empty: it works
	}{
		"PEM":                         {"testdata/plain.pem", "", ""},
		"PEM beside a password":       {"testdata/plain.pem", "open-sesame", ""},
		"PKCS#12 of OpenSSL 3":        {"testdata/openssl3.p12", "open-sesame", ""},
		"PKCS#12 of keytool":          {"testdata/keytool.p12", "open-sesame", ""},
		"PKCS#12 of older programs":   {"testdata/older.p12", "open-sesame", ""},
		"a wrong password":            {"testdata/openssl3.p12", "sesame", "AZURE_CLIENT_CERTIFICATE_PASSWORD does not open"},
		"no password":                 {"testdata/openssl3.p12", "", "AZURE_CLIENT_CERTIFICATE_PASSWORD does not open"},
		"an encrypted key":            {"testdata/encrypted.pem", "open-sesame", "is encrypted: decrypt it with openssl pkey"},
		"an encrypted key, old style": {"testdata/encrypted-rsa.pem", "", "is encrypted: decrypt it with openssl pkey"},
		"neither PEM nor PKCS#12":     {write(t, "app.pem", []byte("n01se")), "", "neither PEM nor PKCS#12"},
		"no key":                      {write(t, "app.pem", w.CAPEM()), "", "a certificate and its RSA private key"},
		"no file":                     {"testdata/none.pem", "", "AZURE_CLIENT_CERTIFICATE_PATH can't be read"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := w.config
			cfg.ClientSecret, cfg.CertificatePath, cfg.CertificatePassword = "", tt.file, tt.password
			ends, unread := cfg.CertificateExpires()
			for what, err := range map[string]error{"Token": w.idleClient(cfg).Token(t.Context()), "CertificateExpires": unread} {
				switch {
				case tt.want == "" && err != nil:
					t.Errorf("%s = %v, want nil", what, err)
				case tt.want != "" && (!errors.Is(err, ooo.ErrUnauthorized) || !strings.Contains(err.Error(), tt.want)):
					t.Errorf("%s = %v, want %v with %q", what, err, ooo.ErrUnauthorized, tt.want)
				case err != nil && strings.Contains(err.Error(), "sesame"), err != nil && strings.Contains(err.Error(), "n01se"):
					t.Errorf("%s = %v, want no password and nothing of the file", what, err)
				}
			}
			if tt.want == "" && ends.Year() != 2126 {
				t.Errorf("CertificateExpires = %v, want 2126", ends)
			}
		})
	}
}

func TestFederatedTokensThatCannotWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	for name, file := range map[string]string{"no such file": "/nowhere/token", "noise": write(t, "token", []byte("n01se"))} {
		cfg := w.config
		cfg.ClientSecret, cfg.FederatedTokenFile = "", file
		err := w.idleClient(cfg).Token(t.Context())
		if !errors.Is(err, ooo.ErrUnauthorized) || strings.Contains(err.Error(), "n01se") {
			t.Errorf("%s: Token = %v, want %v without what the file holds", name, err, ooo.ErrUnauthorized)
		}
	}
}

func TestGrantSaysWhatTheTokenAllows(t *testing.T) {
	t.Parallel()
	roles := []string{"MailboxSettings.Read", "User.Read.All"}
	w := newWorld(t, graphsim.Config{Roles: roles, TokenLifetime: 20 * time.Minute})
	c := w.idleClient(w.config)
	if !c.TokenExpires().IsZero() {
		t.Error("TokenExpires = a time before the first login, want none")
	}
	got, err := c.Grant(t.Context())
	left := time.Until(got.Expires)
	if err != nil || !got.Readable || !slices.Equal(got.Roles, roles) || left < 10*time.Minute || left > 21*time.Minute {
		t.Errorf("Grant = %+v, %v, want %v for 20 minutes", got, err, roles)
	}
	if !c.TokenExpires().Equal(got.Expires) {
		t.Errorf("TokenExpires = %v, want %v", c.TokenExpires(), got.Expires)
	}
}
