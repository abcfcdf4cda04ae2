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

	"outlook-monitor/internal/schedule"
)

const (
	refreshInterval = time.Hour
	refetchInterval = time.Minute    // how long after a fetch an unknown key causes the next one
	firstRetry      = time.Second    // after a failed fetch, doubling up to refetchInterval
	maxKeyAge       = 24 * time.Hour // older keys are no longer trusted
	fetchTimeout    = 5 * time.Second
)

// keySet is what the login endpoint publishes for the tokens of a version.
type keySet struct {
	issuer, tenant string
	keys           map[string]*rsa.PublicKey // by id
	fetched        time.Time
}

// keySource provides the keys of the tokens of one version. Only run fetches them. A
// caller that needs an unknown key requests a fetch, at most once in refetchInterval, so a
// flood of unknown key ids does not reach the login endpoint.
//
// This is not keyfunc, because keyfunc keeps keys forever while the endpoint is
// unreachable, does not distinguish a key that may be new from an unknown one, drops the
// whole set if one key is malformed, and reads answers of any length.
type keySource struct {
	cfg      TokensConfig
	version  string
	client   *http.Client
	requests chan struct{} // capacity 1: requests a fetch

	mu      sync.Mutex
	current keySet        // guarded by mu, as all below
	failed  bool          // the last fetch failed
	tried   time.Time     // when a fetch last began or was requested
	pending chan struct{} // closed when the fetch in flight or requested ends; nil: there is none
}

func newKeySource(cfg TokensConfig, version string) *keySource {
	client := &http.Client{
		Transport: cfg.Transport, Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &keySource{cfg: cfg, version: version, client: client, requests: make(chan struct{}, 1)}
}

// run fetches the keys until ctx ends.
func (k *keySource) run(ctx context.Context) error {
	for failures := 0; ; {
		err := k.refresh(ctx)
		if ctx.Err() != nil {
			return nil
		}
		wait := refreshInterval
		if failures++; err == nil {
			failures = 0
		} else {
			k.cfg.Log.WarnContext(ctx, "keys of validation tokens not fetched, retrying", "version", k.version, "err", err)
			wait = schedule.Doubling(failures, firstRetry, refetchInterval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		case <-k.requests:
		}
	}
}

// refresh fetches once and wakes the callers that wait for it.
func (k *keySource) refresh(ctx context.Context) error {
	k.mu.Lock()
	k.markPending()
	select {
	case <-k.requests: // this fetch answers it
	default:
	}
	k.mu.Unlock()
	fetched, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed = err != nil; !k.failed {
		k.current = fetched
	}
	close(k.pending)
	k.pending = nil
	return err
}

// markPending records that a fetch begins or is requested. The caller must hold mu.
func (k *keySource) markPending() {
	k.tried = time.Now()
	if k.pending == nil {
		k.pending = make(chan struct{})
	}
}

// find returns the key with this id, and the set it is in. It may wait for one fetch if
// the key is unknown. It returns ErrBadToken or ErrNoMetadata if there is none.
func (k *keySource) find(ctx context.Context, id string) (*rsa.PublicKey, keySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key(id) == nil {
		wait := k.pending
		switch {
		case wait == nil && time.Since(k.tried) >= refetchInterval:
			k.markPending()
			wait = k.pending
			select {
			case k.requests <- struct{}{}:
			default: // already requested
			}
		case k.failed:
			wait = nil // an outage must not delay every request
		}
		if wait != nil {
			k.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
			}
			k.mu.Lock()
		}
	}
	key := k.key(id)
	switch {
	case key != nil:
		return key, k.current, nil
	case k.failed || k.stale() || ctx.Err() != nil:
		return nil, keySet{}, ErrNoMetadata
	}
	return nil, keySet{}, invalid("key") // recent keys do not include it
}

// key returns the key with this id, or nil if it is unknown or too old. The caller must
// hold mu.
func (k *keySource) key(id string) *rsa.PublicKey {
	if k.stale() {
		return nil
	}
	return k.current.keys[id]
}

func (k *keySource) stale() bool { return time.Since(k.current.fetched) > maxKeyAge }

// fetch fetches the metadata and the keys of the login endpoint.
func (k *keySource) fetch(ctx context.Context) (keySet, error) {
	var metadata struct {
		Issuer  string `json:"issuer"`
		KeysURL string `json:"jwks_uri"`
	}
	if err := k.get(ctx, k.metadataURL(), &metadata); err != nil {
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

// metadataURL returns the URL of the login endpoint's metadata for tokens of this version.
func (k *keySource) metadataURL() string {
	middle := "/"
	if k.version == version2 {
		middle = "/v2.0/"
	}
	return k.cfg.AuthorityHost + "/" + url.PathEscape(k.cfg.TenantID) + middle + ".well-known/openid-configuration"
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
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the login endpoint answered %d", response.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxMetadata))
	if err != nil || json.Unmarshal(data, into) != nil {
		return errors.New("the answer is not valid JSON")
	}
	return nil
}

// webKey is a published key (RFC 7517).
type webKey struct {
	ID        string `json:"kid"`
	Type      string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	Modulus   string `json:"n"`
	Exponent  string `json:"e"`
}

// rsa returns the key if it may verify RS256 signatures, else nil.
func (w webKey) rsa() *rsa.PublicKey {
	if w.ID == "" || w.Type != "RSA" || w.Use != "" && w.Use != "sig" || w.Algorithm != "" && w.Algorithm != "RS256" {
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
