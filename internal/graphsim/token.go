package graphsim

import (
	"encoding/base64"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Application permissions that operations require.
const (
	roleMailboxSettings = "MailboxSettings.Read"
	roleUsers           = "User.Read.All"
	roleCalendars       = "Calendars.Read"
	roleMail            = "Mail.Read"
	roleContacts        = "Contacts.Read"
	rolePresence        = "Presence.Read.All"
)

// invalidToken is Graph's error code for any access token that it refuses.
const invalidToken = "InvalidAuthenticationToken"

// grant is an issued access token.
type grant struct {
	audience string
	expires  time.Time
	revoked  bool
}

// allows reports whether tokens have a role. They all have the same.
func (s *Server) allows(role string) bool { return slices.Contains(s.cfg.Roles, role) }

func (s *Server) issuerV1() string { return "https://sts.windows.net/" + s.cfg.TenantID + "/" }

// issueToken returns a signed access token for audience, in version 1.0 like those for Graph.
func (s *Server) issueToken(audience string, now time.Time) string {
	expires := now.Add(s.cfg.TokenLifetime + time.Second - 1).Truncate(time.Second) // rounded up
	token := s.sign(jwt.MapClaims{
		"iss": s.issuerV1(), "sub": s.cfg.ClientID, "aud": audience,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": expires.Unix(),
		"appid": s.cfg.ClientID, "tid": s.cfg.TenantID, "oid": s.cfg.ClientID, "idtyp": "app",
		"roles": s.cfg.Roles, "ver": "1.0", "uti": requestID(),
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.grants, func(_ string, g *grant) bool { return now.Sub(g.expires) > time.Hour })
	s.grants[token] = &grant{audience: strings.TrimRight(audience, "/"), expires: expires}
	return token
}

func (s *Server) sign(claims jwt.MapClaims) string {
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header["kid"] = s.keyID
	t.Header["x5t"] = s.keyID
	signed, _ := t.SignedString(s.key) // never fails for an RSA key
	return signed
}

// checkToken returns why the bearer token in an Authorization header is refused, or nil. It
// looks the token up and need not check the signature.
func (s *Server) checkToken(header string, now time.Time) *reply {
	refuse := func(message string) *reply { return fail(http.StatusUnauthorized, invalidToken, message) }
	scheme, token, _ := strings.Cut(header, " ")
	if token == "" || !strings.EqualFold(scheme, "Bearer") {
		return refuse("Access token is empty.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[token]
	switch {
	case g == nil:
		return refuse("Access token validation failure. Invalid signature.")
	case !now.Before(g.expires):
		return refuse("Lifetime validation failed, the token is expired.")
	case !s.audiences[g.audience]:
		return refuse("Access token validation failure. Invalid audience.")
	case g.revoked:
		return refuse("Access token has been revoked.")
	}
	return nil
}

// keys returns the JSON Web Key Set for verifying tokens.
func (s *Server) keys(issuer string) map[string]any {
	return map[string]any{"keys": []map[string]any{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": s.keyID, "x5t": s.keyID,
		"n":      base64.RawURLEncoding.EncodeToString(s.key.N.Bytes()),
		"e":      base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.key.E)).Bytes()),
		"issuer": issuer,
	}}}
}

// publisherID is the application in validation tokens, which sends notifications.
const publisherID = "0bf30f3b-4a52-48df-9a82-234910c4a086"

// validationToken returns a token that proves that a notification with resource data
// comes from Graph.
func (s *Server) validationToken(now time.Time) string {
	return s.sign(jwt.MapClaims{
		"iss": s.issuerV1(), "sub": publisherID, "aud": s.cfg.ClientID,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"appid": publisherID, "tid": s.cfg.TenantID, "ver": "1.0",
	})
}

// RevokeTokens revokes all tokens issued so far.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.grants {
		g.revoked = true
	}
}
