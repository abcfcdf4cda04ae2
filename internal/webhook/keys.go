package webhook

import (
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
	"strings"
	"sync"
	"time"

	"outlook-monitor/internal/schedule"
)

// Times of the keys. After a failure they are fetched again after a second, doubling
// up to TokensConfig.Refetch.
const (
	refreshTime = time.Hour
	firstRetry  = time.Second
	staleTime   = 24 * time.Hour // older keys are not believed any more
	fetchTime   = 5 * time.Second
)

// keySet is what the login endpoint publishes about the tokens of a version.
type keySet struct {
	issuer, tenant string
	keys           map[string]*rsa.PublicKey // by id
	fetched        time.Time
}

// keySource has the keys of the tokens of one version. Its run alone fetches them.
// A caller that misses a key asks it to, which counts once in cfg.Refetch: a flood of
// unknown key ids costs the login endpoint nothing.
//
// This is not keyfunc, because that keeps keys for ever while the endpoint is away,
// does not tell a key that may be new from one that is unknown, drops the whole set
// for one key that is malformed, and reads answers of any length.
type keySource struct {
	cfg     TokensConfig
	at      authority
	version string
	client  *http.Client
	missed  chan struct{} // capacity 1: somebody misses a key

	mu      sync.Mutex
	held    keySet        // guarded by mu, as all below
	failed  bool          // the latest fetch did
	tried   time.Time     // when a fetch was last begun or asked for
	pending chan struct{} // closed when the one ends that is under way or asked for; nil: none is
}

func newKeySource(cfg TokensConfig, at authority, version string) *keySource {
	client := &http.Client{
		Transport: cfg.Transport, Timeout: fetchTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &keySource{cfg: cfg, at: at, version: version, client: client, missed: make(chan struct{}, 1)}
}

// run fetches until ctx ends.
func (k *keySource) run(ctx context.Context) error {
	for failures := 0; ; {
		err := k.refresh(ctx)
		if ctx.Err() != nil {
			return nil
		}
		wait := refreshTime
		if failures++; err == nil {
			failures = 0
		} else {
			k.cfg.Log.WarnContext(ctx, "keys of validation tokens not fetched, retrying", "version", k.version, "err", err)
			wait = schedule.Doubling(failures, firstRetry, k.cfg.Refetch)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.missed:
		}
		timer.Stop()
	}
}

// refresh fetches once and lets those go on who wait for it.
func (k *keySource) refresh(ctx context.Context) error {
	k.mu.Lock()
	k.expect()
	select {
	case <-k.missed: // this is the fetch that was asked for
	default:
	}
	k.mu.Unlock()
	got, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed = err != nil; !k.failed {
		k.held = got
	}
	close(k.pending)
	k.pending = nil
	return err
}

// expect notes that a fetch begins or is asked for. The caller holds mu.
func (k *keySource) expect() {
	k.tried = time.Now()
	if k.pending == nil {
		k.pending = make(chan struct{})
	}
}

// find returns a key by its id, and what is published with it. If it is not there,
// it may wait for one fetch. The error is ErrBadToken or ErrNoMetadata.
func (k *keySource) find(ctx context.Context, id string) (*rsa.PublicKey, keySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key(id) == nil {
		wait := k.pending
		switch {
		case wait == nil && time.Since(k.tried) >= k.cfg.Refetch:
			k.expect()
			wait = k.pending
			select {
			case k.missed <- struct{}{}:
			default: // it was asked already
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
		return key, k.held, nil
	case k.failed || k.stale() || ctx.Err() != nil:
		return nil, keySet{}, ErrNoMetadata
	}
	return nil, keySet{}, bad("its key") // it is not among those of a moment ago
}

// key returns a key that is held and not too old, or nil. The caller holds mu.
func (k *keySource) key(id string) *rsa.PublicKey {
	if k.stale() {
		return nil
	}
	return k.held.keys[id]
}

func (k *keySource) stale() bool { return time.Since(k.held.fetched) > staleTime }

// fetch asks the login endpoint for its metadata and its keys.
func (k *keySource) fetch(ctx context.Context) (keySet, error) {
	var metadata struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := k.get(ctx, k.at.metadata(k.version, k.cfg.TenantID), &metadata); err != nil {
		return keySet{}, fmt.Errorf("metadata: %w", err)
	}
	tenant, known := k.at.tenant(k.version, metadata.Issuer)
	if tenant == "" {
		tenant = k.cfg.TenantID
	}
	switch {
	case !known:
		return keySet{}, errors.New("metadata: the issuer is none that this login endpoint may name")
	case identifier.MatchString(k.cfg.TenantID) && !strings.EqualFold(tenant, k.cfg.TenantID):
		return keySet{}, errors.New("metadata: the issuer is another tenant's")
	case !k.at.serves(metadata.Keys):
		return keySet{}, errors.New("metadata: the keys are not at a login endpoint")
	}
	var set struct {
		Keys []webKey `json:"keys"`
	}
	if err := k.get(ctx, metadata.Keys, &set); err != nil {
		return keySet{}, fmt.Errorf("keys: %w", err)
	}
	got := keySet{issuer: metadata.Issuer, tenant: tenant, keys: map[string]*rsa.PublicKey{}, fetched: time.Now()}
	for _, published := range set.Keys {
		if key := published.rsa(); key != nil {
			got.keys[published.ID] = key
		}
	}
	if len(got.keys) == 0 {
		return keySet{}, errors.New("keys: there is none to check a signature with")
	}
	return got, nil
}

// maxMetadata bounds an answer of the login endpoint.
const maxMetadata = 1 << 20

// get reads a JSON document of the login endpoint.
func (k *keySource) get(ctx context.Context, from string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return errors.New("the address is not one")
	}
	response, err := k.client.Do(request)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err // without the address
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
		return errors.New("the answer is not the JSON it should be")
	}
	return nil
}

// webKey is a key as it is published (RFC 7517).
type webKey struct {
	ID        string `json:"kid"`
	Type      string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	Modulus   string `json:"n"`
	Exponent  string `json:"e"`
}

// rsa returns a key that may check signatures with RS256, nil if it is none.
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
