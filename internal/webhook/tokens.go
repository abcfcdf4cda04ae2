package webhook

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
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
	// ErrNoMetadata means that nothing speaks against the tokens, but the keys of
	// the login endpoint, with which they could be checked, can't be had now.
	ErrNoMetadata = errors.New("the keys of the login endpoint can't be had")
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
	parser    *jwt.Parser
	validator *jwt.Validator
	rings     map[string]*keyring // by a token's version
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
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	if cfg.Refetch <= 0 {
		cfg.Refetch = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	t := &Tokens{
		cfg:       cfg,
		parser:    jwt.NewParser(jwt.WithStrictDecoding()),
		validator: jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithLeeway(clockSkew)),
		rings:     map[string]*keyring{},
	}
	for _, version := range []string{version1, version2} {
		t.rings[version] = newKeyring(cfg, at, version)
	}
	return t, nil
}

// Run fetches the keys ahead and again every hour, until ctx ends.
func (t *Tokens) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, ring := range t.rings {
		g.Go(func() error { return ring.run(ctx) })
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
	var claimed []claim
	for _, token := range tokens {
		c, err := t.read(token)
		if err != nil {
			return err
		}
		claimed = append(claimed, c)
	}
	var missing error
	for _, c := range claimed {
		switch err := t.verify(ctx, c); {
		case errors.Is(err, ErrNoMetadata):
			missing = err
		case err != nil:
			return err
		}
	}
	return missing
}

// bad says what speaks against a token, without a word of it.
func bad(what string) error { return fmt.Errorf("%w: %s", ErrBadToken, what) }

// claims are those of a validation token of either version.
type claims struct {
	jwt.RegisteredClaims
	TenantID        string `json:"tid"`
	Version         string `json:"ver"`
	AppID           string `json:"appid"` // who called, in version 1.0
	AuthorizedParty string `json:"azp"`   // who called, in version 2.0
}

// claim is a token that is good if its signature is, and if it names issuer and
// tenant as the login endpoint does.
type claim struct {
	claims
	key       string // its id
	signed    string
	signature []byte
}

// read checks all of a token for which no keys are needed.
func (t *Tokens) read(token string) (claim, error) {
	var c claim
	if len(token) > maxToken {
		return c, bad("its length")
	}
	parsed, parts, err := t.parser.ParseUnverified(token, &c.claims)
	if err != nil {
		return c, bad("its form")
	}
	c.key, _ = parsed.Header["kid"].(string)
	c.signed, c.signature = parts[0]+"."+parts[1], parsed.Signature
	_, critical := parsed.Header["crit"]
	ring, caller := t.rings[c.Version], c.AppID
	if c.Version == version2 {
		caller = c.AuthorizedParty
	}
	switch {
	case parsed.Method != jwt.SigningMethodRS256 || critical:
		return c, bad("its algorithm")
	case c.key == "":
		return c, bad("its key id")
	case ring == nil:
		return c, bad("its version")
	case t.validator.Validate(&c.claims) != nil:
		return c, bad("its time")
	case len(c.Audience) != 1 || !strings.EqualFold(c.Audience[0], t.cfg.ClientID):
		return c, bad("its audience")
	case !strings.EqualFold(caller, publisher):
		return c, bad("its caller")
	}
	tenant, known := ring.at.tenant(c.Version, c.Issuer)
	switch {
	case !known:
		return c, bad("its issuer")
	case c.TenantID == "" || !t.ours(c.TenantID) || tenant != "" && !strings.EqualFold(tenant, c.TenantID):
		return c, bad("its tenant")
	}
	return c, nil
}

// identifier is a tenant's id. A tenant may also be named by a domain; then the
// metadata tells its id.
var identifier = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// ours says whether a tenant's id may be that of the tenant in the settings.
func (t *Tokens) ours(tenant string) bool {
	return strings.EqualFold(tenant, t.cfg.TenantID) || !identifier.MatchString(t.cfg.TenantID)
}

// verify checks what read left open.
func (t *Tokens) verify(ctx context.Context, c claim) error {
	key, said, err := t.rings[c.Version].find(ctx, c.key)
	switch {
	case err != nil:
		return err
	case c.Issuer != said.issuer:
		return bad("its issuer")
	case !strings.EqualFold(c.TenantID, said.tenant):
		return bad("its tenant")
	case !signedBy(key, c):
		return bad("its signature")
	}
	return nil
}

func signedBy(key *rsa.PublicKey, c claim) bool {
	return jwt.SigningMethodRS256.Verify(c.signed, c.signature, key) == nil
}
