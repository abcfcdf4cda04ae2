package graphsim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Application permissions that something here asks for.
const (
	roleMailboxSettings = "MailboxSettings.Read"
	roleUsers           = "User.Read.All"
	roleCalendars       = "Calendars.Read"
	roleMail            = "Mail.Read"
	roleContacts        = "Contacts.Read"
	rolePresence        = "Presence.Read.All"
)

func allRoles() []string {
	return []string{roleMailboxSettings, roleUsers, roleCalendars, roleMail, roleContacts, rolePresence}
}

// clockSkew is how far a token's times may be off.
const clockSkew = 0

// grantLimit bounds the tokens remembered as checked.
const grantLimit = 1000

// grant is what a checked access token allows.
type grant struct {
	expires    time.Time
	generation int64
	roles      []string
}

func (g *grant) may(role string) bool { return slices.Contains(g.roles, role) }

// login signs and checks tokens.
type login struct {
	cfg        Config
	key        *rsa.PrivateKey
	keyID      string
	audiences  map[string]bool // set once, before the first request
	generation atomic.Int64    // tokens of an earlier one are revoked

	mu     sync.RWMutex
	grants map[string]*grant // tokens already checked; guarded by mu
}

func newLogin(cfg Config) (*login, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key.N.Bytes())
	return &login{
		cfg:    cfg,
		key:    key,
		keyID:  base64.RawURLEncoding.EncodeToString(sum[:15]),
		grants: make(map[string]*grant),
	}, nil
}

// accessClaims are the claims of an access token, in version 1.0 as Graph's are.
type accessClaims struct {
	jwt.RegisteredClaims
	AppID      string   `json:"appid"`
	TenantID   string   `json:"tid"`
	Object     string   `json:"oid"`
	Identity   string   `json:"idtyp"`
	Roles      []string `json:"roles"`
	Version    string   `json:"ver"`
	TokenID    string   `json:"uti"`
	Generation int64    `json:"xms_gen"`
}

func (l *login) issuerV1() string { return "https://sts.windows.net/" + l.cfg.TenantID + "/" }

// issue returns a signed access token for audience.
func (l *login) issue(audience string, now time.Time) (string, error) {
	return l.sign(accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    l.issuerV1(),
			Subject:   l.cfg.ClientID,
			Audience:  jwt.ClaimStrings{audience},
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(l.cfg.TokenLifetime + time.Second - 1)), // in whole seconds, never less
		},
		AppID: l.cfg.ClientID, TenantID: l.cfg.TenantID, Object: l.cfg.ClientID, Identity: "app",
		Roles: l.cfg.Roles, Version: "1.0", TokenID: requestID(), Generation: l.generation.Load(),
	})
}

func (l *login) sign(claims jwt.Claims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header["kid"] = l.keyID
	t.Header["x5t"] = l.keyID
	return t.SignedString(l.key)
}

var (
	errNoToken       = errors.New("Access token is empty.")
	errTokenExpired  = errors.New("Lifetime validation failed, the token is expired.")
	errTokenAudience = errors.New("Access token validation failure. Invalid audience.")
	errTokenInvalid  = errors.New("Access token validation failure. Invalid signature.")
	errTokenRevoked  = errors.New("Access token has been revoked.")
)

// check returns what the bearer token in an Authorization header allows. The
// texts of its errors are Graph's own.
func (l *login) check(header string, now time.Time) (*grant, error) {
	scheme, token, ok := strings.Cut(header, " ")
	if !ok || token == "" || !strings.EqualFold(scheme, "Bearer") {
		return nil, errNoToken
	}
	l.mu.RLock()
	g := l.grants[token]
	l.mu.RUnlock()
	if g == nil {
		var err error
		if g, err = l.verify(token, now); err != nil {
			return nil, err
		}
		l.remember(token, g, now)
	}
	switch {
	case !now.Before(g.expires):
		return nil, errTokenExpired
	case g.generation != l.generation.Load():
		return nil, errTokenRevoked
	}
	return g, nil
}

func (l *login) verify(token string, now time.Time) (*grant, error) {
	var claims accessClaims
	_, err := jwt.ParseWithClaims(token, &claims,
		func(*jwt.Token) (any, error) { return l.key.Public(), nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithLeeway(clockSkew),
		jwt.WithIssuer(l.issuerV1()), jwt.WithTimeFunc(func() time.Time { return now }))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, errTokenExpired
	case err != nil:
		return nil, errTokenInvalid
	case !slices.ContainsFunc(claims.Audience, func(a string) bool { return l.audiences[strings.TrimRight(a, "/")] }):
		return nil, errTokenAudience
	}
	return &grant{expires: claims.ExpiresAt.Time, generation: claims.Generation, roles: claims.Roles}, nil
}

func (l *login) remember(token string, g *grant, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.grants) >= grantLimit {
		for t, old := range l.grants {
			if !now.Before(old.expires) {
				delete(l.grants, t)
			}
		}
	}
	if len(l.grants) < grantLimit {
		l.grants[token] = g
	}
}

// keys is the JSON Web Key Set with which tokens can be checked.
func (l *login) keys(issuer string) map[string]any {
	return map[string]any{"keys": []map[string]any{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": l.keyID, "x5t": l.keyID,
		"n":      base64.RawURLEncoding.EncodeToString(l.key.N.Bytes()),
		"e":      base64.RawURLEncoding.EncodeToString(big.NewInt(int64(l.key.E)).Bytes()),
		"issuer": issuer,
	}}}
}

// RevokeTokens makes Graph refuse every token issued so far.
func (s *Server) RevokeTokens() { s.login.generation.Add(1) }
