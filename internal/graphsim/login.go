package graphsim

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// loginBody bounds a token request.
const loginBody = 64 << 10

// federatedAudience is the audience of a workload identity's assertion.
const federatedAudience = "api://AzureADTokenExchange"

// serveLogin answers what lies under /{tenant}/ and belongs to the login
// endpoint. It says whether the path was one of those.
func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request) bool {
	tenant, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !ok {
		return false
	}
	base := "https://" + r.Host + "/" + tenant
	issuer := base + "/v2.0"
	var answer func()
	switch rest {
	case "v2.0/.well-known/openid-configuration":
		answer = func() { writeJSON(w, http.StatusOK, s.metadata(base, issuer, "/discovery/v2.0/keys", "/oauth2/v2.0")) }
	case ".well-known/openid-configuration":
		issuer = s.login.issuerV1()
		answer = func() { writeJSON(w, http.StatusOK, s.metadata(base, issuer, "/discovery/keys", "/oauth2")) }
	case "discovery/v2.0/keys", "discovery/keys":
		answer = func() { writeJSON(w, http.StatusOK, s.login.keys(issuer)) }
	case "oauth2/v2.0/token":
		answer = func() { s.serveToken(w, r) }
	default:
		return false
	}
	if !strings.EqualFold(tenant, s.cfg.TenantID) {
		s.loginError(w, http.StatusBadRequest, "invalid_tenant", 90002, fmt.Sprintf(
			"Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant))
		return true
	}
	answer()
	return true
}

func (s *Server) metadata(base, issuer, keys, oauth string) map[string]any {
	return map[string]any{
		"issuer":                                issuer,
		"authorization_endpoint":                base + oauth + "/authorize",
		"token_endpoint":                        base + oauth + "/token",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		"jwks_uri":                              base + keys,
		"response_types_supported":              []string{"code", "id_token"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"tenant_region_scope":                   "WW",
		"cloud_instance_name":                   "microsoftonline.com",
	}
}

// serveToken is POST /{tenant}/oauth2/v2.0/token for client credentials.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	w = s.stats.watch(w, opToken)
	if !s.disturb(w, r, opToken) {
		return
	}
	if r.Method != http.MethodPost {
		s.loginError(w, http.StatusBadRequest, "invalid_request", 900561,
			"The endpoint only accepts POST requests. Received a "+r.Method+" request.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, loginBody)
	if err := r.ParseForm(); err != nil {
		s.loginError(w, http.StatusBadRequest, "invalid_request", 9000410, "Malformed request body.")
		return
	}
	form := r.PostForm
	if got := form.Get("grant_type"); got != "client_credentials" {
		s.loginError(w, http.StatusBadRequest, "unsupported_grant_type", 70003,
			fmt.Sprintf("The app requested an unsupported grant type '%s'.", got))
		return
	}
	if got := form.Get("client_id"); !strings.EqualFold(got, s.cfg.ClientID) {
		s.loginError(w, http.StatusBadRequest, "unauthorized_client", 700016,
			fmt.Sprintf("Application with identifier '%s' was not found in the directory.", got))
		return
	}
	switch secret, assertion := form.Get("client_secret"), form.Get("client_assertion"); {
	case assertion != "":
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || !s.assertionFits(r, assertion) {
			s.loginError(w, http.StatusUnauthorized, "invalid_client", 700021,
				"Client assertion application identifier doesn't match 'client_id' parameter, or its audience or times are wrong.")
			return
		}
	case secret == "":
		s.loginError(w, http.StatusUnauthorized, "invalid_client", 7000218,
			"The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
		return
	case subtle.ConstantTimeCompare([]byte(secret), []byte(s.cfg.ClientSecret)) != 1:
		s.loginError(w, http.StatusUnauthorized, "invalid_client", 7000215,
			"Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.")
		return
	}
	audience := audienceOf(form.Get("scope"))
	if audience == "" {
		s.loginError(w, http.StatusBadRequest, "invalid_scope", 1002012,
			"The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).")
		return
	}
	token, err := s.login.issue(audience, time.Now())
	if err != nil {
		s.loginError(w, http.StatusInternalServerError, "server_error", 50000, "There was an error issuing a token.")
		return
	}
	if s.cfg.OnToken != nil && !s.login.audiences[strings.TrimRight(audience, "/")] {
		s.cfg.OnToken(audience, s.cfg.ClientID, token, s.cfg.TokenLifetime)
	}
	life := int(s.cfg.TokenLifetime / time.Second)
	w.Header().Set("Cache-Control", "no-store, no-cache")
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token,
	})
}

// audienceOf finds the resource in a space separated scope, "" if there isn't
// exactly one; the OpenID scopes that login libraries add are skipped.
func audienceOf(scope string) string {
	var resource string
	for part := range strings.FieldsSeq(scope) {
		if slices.Contains([]string{"openid", "profile", "offline_access"}, part) {
			continue
		}
		base, ok := strings.CutSuffix(part, "/.default")
		if !ok || resource != "" {
			return ""
		}
		resource = base
	}
	return resource
}

// assertionFits says whether a client assertion is one for this client, or a
// federated one. The key that signed it isn't known here and isn't checked.
func (s *Server) assertionFits(r *http.Request, assertion string) bool {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(assertion, &claims); err != nil {
		return false
	}
	now := time.Now()
	switch {
	case claims.ExpiresAt == nil || !now.Before(claims.ExpiresAt.Time):
		return false
	case claims.NotBefore != nil && now.Add(5*time.Minute).Before(claims.NotBefore.Time):
		return false
	case slices.Contains(claims.Audience, federatedAudience):
		return claims.Issuer != "" && claims.Subject != ""
	}
	return strings.EqualFold(claims.Issuer, s.cfg.ClientID) && strings.EqualFold(claims.Subject, s.cfg.ClientID) &&
		slices.ContainsFunc(claims.Audience, func(a string) bool {
			return strings.EqualFold(a, "https://"+r.Host+r.URL.Path)
		})
}

// loginError answers in the login endpoint's own way.
func (s *Server) loginError(w http.ResponseWriter, status int, code string, number int, text string) {
	now := time.Now().UTC()
	trace, correlation := requestID(), requestID()
	writeJSON(w, status, map[string]any{
		"error": code,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			number, text, trace, correlation, now.Format("2006-01-02 15:04:05Z")),
		"error_codes":    []int{number},
		"timestamp":      now.Format("2006-01-02 15:04:05Z"),
		"trace_id":       trace,
		"correlation_id": correlation,
	})
}
