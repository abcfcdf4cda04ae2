package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/errgroup"
)

// The errors of [Tokens.Check].
var (
	// ErrBadToken means that there is no token, or that one was not issued to Graph for
	// this application and tenant.
	ErrBadToken = errors.New("invalid validation token")
	// ErrNoMetadata means that no token was found to be invalid, but the keys of the login
	// endpoint, which are needed to check the signatures, are unavailable.
	ErrNoMetadata = errors.New("keys of the login endpoint unavailable")
)

// The versions of validation tokens. Each has its own metadata, keys and issuer.
const (
	version1 = "1.0"
	version2 = "2.0"
)

var metadataPaths = map[string]string{
	version1: "/.well-known/openid-configuration",
	version2: "/v2.0/.well-known/openid-configuration",
}

// publisher is the application that Graph sends notifications as.
const publisher = "0bf30f3b-4a52-48df-9a82-234910c4a086"

const (
	maxTokens = 100      // of a request
	maxToken  = 16 << 10 // bytes
	clockSkew = 30 * time.Second
)

// TokensConfig says which tokens are valid. All of it but Transport is required.
type TokensConfig struct {
	AuthorityHost string // base URL of the login endpoint, https, without a trailing slash
	TenantID      string // an id or a domain
	ClientID      string

	Transport http.RoundTripper // to the login endpoint; nil: http.DefaultTransport
	Log       *slog.Logger
}

// Tokens checks the validation tokens that come with resource data.
type Tokens struct {
	cfg       TokensConfig
	parser    *jwt.Parser
	validator *jwt.Validator
	sources   map[string]*keySource // by token version
}

// NewTokens returns a checker, which has no keys until [Tokens.Run] has fetched them.
func NewTokens(cfg TokensConfig) *Tokens {
	return &Tokens{
		cfg:       cfg,
		parser:    jwt.NewParser(jwt.WithStrictDecoding()),
		validator: jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithLeeway(clockSkew)),
		sources:   map[string]*keySource{version1: newKeySource(cfg, version1), version2: newKeySource(cfg, version2)},
	}
}

// Run fetches the keys at once and then every hour, until ctx ends.
func (t *Tokens) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, source := range t.sources {
		g.Go(func() error { return source.run(ctx) })
	}
	return g.Wait()
}

// Check returns nil if there are tokens and all are valid, [ErrBadToken] if one is invalid
// or there is none, and [ErrNoMetadata] otherwise. It may wait for keys until ctx ends.
func (t *Tokens) Check(ctx context.Context, tokens []string) error {
	if len(tokens) == 0 || len(tokens) > maxTokens {
		return invalid("number of tokens")
	}
	var unavailable error
	for _, token := range tokens {
		switch err := t.check(ctx, token); {
		case errors.Is(err, ErrNoMetadata):
			unavailable = err
		case err != nil:
			return err
		}
	}
	return unavailable
}

// invalid returns an ErrBadToken that names the invalid part of a token without quoting it.
func invalid(part string) error { return fmt.Errorf("%w: %s", ErrBadToken, part) }

// claims are those of a validation token of either version.
type claims struct {
	jwt.RegisteredClaims
	TenantID        string `json:"tid"`
	Version         string `json:"ver"`
	AppID           string `json:"appid"` // the application it was issued to, in version 1.0
	AuthorizedParty string `json:"azp"`   // the same in version 2.0
}

// check checks one token. Checks without keys come first, so that an invalid token neither
// waits for keys nor requests them.
func (t *Tokens) check(ctx context.Context, token string) error {
	if len(token) > maxToken {
		return invalid("length")
	}
	var c claims
	parsed, parts, err := t.parser.ParseUnverified(token, &c)
	if err != nil {
		return invalid("format")
	}
	keyID, _ := parsed.Header["kid"].(string)
	_, critical := parsed.Header["crit"]
	source, caller := t.sources[c.Version], c.AppID
	if c.Version == version2 {
		caller = c.AuthorizedParty
	}
	switch {
	case parsed.Method != jwt.SigningMethodRS256 || critical:
		return invalid("algorithm")
	case keyID == "":
		return invalid("key id")
	case source == nil:
		return invalid("version")
	case t.validator.Validate(&c) != nil:
		return invalid("validity period")
	case len(c.Audience) != 1 || !strings.EqualFold(c.Audience[0], t.cfg.ClientID):
		return invalid("audience")
	case !strings.EqualFold(caller, publisher):
		return invalid("caller")
	}
	key, published, err := source.find(ctx, keyID)
	switch {
	case err != nil:
		return err
	case c.Issuer != published.issuer:
		return invalid("issuer")
	case !strings.EqualFold(c.TenantID, published.tenant):
		return invalid("tenant")
	case parsed.Method.Verify(parts[0]+"."+parts[1], parsed.Signature, key) != nil:
		return invalid("signature")
	}
	return nil
}
