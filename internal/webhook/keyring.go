package webhook

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Times of the keys. Between failures it is tried again after a second, doubling
// up to TokensConfig.Refetch.
const (
	refreshTime = time.Hour
	firstRetry  = time.Second
	staleTime   = 24 * time.Hour // older keys are not believed any more
	fetchTime   = 5 * time.Second
)

// keyset is what the login endpoint said about the tokens of a version.
type keyset struct {
	issuer, tenant string
	keys           map[string]*rsa.PublicKey // by id
	fetched        time.Time
}

// keyring holds the keys of the tokens of one version. Its run alone fetches
// them; who misses a key asks run for it, which listens to that only once in a
// while: a flood of unknown key ids costs the login endpoint nothing.
type keyring struct {
	cfg     TokensConfig
	at      authority
	version string
	client  *http.Client
	asked   chan struct{} // capacity 1

	mu     sync.Mutex
	held   keyset        // guarded by mu, as all below
	tried  time.Time     // when the latest attempt began
	trying bool          // it has not ended
	failed bool          // the latest one that has ended did
	ended  chan struct{} // closed when the next attempt ends
}

func newKeyring(cfg TokensConfig, at authority, version string) *keyring {
	return &keyring{
		cfg: cfg, at: at, version: version,
		client: &http.Client{
			Transport: cfg.Transport, Timeout: fetchTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		asked: make(chan struct{}, 1),
		ended: make(chan struct{}),
	}
}

// run fetches until ctx ends.
func (k *keyring) run(ctx context.Context) error {
	retry := firstRetry
	for wait := time.Duration(0); ; {
		if !k.rest(ctx, wait) {
			return nil
		}
		err := k.attempt(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			k.cfg.Log.WarnContext(ctx, "keys of validation tokens not fetched", "version", k.version, "err", err)
			wait, retry = min(retry, k.cfg.Refetch), min(2*retry, k.cfg.Refetch)
		default:
			wait, retry = refreshTime, firstRetry
		}
	}
}

// rest waits, or until it is asked for keys and the bound allows to fetch them.
// It returns false if ctx ended.
func (k *keyring) rest(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-k.asked:
			k.mu.Lock()
			allowed := time.Since(k.tried) >= k.cfg.Refetch
			k.mu.Unlock()
			if allowed {
				return true
			}
		}
	}
}

// attempt fetches once and tells those who wait.
func (k *keyring) attempt(ctx context.Context) error {
	k.mu.Lock()
	k.tried, k.trying = time.Now(), true
	k.mu.Unlock()
	got, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.held = got
	}
	k.trying, k.failed = false, err != nil
	close(k.ended)
	k.ended = make(chan struct{})
	return err
}

// find returns a key by its id, and what was said with it. If it is not there it
// may wait for one fetch.
func (k *keyring) find(ctx context.Context, id string) (*rsa.PublicKey, keyset, error) {
	key, said, wait := k.look(id)
	if wait != nil {
		select {
		case <-wait:
			key, said, _ = k.look(id)
		case <-ctx.Done():
			return nil, keyset{}, fmt.Errorf("%w: %w", ErrNoMetadata, ctx.Err())
		}
	}
	if key != nil {
		return key, said, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed || time.Since(k.held.fetched) > staleTime {
		return nil, keyset{}, ErrNoMetadata
	}
	return nil, keyset{}, bad("its key") // not among those of a moment ago
}

// look returns a key that is held. If it is not, wait is closed when a fetch has
// ended; it is nil if none is to be waited for.
func (k *keyring) look(id string) (key *rsa.PublicKey, said keyset, wait <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.held.keys[id]; key != nil && time.Since(k.held.fetched) <= staleTime {
		return key, k.held, nil
	}
	if !k.trying && time.Since(k.tried) >= k.cfg.Refetch {
		select {
		case k.asked <- struct{}{}:
		default: // it has been asked already
		}
		return nil, keyset{}, k.ended
	}
	if k.trying && !k.failed {
		return nil, keyset{}, k.ended
	}
	return nil, keyset{}, nil
}

// fetch asks the login endpoint for its metadata and its keys.
func (k *keyring) fetch(ctx context.Context) (keyset, error) {
	var metadata struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := k.get(ctx, k.at.metadata(k.version, k.cfg.TenantID), &metadata); err != nil {
		return keyset{}, fmt.Errorf("metadata: %w", err)
	}
	tenant, known := k.at.tenant(k.version, metadata.Issuer)
	if tenant == "" {
		tenant = k.cfg.TenantID
	}
	switch {
	case !known:
		return keyset{}, errors.New("metadata: the issuer is none that this login endpoint may name")
	case identifier.MatchString(k.cfg.TenantID) && !strings.EqualFold(tenant, k.cfg.TenantID):
		return keyset{}, errors.New("metadata: the issuer is another tenant's")
	case !k.at.serves(metadata.Keys):
		return keyset{}, errors.New("metadata: the keys are not at a login endpoint")
	}
	var set struct {
		Keys []publicKey `json:"keys"`
	}
	if err := k.get(ctx, metadata.Keys, &set); err != nil {
		return keyset{}, fmt.Errorf("keys: %w", err)
	}
	got := keyset{issuer: metadata.Issuer, tenant: tenant, keys: map[string]*rsa.PublicKey{}, fetched: time.Now()}
	for _, published := range set.Keys {
		if key := published.rsa(); key != nil {
			got.keys[published.ID] = key
		}
	}
	if len(got.keys) == 0 {
		return keyset{}, errors.New("keys: there is none to check a signature with")
	}
	return got, nil
}
