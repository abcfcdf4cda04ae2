package graphsim_test

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
)

func TestTokenVerifiesWithPublishedKeys(t *testing.T) {
	f := start(t, graphsim.Config{})
	for name, tt := range map[string]struct{ path, issuer string }{
		"version 1": {"/.well-known/openid-configuration", "https://sts.windows.net/" + f.TenantID() + "/"},
		"version 2": {"/v2.0/.well-known/openid-configuration", f.URL() + "/" + f.TenantID() + "/v2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			meta := f.send("GET", f.URL()+"/"+f.TenantID()+tt.path, nil, nil).body
			if endpoint, _ := meta["token_endpoint"].(string); meta["issuer"] != tt.issuer || !strings.HasPrefix(endpoint, f.URL()) {
				t.Errorf("metadata = %v, want the issuer %s and an endpoint of the server", meta, tt.issuer)
			}
			var set struct {
				Keys []struct{ Kid, Kty, N, E string }
			}
			keys := f.send("GET", meta["jwks_uri"].(string), nil, nil)
			if err := json.Unmarshal(keys.raw, &set); err != nil || len(set.Keys) != 1 {
				t.Fatalf("keys = %s, want one", keys.raw)
			}
			n, _ := base64.RawURLEncoding.DecodeString(set.Keys[0].N)
			e, _ := base64.RawURLEncoding.DecodeString(set.Keys[0].E)
			public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
			claims := jwt.MapClaims{}
			token, err := jwt.ParseWithClaims(f.token, claims, func(*jwt.Token) (any, error) { return public, nil },
				jwt.WithAudience(f.URL()), jwt.WithValidMethods([]string{"RS256"}))
			must.NoError(t, err)
			if token.Header["kid"] != set.Keys[0].Kid || claims["tid"] != f.TenantID() || claims["appid"] != graphsim.DefaultClientID {
				t.Errorf("token = %v %v, want key %s, tenant and application", token.Header, claims, set.Keys[0].Kid)
			}
		})
	}
}

func TestInvalidLogin(t *testing.T) {
	f := start(t, graphsim.Config{})
	for name, tt := range map[string]struct {
		field, value string
		status       int
		code, number string
	}{
		"wrong secret":           {"client_secret", "guess", 401, "invalid_client", "AADSTS7000215"},
		"no secret":              {"client_secret", "", 401, "invalid_client", "AADSTS7000218"},
		"unknown application":    {"client_id", "nobody", 400, "unauthorized_client", "AADSTS700016"},
		"unsupported grant type": {"grant_type", "password", 400, "unsupported_grant_type", "AADSTS70003"},
		"scope of a permission":  {"scope", f.URL() + "/User.Read", 400, "invalid_scope", "AADSTS1002012"},
		"no scope":               {"scope", "", 400, "invalid_scope", "AADSTS1002012"},
	} {
		t.Run(name, func(t *testing.T) {
			form := f.tokenForm()
			form.Set(tt.field, tt.value)
			a := f.postForm(form)
			text, _ := a.body["error_description"].(string)
			if a.status != tt.status || a.body["error"] != tt.code || !strings.HasPrefix(text, tt.number+":") {
				t.Errorf("answer = %d %s, want %d %s %s", a.status, a.raw, tt.status, tt.code, tt.number)
			}
			if strings.Contains(text, "guess") {
				t.Error("the answer repeats the secret")
			}
		})
	}
	a := f.send("GET", f.URL()+"/11111111-2222-3333-4444-555555555555/v2.0/.well-known/openid-configuration", nil, nil)
	if a.status != 400 || a.body["error"] != "invalid_tenant" {
		t.Errorf("unknown tenant = %d %s, want 400 invalid_tenant", a.status, a.raw)
	}
}

func TestClientAssertion(t *testing.T) {
	f := start(t, graphsim.Config{})
	for name, tt := range map[string]struct {
		claim  string
		value  any
		status int
	}{
		"valid":             {"jti", "1", 200},
		"other audience":    {"aud", "https://elsewhere.example/token", 401},
		"other issuer":      {"iss", "nobody", 401},
		"other subject":     {"sub", "nobody", 401},
		"expired":           {"exp", time.Now().Add(-time.Minute).Unix(), 401},
		"workload identity": {"aud", "api://AzureADTokenExchange", 200},
	} {
		t.Run(name, func(t *testing.T) {
			claims := jwt.MapClaims{
				"iss": graphsim.DefaultClientID, "sub": graphsim.DefaultClientID, "aud": f.tokenURL(),
				"exp": time.Now().Add(time.Minute).Unix(), "nbf": time.Now().Unix(),
			}
			claims[tt.claim] = tt.value
			assertion, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("the simulator can't know the key"))
			f.Must(err)
			form := f.tokenForm()
			form.Del("client_secret")
			form.Set("scope", f.URL()+"/.default openid offline_access profile")
			form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			form.Set("client_assertion", assertion)
			if a := f.postForm(form); a.status != tt.status {
				t.Errorf("answer = %d %s, want %d", a.status, a.raw, tt.status)
			}
		})
	}
}

func TestInvalidTokens(t *testing.T) {
	t.Parallel()
	f := start(t, graphsim.Config{TokenLifetime: time.Second})
	path := "/users/" + f.addUser("ann@contoso.example").ID
	form := f.tokenForm()
	form.Set("scope", "https://vault.example/.default")
	for name, tt := range map[string]struct {
		token   func() string
		message string
	}{
		"none":              {func() string { return "" }, "empty"},
		"no JWT":            {func() string { return "nonsense" }, "signature"},
		"changed signature": {func() string { return f.login() + "AAAA" }, "signature"},
		"other audience":    {func() string { return f.postForm(form).body["access_token"].(string) }, "audience"},
		"revoked": {func() string {
			defer f.RevokeTokens()
			return f.login()
		}, "revoked"},
		"expired": {func() string {
			f.token = f.login()
			await.True(t, "the token expires", func() bool { return f.graph("GET", path, nil).status == 401 })
			return f.token
		}, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.send("GET", f.URL()+"/v1.0"+path, http.Header{"Authorization": {"Bearer " + tt.token()}}, nil)
			if a.status != 401 || a.code() != "InvalidAuthenticationToken" || !strings.Contains(a.message(), tt.message) {
				t.Errorf("answer = %d %s, want 401 InvalidAuthenticationToken, %q", a.status, a.raw, tt.message)
			}
			if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("WWW-Authenticate = %q, want a Bearer challenge", a.header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestRoles(t *testing.T) {
	const user = "/users/user0001@contoso.example"
	requests := []struct {
		role, method, path, body string
		status                   int // with the role
		code                     string
	}{
		{"User.Read.All", "GET", user, "", 200, ""},
		{"User.Read.All", "GET", "/users", "", 200, ""},
		{"MailboxSettings.Read", "GET", user + repliesPath, "", 200, ""},
		{"MailboxSettings.Read", "GET", user + "/mailboxSettings", "", 200, ""},
		{"Presence.Read.All", "POST", "/communications/getPresencesByUserId", `{"ids":[]}`, 400, "BadRequest"},
		{"Presence.Read.All", "POST", "/communications/getPresencesByUserId", `{"ids":["x"` + strings.Repeat(`,"x"`, 650) + `]}`, 400, "BadRequest"},
		{"Calendars.Read", "POST", "/subscriptions", `{"resource":"` + user[1:] + `/events"}`, 400, "InvalidRequest"},
	}
	for _, roles := range [][]string{{}, {"User.Read.All"}, {"MailboxSettings.Read"}, {"Presence.Read.All", "Calendars.Read"}} {
		f := start(t, graphsim.Config{Roles: roles})
		f.AddUsers(1)
		for _, r := range requests {
			if !slices.Contains(roles, r.role) {
				r.status, r.code = 403, "Authorization_RequestDenied"
			}
			f.graph(r.method, r.path, r.body).want(t, r.status, r.code)
		}
	}
}
