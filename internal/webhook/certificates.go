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
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"outlook-monitor/internal/certs"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

const (
	checkInterval    = time.Minute         // between checks of the files
	expiryNotice     = 30 * 24 * time.Hour // how long before the expiry warnings begin
	reminderInterval = 24 * time.Hour      // between warnings
)

// Graph accepts RSA keys of this many bits.
const minKeyBits, maxKeyBits = 2048, 4096

// Certificates are the pairs of certificate and private key for resource data. New
// subscriptions use the first pair. All pairs decrypt notifications, and so does every
// pair that a file has contained since the process started: subscriptions use a replaced
// certificate until they are renewed.
type Certificates struct {
	pairs []*certs.Files // as in the settings
	log   *slog.Logger

	mu   sync.Mutex
	keys map[string]*rsa.PrivateKey // by id, replaced ones included; guarded by mu
}

// NewCertificates reads the pairs, at least one. The settings were checked: there are as many
// keys as certificates.
func NewCertificates(certFiles, keyFiles []string, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{keys: map[string]*rsa.PrivateKey{}, log: log}
	var errs []error
	for i := range certFiles {
		pair, err := certs.NewFiles(certs.FilesConfig{CertFile: certFiles[i], KeyFile: keyFiles[i], Check: checkKey, Log: log})
		c.pairs, errs = append(c.pairs, pair), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.reload() // the files may be replaced before a key is needed
	return c, nil
}

// checkKey returns an error if Graph does not accept the key.
func checkKey(pair *tls.Certificate) error {
	if key, ok := pair.PrivateKey.(*rsa.PrivateKey); !ok || key.N.BitLen() < minKeyBits || key.N.BitLen() > maxKeyBits {
		return fmt.Errorf("not an RSA key of %d to %d bits, which Graph requires", minKeyBits, maxKeyBits)
	}
	return nil
}

// Current returns the certificate for new and renewed subscriptions; zero, for no resource
// data, if c is nil.
func (c *Certificates) Current() ooo.Certificate {
	if c == nil {
		return ooo.Certificate{}
	}
	der := c.reload().Leaf.Raw
	return ooo.Certificate{ID: certificateID(der), Base64: base64.StdEncoding.EncodeToString(der)}
}

// Expires returns when the certificate for new subscriptions expires.
func (c *Certificates) Expires() time.Time { return c.reload().Leaf.NotAfter }

// Run checks the files every minute until ctx ends. It warns once a day while the
// certificate for new subscriptions expires within 30 days.
func (c *Certificates) Run(ctx context.Context) error {
	reminder := rate.Sometimes{Interval: reminderInterval}
	for {
		expires := c.Expires()
		if left := time.Until(expires); left < expiryNotice {
			reminder.Do(func() {
				c.log.WarnContext(ctx, "replace the first certificate in ENCRYPTION_CERT_FILE: put a new pair before it",
					"expires", expires.UTC(), "expired", left <= 0)
			})
		}
		if !schedule.Sleep(ctx, checkInterval) {
			return nil
		}
	}
}

// key returns the private key of the certificate with this id, or nil if it is unknown.
func (c *Certificates) key(id string) *rsa.PrivateKey {
	c.reload()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys[id]
}

// reload adds the keys that the files contain now, and returns the pair for new subscriptions.
func (c *Certificates) reload() (pair *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, files := range slices.Backward(c.pairs) { // ends with the first, asked once: its files may change now
		pair = files.Pair()
		c.keys[certificateID(pair.Leaf.Raw)] = pair.PrivateKey.(*rsa.PrivateKey) // see checkKey
	}
	return pair
}

// certificateID returns the id of a certificate, the same on all replicas: 22 characters.
func certificateID(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
