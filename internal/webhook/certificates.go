package webhook

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/server"
)

// Times of the files.
const (
	patrolTime = time.Minute // between two regular checks
	noticeTime = 30 * 24 * time.Hour
	remindTime = 24 * time.Hour
)

// Bits of an RSA key that Graph takes.
const leastKey, mostKey = 2048, 4096

// Certificates are the pairs of certificate and private key for resource data.
// The first is for new subscriptions, all open what arrives, and so does each
// that was in one of the files since the process began: what is replaced may be
// referred to until the last subscription made with it is renewed.
type Certificates struct {
	pairs []*server.Certificate // as in the settings
	log   *slog.Logger

	mu   sync.Mutex
	keys map[string]*rsa.PrivateKey // by id; those replaced too; guarded by mu
}

// NewCertificates reads the pairs, of which there must be one at least.
func NewCertificates(certFiles, keyFiles []string, log *slog.Logger) (*Certificates, error) {
	if len(certFiles) == 0 || len(certFiles) != len(keyFiles) {
		return nil, fmt.Errorf("ENCRYPTION_CERT_FILE names %d files and ENCRYPTION_KEY_FILE %d: name the same number of each, at least one",
			len(certFiles), len(keyFiles))
	}
	c := &Certificates{keys: map[string]*rsa.PrivateKey{}, log: log}
	var errs []error
	for i := range certFiles {
		pair, err := server.NewCertificate(server.CertificateConfig{
			Setting: "ENCRYPTION", CertFile: certFiles[i], KeyFile: keyFiles[i], Check: checkKey, Log: log,
		})
		c.pairs, errs = append(c.pairs, pair), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.reload()
	return c, nil
}

// checkKey says why Graph can't use a key.
func checkKey(pair *tls.Certificate) error {
	if key, ok := pair.PrivateKey.(*rsa.PrivateKey); !ok || key.N.BitLen() < leastKey || key.N.BitLen() > mostKey {
		return fmt.Errorf("no RSA key of %d to %d bits: Graph takes no other", leastKey, mostKey)
	}
	return nil
}

// Current returns the id and the certificate, base64 of its DER form, that new
// and renewed subscriptions name.
func (c *Certificates) Current() (id, certificate string) {
	der := c.reload().Leaf.Raw
	return certificateID(der), base64.StdEncoding.EncodeToString(der)
}

// Expires returns when the certificate of new subscriptions does.
func (c *Certificates) Expires() time.Time { return c.reload().Leaf.NotAfter }

// Run checks the files every minute, and warns once a day of a certificate that
// expires within 30 days, until ctx ends.
func (c *Certificates) Run(ctx context.Context) error {
	remind := rate.Sometimes{Interval: remindTime}
	for {
		expires := c.Expires()
		if left := time.Until(expires); left < noticeTime {
			remind.Do(func() {
				c.log.WarnContext(ctx, "the first certificate of ENCRYPTION_CERT_FILE must be replaced: add a new pair before it",
					"expires", expires.UTC(), "expired", left <= 0)
			})
		}
		if !schedule.Sleep(ctx, patrolTime) {
			return nil
		}
	}
}

// key returns the private key by the id of its certificate, nil if it is unknown.
func (c *Certificates) key(id string) *rsa.PrivateKey {
	c.mu.Lock()
	key := c.keys[id]
	c.mu.Unlock()
	if key != nil {
		return key
	}
	c.reload()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys[id]
}

// reload notes what the files hold now, and returns the pair of new subscriptions.
func (c *Certificates) reload() (first *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, files := range c.pairs {
		pair := files.Pair()
		if i == 0 {
			first = pair
		}
		c.keys[certificateID(pair.Leaf.Raw)] = pair.PrivateKey.(*rsa.PrivateKey) // as checkKey has seen
	}
	return first
}

// certificateID names a certificate, the same wherever it is: 22 characters.
func certificateID(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
