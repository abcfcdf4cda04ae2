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

// How a check of validation tokens ends if they are not all good.
var (
	// ErrBadToken means that a token is not one of Graph's for this application
	// and tenant, or that there is none.
	ErrBadToken = errors.New("a validation token is not Graph's")
	// ErrNoMetadata means that nothing is wrong with the tokens so far, but the keys of
	// the login endpoint, with which they could be checked, can't be had now.
	ErrNoMetadata = errors.New("the login endpoint's keys are not available")
)

// publisher is the application as which Graph sends notifications.
const publisher = "0bf30f3b-4a52-48df-9a82-234910c4a086"

// Bounds of the tokens of a request.
const (
	maxTokens = 100
	maxToken  = 16 << 10
	clockSkew = 30 * time.Second // between the login endpoint and us
)

// TokensConfig says whose tokens are good.
type TokensConfig struct {
	AuthorityHost string // base URL of the login endpoint
	TenantID      string // an id or a domain
	ClientID      string

	Transport http.RoundTripper // to the login endpoint; nil: http.DefaultTransport
	// Refetch is how often keys are fetched at most, whatever arrives; default 1
	// minute.
	Refetch time.Duration
	Log     *slog.Logger
}

// Tokens checks the validation tokens that come with resource data.
type Tokens struct {
	cfg       TokensConfig
	at        authority
	parser    *jwt.Parser
	validator *jwt.Validator
	sources   map[string]*keySource // by a token's version
}

// NewTokens returns a checker that has no keys before [Tokens.Run] has fetched
// them.
func NewTokens(cfg TokensConfig) (*Tokens, error) {
	if cfg.TenantID == "" || cfg.ClientID == "" {
		return nil, errors.New("webhook: TenantID and ClientID are required to check validation tokens")
	}
	at, err := newAuthority(cfg.AuthorityHost)
	if err != nil {
		return nil, err
	}
	if cfg.Refetch <= 0 {
		cfg.Refetch = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Tokens{
		cfg: cfg, at: at,
		parser:    jwt.NewParser(jwt.WithStrictDecoding()),
		validator: jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithLeeway(clockSkew)),
		sources: map[string]*keySource{
			version1: newKeySource(cfg, at, version1),
			version2: newKeySource(cfg, at, version2),
		},
	}, nil
}

// Run fetches the keys ahead and again every hour, until ctx ends.
func (t *Tokens) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, source := range t.sources {
		g.Go(func() error { return source.run(ctx) })
	}
	return g.Wait()
}

// Check returns nil if there are tokens and all of them are good, [ErrBadToken]
// if any is bad, and [ErrNoMetadata] otherwise. It waits for keys until ctx ends
// at most.
func (t *Tokens) Check(ctx context.Context, tokens []string) error {
	if len(tokens) == 0 || len(tokens) > maxTokens {
		return bad("their number")
	}
	var missing error
	for _, token := range tokens {
		switch err := t.check(ctx, token); {
		case errors.Is(err, ErrNoMetadata):
			missing = err
		case err != nil:
			return err
		}
	}
	return missing
}

// bad says what is wrong with a token, without quoting it.
func bad(what string) error { return fmt.Errorf("%w: %s", ErrBadToken, what) }

// claims are those of a validation token of either version.
type claims struct {
	jwt.RegisteredClaims
	TenantID        string `json:"tid"`
	Version         string `json:"ver"`
	AppID           string `json:"appid"` // who called, in version 1.0
	AuthorizedParty string `json:"azp"`   // who called, in version 2.0
}

// caller returns for which application the token was issued.
func (c *claims) caller() string {
	if c.Version == version2 {
		return c.AuthorizedParty
	}
	return c.AppID
}

// check checks one token. What needs no keys comes first, so that they are not
// waited for, or missed, in vain.
func (t *Tokens) check(ctx context.Context, token string) error {
	if len(token) > maxToken {
		return bad("its length")
	}
	var c claims
	parsed, parts, err := t.parser.ParseUnverified(token, &c)
	if err != nil {
		return bad("its form")
	}
	keyID, _ := parsed.Header["kid"].(string)
	_, critical := parsed.Header["crit"]
	tenant, known := t.at.tenant(c.Version, c.Issuer)
	source := t.sources[c.Version]
	switch {
	case parsed.Method != jwt.SigningMethodRS256 || critical:
		return bad("its algorithm")
	case keyID == "":
		return bad("its key id")
	case source == nil:
		return bad("its version")
	case t.validator.Validate(&c) != nil:
		return bad("its time")
	case len(c.Audience) != 1 || !strings.EqualFold(c.Audience[0], t.cfg.ClientID):
		return bad("its audience")
	case !strings.EqualFold(c.caller(), publisher):
		return bad("its caller")
	case !known:
		return bad("its issuer")
	case c.TenantID == "" || !t.ours(c.TenantID) || tenant != "" && !strings.EqualFold(tenant, c.TenantID):
		return bad("its tenant")
	}
	key, published, err := source.find(ctx, keyID)
	switch {
	case err != nil:
		return err
	case c.Issuer != published.issuer:
		return bad("its issuer")
	case !strings.EqualFold(c.TenantID, published.tenant):
		return bad("its tenant")
	case parsed.Method.Verify(parts[0]+"."+parts[1], parsed.Signature, key) != nil:
		return bad("its signature")
	}
	return nil
}

// ours reports whether a tenant's id may be that of the tenant in the settings: a domain
// there is compared by the id that the metadata names.
func (t *Tokens) ours(tenant string) bool {
	return strings.EqualFold(tenant, t.cfg.TenantID) || !identifier.MatchString(t.cfg.TenantID)
}
