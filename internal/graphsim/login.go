package graphsim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxLoginBody limits the size of a token request.
const maxLoginBody = 64 << 10

// federatedAudience is the audience of a workload identity's assertion.
const federatedAudience = "api://AzureADTokenExchange"

// loginReply answers a request to the login endpoint, below /{tenant}/.
func (s *Server) loginReply(w http.ResponseWriter, r *http.Request) *reply {
	tenant, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	base := "https://" + r.Host + "/" + tenant
	issuerV2 := base + "/v2.0"
	switch {
	case ok && !strings.EqualFold(tenant, s.cfg.TenantID):
		return loginError(http.StatusBadRequest, "invalid_tenant", 90002, fmt.Sprintf(
			"Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant))
	case rest == ".well-known/openid-configuration":
		return respond(http.StatusOK, metadata(base, s.issuerV1(), "discovery/keys", "oauth2"))
	case rest == "v2.0/.well-known/openid-configuration":
		return respond(http.StatusOK, metadata(base, issuerV2, "discovery/v2.0/keys", "oauth2/v2.0"))
	case rest == "discovery/keys":
		return respond(http.StatusOK, s.keys(s.issuerV1()))
	case rest == "discovery/v2.0/keys":
		return respond(http.StatusOK, s.keys(issuerV2))
	case rest == "oauth2/v2.0/token":
		rep := s.token(w, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.call(opToken, rep)
		return rep
	}
	return fail(http.StatusNotFound, "ResourceNotFound", "Resource not found.")
}

func metadata(base, issuer, keys, oauth string) map[string]any {
	return map[string]any{
		"issuer":                                issuer,
		"authorization_endpoint":                base + "/" + oauth + "/authorize",
		"token_endpoint":                        base + "/" + oauth + "/token",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		"jwks_uri":                              base + "/" + keys,
		"response_types_supported":              []string{"code", "id_token"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"tenant_region_scope":                   "WW",
		"cloud_instance_name":                   "microsoftonline.com",
	}
}

// token is POST /{tenant}/oauth2/v2.0/token for client credentials.
func (s *Server) token(w http.ResponseWriter, r *http.Request) *reply {
	s.mu.Lock()
	rep := s.applyFaults(&call{ctx: r.Context()}, opToken)
	s.mu.Unlock()
	if rep != nil {
		transient := loginError(rep.status, "temporarily_unavailable", 90033, "A transient error has occurred. Please try again.")
		transient.retryAfter, transient.reset = rep.retryAfter, rep.reset
		return transient
	}
	if r.Method != http.MethodPost {
		return loginError(http.StatusBadRequest, "invalid_request", 900561,
			"The endpoint only accepts POST requests. Received a "+r.Method+" request.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLoginBody)
	if err := r.ParseForm(); err != nil {
		return loginError(http.StatusBadRequest, "invalid_request", 9000410, "Malformed request body.")
	}
	form := r.PostForm
	if got := form.Get("grant_type"); got != "client_credentials" {
		return loginError(http.StatusBadRequest, "unsupported_grant_type", 70003,
			fmt.Sprintf("The app requested an unsupported grant type '%s'.", got))
	}
	if got := form.Get("client_id"); !strings.EqualFold(got, s.cfg.ClientID) {
		return loginError(http.StatusBadRequest, "unauthorized_client", 700016,
			fmt.Sprintf("Application with identifier '%s' was not found in the directory.", got))
	}
	if rep := s.checkCredential(r, form); rep != nil {
		return rep
	}
	audience := audienceOf(form.Get("scope"))
	if audience == "" {
		return loginError(http.StatusBadRequest, "invalid_scope", 1002012,
			"The provided value for scope is not valid. Client credential flows must have a scope value with /.default "+
				"suffixed to the resource identifier (application ID URI).")
	}
	token := s.issueToken(audience, time.Now())
	if s.cfg.OnToken != nil && !s.audiences[strings.TrimRight(audience, "/")] {
		s.cfg.OnToken(audience, s.cfg.ClientID, token, s.cfg.TokenLifetime)
	}
	life := int(s.cfg.TokenLifetime / time.Second)
	w.Header().Set("Cache-Control", "no-store, no-cache")
	return respond(http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token,
	})
}

// checkCredential checks the secret or the assertion of a token request.
func (s *Server) checkCredential(r *http.Request, form url.Values) *reply {
	refuse := func(number int, text string) *reply {
		return loginError(http.StatusUnauthorized, "invalid_client", number, text)
	}
	secret, assertion := form.Get("client_secret"), form.Get("client_assertion")
	switch {
	case assertion != "":
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || !s.assertionFits(r, assertion) {
			return refuse(700021, "Client assertion application identifier doesn't match 'client_id' parameter, or its audience or times are wrong.")
		}
	case secret == "":
		return refuse(7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case secret != s.cfg.ClientSecret:
		return refuse(7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "+
			"not the client secret ID.")
	}
	return nil
}

// audienceOf returns the resource in a space-separated scope, or "" if there isn't
// exactly one. It skips the OpenID scopes that login libraries add.
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

// assertionFits reports whether a client assertion is for this client, or federated. It
// cannot check the signature, because it does not know the key.
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

// loginError returns an error in the format of the login endpoint.
func loginError(status int, code string, number int, text string) *reply {
	now := time.Now().UTC().Format("2006-01-02 15:04:05Z")
	trace, correlation := requestID(), requestID()
	return respond(status, map[string]any{
		"error": code,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			number, text, trace, correlation, now),
		"error_codes":    []int{number},
		"timestamp":      now,
		"trace_id":       trace,
		"correlation_id": correlation,
	})
}
