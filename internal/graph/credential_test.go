package graph_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	ids := e.users(1)
	federatedToken, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: "https://cluster.example", Subject: "system:serviceaccount:default:outlook-monitor",
		Audience: jwt.ClaimStrings{"api://AzureADTokenExchange"}, ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}).SignedString([]byte("cluster"))
	e.Must(err)
	for name, cfg := range map[string]graph.Config{
		"secret":            {ClientSecret: graphsim.DefaultClientSecret},
		"certificate":       {CertificatePath: "testdata/plain.pem"},
		"workload identity": {FederatedTokenFile: filetest.Temp(t, "token", federatedToken)},
		"secret first":      {ClientSecret: graphsim.DefaultClientSecret, CertificatePath: "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Endpoint, cfg.AuthorityHost, cfg.RootCAs = e.config.Endpoint, e.config.AuthorityHost, e.config.RootCAs
			cfg.TenantID, cfg.ClientID = e.config.TenantID, e.config.ClientID
			e.checkLogins(t, cfg, ids)
		})
	}
}

// checkLogins logs in to Graph and, with a TokenSource, to another service.
func (e *env) checkLogins(t *testing.T, cfg graph.Config, ids []ooo.ObjectID) {
	t.Helper()
	if r := e.newClient(cfg).Read(t.Context(), ids, nil)[0]; r.Err != nil {
		t.Errorf("Read = %v, want the setting", r.Err)
	}
	var renewed string
	source := graph.NewTokenSource(cfg, "https://redis.azure.com/.default", func(objectID, token string) { renewed = objectID + token })
	objectID, token, err := source.Token(t.Context())
	if err != nil || objectID != graphsim.DefaultClientID || token == "" || renewed != objectID+token {
		t.Errorf("Token = %q, %d bytes, %v, want one for %s that onRenew received", objectID, len(token), err, graphsim.DefaultClientID)
	}
}

// The platform provides managed identities at an address in the environment. Here it logs in
// to the local Graph with the secret.
func TestManagedIdentity(t *testing.T) {
	e := newEnv(t, graphsim.Config{})
	platform := programtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resource := r.URL.Query().Get("resource")
		if r.Header.Get("X-IDENTITY-HEADER") != "platform" || r.URL.Query().Get("client_id") != "the-identity" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, token, err := graph.NewTokenSource(e.config, resource+"/.default", func(string, string) {}).Token(r.Context())
		if err != nil {
			t.Error(err)
		}
		writeJSON(w, http.StatusOK, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_on":%d,"resource":%q}`,
			token, time.Now().Add(time.Hour).Unix(), resource))
	}))
	t.Setenv("IDENTITY_ENDPOINT", platform+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "platform")
	cfg := e.config
	cfg.ClientSecret, cfg.TenantID, cfg.ClientID = "", "", ""
	cfg.ManagedIdentity, cfg.ManagedIdentityClientID = true, "the-identity"
	e.checkLogins(t, cfg, e.users(1))
}

func TestCertificateReadAtEachLogin(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	cfg := e.config
	cfg.ClientSecret, cfg.CertificatePath = "", filetest.Temp(t, "app.pem", "not yet")
	c := e.newClient(cfg)
	if err := c.Token(t.Context()); !errors.Is(err, ooo.ErrUnauthorized) {
		t.Errorf("Token = %v, want %v", err, ooo.ErrUnauthorized)
	}
	filetest.Write(t, cfg.CertificatePath, filetest.Read(t, "testdata/plain.pem"))
	await.True(t, "a login with the new file", func() bool { return c.Token(t.Context()) == nil })
}

// The certificates in testdata expire in 2126; their password is open-sesame. They were made
// with OpenSSL 3 and keytool. The PKCS#12 files use AES-256 and SHA-256, as those of Windows
// do, except older.p12, which uses 3DES and SHA-1.
func TestCertificateFiles(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	for name, tt := range map[string]struct {
		file, password string
		want           string // in the error; empty: no error
	}{
		"PEM and a password":      {"testdata/plain.pem", "open-sesame", ""},
		"PKCS#12 of OpenSSL 3":    {"testdata/openssl3.p12", "open-sesame", ""},
		"PKCS#12 of keytool":      {"testdata/keytool.p12", "open-sesame", ""},
		"PKCS#12, 3DES":           {"testdata/older.p12", "open-sesame", ""},
		"wrong password":          {"testdata/openssl3.p12", "sesame", "AZURE_CLIENT_CERTIFICATE_PASSWORD does not open"},
		"no password":             {"testdata/openssl3.p12", "", "AZURE_CLIENT_CERTIFICATE_PASSWORD does not open"},
		"encrypted key":           {"testdata/encrypted.pem", "open-sesame", "is encrypted: decrypt it with openssl pkey"},
		"encrypted key, OpenSSL":  {"testdata/encrypted-rsa.pem", "", "is encrypted: decrypt it with openssl pkey"},
		"neither PEM nor PKCS#12": {filetest.Temp(t, "app.pem", "n01se"), "", "neither PEM nor PKCS#12"},
		"no key":                  {filetest.Temp(t, "app.pem", string(e.CAPEM())), "", "a certificate and its RSA private key"},
		"no file":                 {"testdata/none.pem", "", "AZURE_CLIENT_CERTIFICATE_PATH can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := e.config
			cfg.ClientSecret, cfg.CertificatePath, cfg.CertificatePassword = "", tt.file, tt.password
			expires, expiresErr := cfg.CertificateExpires()
			for what, err := range map[string]error{"Token": e.newClient(cfg).Token(t.Context()), "CertificateExpires": expiresErr} {
				switch {
				case tt.want == "" && err != nil:
					t.Errorf("%s = %v, want nil", what, err)
				case tt.want != "" && (!errors.Is(err, ooo.ErrUnauthorized) || !strings.Contains(err.Error(), tt.want)):
					t.Errorf("%s = %v, want %v with %q", what, err, ooo.ErrUnauthorized, tt.want)
				case err != nil && strings.Contains(err.Error(), "sesame"), err != nil && strings.Contains(err.Error(), "n01se"):
					t.Errorf("%s = %v, want neither the password nor the file's content", what, err)
				}
			}
			if tt.want == "" && expires.Year() != 2126 {
				t.Errorf("CertificateExpires = %v, want 2126", expires)
			}
		})
	}
}

func TestGrant(t *testing.T) {
	t.Parallel()
	roles := []string{"MailboxSettings.Read", "User.Read.All"}
	e := newEnv(t, graphsim.Config{Roles: roles, TokenLifetime: 20 * time.Minute})
	c := e.newClient(e.config)
	if !c.TokenExpires().IsZero() {
		t.Error("TokenExpires is set before the first login, want the zero time")
	}
	got, err := c.Grant(t.Context())
	left := time.Until(got.Expires)
	if err != nil || !got.Readable || !slices.Equal(got.Roles, roles) || left < 10*time.Minute || left > 21*time.Minute {
		t.Errorf("Grant = %+v, %v, want %v and an expiry in 20 minutes", got, err, roles)
	}
	if !c.TokenExpires().Equal(got.Expires) {
		t.Errorf("TokenExpires = %v, want %v", c.TokenExpires(), got.Expires)
	}
}
