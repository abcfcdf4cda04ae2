package graphsim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// login issues and checks access tokens.
type login struct {
	cfg       Config
	key       *rsa.PrivateKey
	keyID     string
	audiences map[string]bool // that Graph accepts

	mu     sync.Mutex
	grants map[string]*grant // by token; guarded by mu
}

func newLogin(cfg Config, audiences map[string]bool) (*login, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key.N.Bytes())
	return &login{
		cfg: cfg, key: key, keyID: base64.RawURLEncoding.EncodeToString(sum[:15]),
		audiences: audiences, grants: make(map[string]*grant),
	}, nil
}

func (l *login) issuerV1() string { return "https://sts.windows.net/" + l.cfg.TenantID + "/" }

// issue returns a signed access token for audience, in version 1.0 like those for Graph.
func (l *login) issue(audience string, now time.Time) (string, error) {
	expires := now.Add(l.cfg.TokenLifetime + time.Second - 1).Truncate(time.Second) // rounded up
	token, err := l.sign(jwt.MapClaims{
		"iss": l.issuerV1(), "sub": l.cfg.ClientID, "aud": audience,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": expires.Unix(),
		"appid": l.cfg.ClientID, "tid": l.cfg.TenantID, "oid": l.cfg.ClientID, "idtyp": "app",
		"roles": l.cfg.Roles, "ver": "1.0", "uti": requestID(),
	})
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.grants, func(_ string, g *grant) bool { return now.Sub(g.expires) > time.Hour })
	l.grants[token] = &grant{audience: strings.TrimRight(audience, "/"), expires: expires}
	return token, nil
}

func (l *login) sign(claims jwt.MapClaims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header["kid"] = l.keyID
	t.Header["x5t"] = l.keyID
	return t.SignedString(l.key)
}

// check returns why the bearer token in an Authorization header is refused, or nil. It
// looks the token up and need not check the signature.
func (l *login) check(header string, now time.Time) *reply {
	refuse := func(message string) *reply { return fail(http.StatusUnauthorized, invalidToken, message) }
	scheme, token, _ := strings.Cut(header, " ")
	if token == "" || !strings.EqualFold(scheme, "Bearer") {
		return refuse("Access token is empty.")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.grants[token]
	switch {
	case g == nil:
		return refuse("Access token validation failure. Invalid signature.")
	case !now.Before(g.expires):
		return refuse("Lifetime validation failed, the token is expired.")
	case !l.audiences[g.audience]:
		return refuse("Access token validation failure. Invalid audience.")
	case g.revoked:
		return refuse("Access token has been revoked.")
	}
	return nil
}

// keys returns the JSON Web Key Set for verifying tokens.
func (l *login) keys(issuer string) map[string]any {
	return map[string]any{"keys": []map[string]any{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": l.keyID, "x5t": l.keyID,
		"n":      base64.RawURLEncoding.EncodeToString(l.key.N.Bytes()),
		"e":      base64.RawURLEncoding.EncodeToString(big.NewInt(int64(l.key.E)).Bytes()),
		"issuer": issuer,
	}}}
}

// publisherID is the application in validation tokens, which sends notifications.
const publisherID = "0bf30f3b-4a52-48df-9a82-234910c4a086"

// validationToken returns a token that proves that a notification with resource data
// comes from Graph.
func (l *login) validationToken(now time.Time) (string, error) {
	return l.sign(jwt.MapClaims{
		"iss": l.issuerV1(), "sub": publisherID, "aud": l.cfg.ClientID,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"appid": publisherID, "tid": l.cfg.TenantID, "ver": "1.0",
	})
}

// RevokeTokens revokes all tokens issued so far.
func (s *Server) RevokeTokens() {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	for _, g := range s.login.grants {
		g.revoked = true
	}
}
