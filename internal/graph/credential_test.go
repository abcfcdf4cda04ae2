package graph_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

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

// newCertificate returns a certificate and its key in PEM.
func newCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "outlook-monitor"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, block := range []*pem.Block{{Type: "PRIVATE KEY", Bytes: pkcs8}, {Type: "CERTIFICATE", Bytes: der}} {
		if err := pem.Encode(&out, block); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
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
		"a certificate":       func(cfg *graph.Config) { cfg.CertificatePath = write(t, "app.pem", newCertificate(t)) },
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
		})
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
}

func TestReadsTheCertificateAtEachLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	path := write(t, "app.pem", []byte("to come"))
	cfg := w.config
	cfg.ClientSecret, cfg.CertificatePath = "", path
	c := w.idleClient(cfg)
	if err := c.Token(t.Context()); !errors.Is(err, ooo.ErrUnauthorized) || !strings.Contains(err.Error(), "AZURE_CLIENT_CERTIFICATE_PATH") {
		t.Errorf("Token = %v, want %v that names AZURE_CLIENT_CERTIFICATE_PATH", err, ooo.ErrUnauthorized)
	}
	if err := os.WriteFile(path, newCertificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "a login with the new file", func() bool { return c.Token(t.Context()) == nil })
}

func TestCredentialsThatCannotWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	certificate, _ := pem.Decode(newCertificate(t))
	tests := map[string]func(*graph.Config){ // what is wrong is in a file
		"no such certificate":        func(cfg *graph.Config) { cfg.CertificatePath = "/nowhere/app.pem" },
		"a key without certificate":  func(cfg *graph.Config) { cfg.CertificatePath = write(t, "app.pem", pem.EncodeToMemory(certificate)) },
		"no such federated token":    func(cfg *graph.Config) { cfg.FederatedTokenFile = "/nowhere/token" },
		"a federated token of noise": func(cfg *graph.Config) { cfg.FederatedTokenFile = write(t, "token", []byte("n01se")) },
	}
	for name, set := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := w.config
			cfg.ClientSecret = ""
			set(&cfg)
			err := w.idleClient(cfg).Token(t.Context())
			if !errors.Is(err, ooo.ErrUnauthorized) || strings.Contains(err.Error(), "n01se") {
				t.Errorf("Token = %v, want %v without what the file holds", err, ooo.ErrUnauthorized)
			}
		})
	}
}
