package webhook

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"outlook-monitor/internal/schedule"
)

const (
	refreshInterval = time.Hour      // between fetches
	fetchInterval   = time.Minute    // between two in an outage, and on average between those for unknown keys
	fetchBurst      = 5              // for unknown keys at once: keys may be rotated again, or soon after the start
	maxKeyAge       = 24 * time.Hour // older keys are no longer trusted
	fetchTimeout    = 5 * time.Second
)

// keySet is what the login endpoint publishes for the tokens of a version.
type keySet struct {
	issuer, tenant string
	keys           map[string]*rsa.PublicKey // by id
	fetched        time.Time
}

// keySource provides the keys of the tokens of one version. It fetches them in advance,
// and for an unknown key, within a rate limit: a flood of unknown key ids does not reach
// the login endpoint.
//
// This is not keyfunc, because keyfunc keeps keys forever while the endpoint is
// unreachable, does not distinguish a key that may be new from an unknown one, drops the
// whole set if one key is malformed, and reads answers of any length.
type keySource struct {
	cfg     TokensConfig
	version string
	client  *http.Client
	limit   *rate.Limiter
	fetches singleflight.Group // so that concurrent callers share a fetch

	mu      sync.Mutex
	current keySet // guarded by mu, as all below
	failed  bool   // the last fetch failed
}

func newKeySource(cfg TokensConfig, version string) *keySource {
	client := &http.Client{
		Transport: cfg.Transport, Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &keySource{cfg: cfg, version: version, client: client, limit: rate.NewLimiter(rate.Every(fetchInterval), fetchBurst)}
}

// run fetches the keys when they are an hour old, and every minute during an outage, until
// ctx ends.
func (k *keySource) run(ctx context.Context) error {
	for {
		if keys, failed := k.latest(); failed || time.Since(keys.fetched) >= refreshInterval {
			k.refresh(ctx)
		}
		if !schedule.Sleep(ctx, fetchInterval) {
			return nil
		}
	}
}

// refresh fetches the keys, unless that is over the rate limit, or waits for the fetch in
// flight, until ctx ends.
func (k *keySource) refresh(ctx context.Context) {
	done := k.fetches.DoChan("", func() (any, error) {
		if !k.limit.Allow() {
			return nil, nil
		}
		fetching := ctx
		if deadline, ok := ctx.Deadline(); ok { // a caller of find may leave while others wait
			var cancel context.CancelFunc
			fetching, cancel = context.WithDeadline(context.WithoutCancel(ctx), deadline)
			defer cancel()
		}
		fetched, err := k.fetch(fetching)
		if err != nil && !errors.Is(err, context.Canceled) {
			k.cfg.Log.WarnContext(ctx, "keys of validation tokens not fetched, retrying", "version", k.version, "err", err)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.failed = err != nil; !k.failed {
			k.current = fetched
		}
		return nil, nil
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// latest returns the keys, none if they are too old. failed reports whether the last fetch
// failed.
func (k *keySource) latest() (keys keySet, failed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.current.fetched) > maxKeyAge {
		return keySet{}, k.failed
	}
	return k.current, k.failed
}

// find returns the key with this id, and the set it is in. It may wait for one fetch if
// the key is unknown, but not in an outage. It returns ErrBadToken or ErrNoMetadata if
// there is none.
func (k *keySource) find(ctx context.Context, id string) (*rsa.PublicKey, keySet, error) {
	set, failed := k.latest()
	if set.keys[id] == nil && !failed {
		k.refresh(ctx)
		set, failed = k.latest()
	}
	switch key := set.keys[id]; {
	case key != nil:
		return key, set, nil
	case failed || ctx.Err() != nil:
		return nil, keySet{}, ErrNoMetadata
	}
	return nil, keySet{}, invalid("key") // recent keys do not include it
}

// fetch fetches the metadata and the keys of the login endpoint.
func (k *keySource) fetch(ctx context.Context) (keySet, error) {
	var metadata struct {
		Issuer  string `json:"issuer"`
		KeysURL string `json:"jwks_uri"`
	}
	address := k.cfg.AuthorityHost + "/" + url.PathEscape(k.cfg.TenantID) + metadataPaths[k.version]
	if err := k.get(ctx, address, &metadata); err != nil {
		return keySet{}, fmt.Errorf("metadata: %w", err)
	}
	if metadata.Issuer == "" || !strings.HasPrefix(metadata.KeysURL, "https://") {
		return keySet{}, errors.New("metadata: no issuer, or no https URL of the keys")
	}
	var set struct {
		Keys []webKey `json:"keys"`
	}
	if err := k.get(ctx, metadata.KeysURL, &set); err != nil {
		return keySet{}, fmt.Errorf("keys: %w", err)
	}
	fetched := keySet{issuer: metadata.Issuer, tenant: k.tenant(metadata.Issuer), keys: map[string]*rsa.PublicKey{}, fetched: time.Now()}
	for _, published := range set.Keys {
		if key := published.rsa(); key != nil {
			fetched.keys[published.ID] = key
		}
	}
	if len(fetched.keys) == 0 {
		return keySet{}, errors.New("keys: none can verify a signature")
	}
	return fetched, nil
}

var guid = regexp.MustCompile(`[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`)

// tenant returns the configured tenant. If that is a domain, it returns the id in the
// issuer, if there is one.
func (k *keySource) tenant(issuer string) string {
	configured := k.cfg.TenantID
	if guid.FindString(configured) == configured {
		return configured
	}
	return cmp.Or(guid.FindString(issuer), configured)
}

// maxMetadata limits an answer of the login endpoint, in bytes.
const maxMetadata = 1 << 20

// get reads a JSON document of the login endpoint. Its errors do not contain the address.
func (k *keySource) get(ctx context.Context, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errors.New("invalid address")
	}
	response, err := k.client.Do(request)
	if err != nil {
		return errors.Unwrap(err) // of a url.Error, which contains the address
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the login endpoint answered %d", response.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxMetadata))
	if err != nil || !json.Valid(data) {
		return errors.New("the answer is not valid JSON")
	}
	_ = json.Unmarshal(data, into) // leaves out what has a wrong type: one malformed key does not affect the others
	return nil
}

// webKey is a published key (RFC 7517).
type webKey struct {
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	Modulus   string `json:"n"`
	Exponent  string `json:"e"`
}

// rsa returns the key if it can verify RS256 signatures, else nil: keys that can't must not take
// the place of those that were fetched before. Only RSA keys have a modulus.
func (w webKey) rsa() *rsa.PublicKey {
	if w.ID == "" || cmp.Or(w.Use, "sig") != "sig" || cmp.Or(w.Algorithm, "RS256") != "RS256" {
		return nil
	}
	modulus, err := base64.RawURLEncoding.DecodeString(w.Modulus)
	exponent, err2 := base64.RawURLEncoding.DecodeString(w.Exponent)
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	if errors.Join(err, err2) != nil || n.BitLen() < 2048 || n.BitLen() > 8192 || e.BitLen() > 31 || e.Bit(0) == 0 {
		return nil
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}
}
