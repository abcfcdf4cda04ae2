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
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"outlook-monitor/internal/schedule"
)

// Times of the files.
const (
	lookTime   = time.Second // between two looks
	patrolTime = time.Minute // between two looks that nobody asked for
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
	log *slog.Logger

	mu     sync.Mutex
	pairs  []*pair                    // as in the settings; guarded by mu, as all below
	keys   map[string]*rsa.PrivateKey // by id; those replaced too
	looked time.Time                  // when the files were last looked at
}

// pair is what two files hold.
type pair struct {
	certFile, keyFile string
	stamps            [2]stamp // of the files when they were last read, well or not

	id          string // the same wherever this certificate is
	certificate string // base64 of the DER
	expires     time.Time
	key         *rsa.PrivateKey
}

// NewCertificates reads the pairs, of which there must be one at least.
func NewCertificates(certFiles, keyFiles []string, log *slog.Logger) (*Certificates, error) {
	if len(certFiles) == 0 || len(certFiles) != len(keyFiles) {
		return nil, fmt.Errorf("ENCRYPTION_CERT_FILE names %d files and ENCRYPTION_KEY_FILE %d: name as many, and one at least",
			len(certFiles), len(keyFiles))
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Certificates{log: log, keys: map[string]*rsa.PrivateKey{}, looked: time.Now()}
	var errs []error
	for i := range certFiles {
		p := &pair{certFile: certFiles[i], keyFile: keyFiles[i]}
		errs = append(errs, p.read())
		c.pairs = append(c.pairs, p)
		c.keys[p.id] = p.key
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// Current returns the id and the certificate, base64 of its DER form, that new
// and renewed subscriptions name.
func (c *Certificates) Current() (id, certificate string) {
	p := c.first()
	return p.id, p.certificate
}

// Expires returns when the certificate of new subscriptions does.
func (c *Certificates) Expires() time.Time { return c.first().expires }

// Run looks at the files every minute, and warns once a day of a certificate that
// expires within 30 days, until ctx ends.
func (c *Certificates) Run(ctx context.Context) error {
	remind := rate.Sometimes{Interval: remindTime}
	for {
		p := c.first()
		if left := time.Until(p.expires); left < noticeTime {
			remind.Do(func() {
				c.log.WarnContext(ctx, "the certificate of ENCRYPTION_CERT_FILE must be replaced: put a new pair before it",
					"file", p.certFile, "expires", p.expires.UTC(), "expired", left <= 0)
			})
		}
		if !schedule.Sleep(ctx, patrolTime) {
			return nil
		}
	}
}

// first returns the pair of new subscriptions.
func (c *Certificates) first() pair {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return *c.pairs[0]
}

// key returns the private key by the id of its certificate, nil if it is unknown.
func (c *Certificates) key(id string) *rsa.PrivateKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys[id] == nil {
		c.look()
	}
	return c.keys[id]
}

// look reads files that have changed. The caller holds mu.
func (c *Certificates) look() {
	if time.Since(c.looked) < lookTime {
		return
	}
	c.looked = time.Now()
	for _, p := range c.pairs {
		if p.stamps == [2]stamp{stampOf(p.certFile), stampOf(p.keyFile)} {
			continue
		}
		before := p.id
		switch err := p.read(); {
		case err != nil:
			c.log.Warn("a changed encryption certificate can't be used, the old one stays", "err", err)
		case p.id != before:
			c.keys[p.id] = p.key
			c.log.Info("an encryption certificate was replaced", "file", p.certFile, "expires", p.expires.UTC())
		}
	}
}

// read takes what the files hold, or leaves p as it is.
func (p *pair) read() error {
	p.stamps = [2]stamp{stampOf(p.certFile), stampOf(p.keyFile)} // before: what is written later differs
	certPEM, err := os.ReadFile(p.certFile)
	if err != nil {
		return fmt.Errorf("ENCRYPTION_CERT_FILE can't be read: %w", err)
	}
	keyPEM, err := os.ReadFile(p.keyFile)
	if err != nil {
		return fmt.Errorf("ENCRYPTION_KEY_FILE can't be read: %w", err)
	}
	both, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("ENCRYPTION_CERT_FILE %s and ENCRYPTION_KEY_FILE %s hold no certificate and private key that fit together: write both as PEM",
			p.certFile, p.keyFile)
	}
	key, ok := both.PrivateKey.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() < leastKey || key.N.BitLen() > mostKey {
		return fmt.Errorf("ENCRYPTION_KEY_FILE %s is no RSA key of %d to %d bits: Graph takes no other", p.keyFile, leastKey, mostKey)
	}
	p.id, p.key, p.expires = certificateID(both.Leaf.Raw), key, both.Leaf.NotAfter
	p.certificate = base64.StdEncoding.EncodeToString(both.Leaf.Raw)
	return nil
}

// certificateID names a certificate: 22 characters.
func certificateID(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// stamp tells a changed file from one that was not.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(file string) stamp {
	stat, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{stat.ModTime().UTC(), stat.Size()}
}
