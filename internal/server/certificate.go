package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a certificate and its private key in two files, read again when they
// change.
type Certificate struct {
	cfg CertificateConfig

	mu     sync.Mutex
	pair   *tls.Certificate // guarded by mu, as all below
	looked time.Time        // when the files were last checked
	stamps [2]stamp         // of the files when they were last read, usable or not
}

// CertificateConfig says where a certificate is.
type CertificateConfig struct {
	Setting           string                       // that names the files: TLS for TLS_CERT_FILE and TLS_KEY_FILE
	CertFile, KeyFile string                       // PEM
	Check             func(*tls.Certificate) error // what else it must be; nil: nothing
	Log               *slog.Logger
}

// NewCertificate reads the files for the first time.
func NewCertificate(cfg CertificateConfig) (*Certificate, error) {
	c := &Certificate{cfg: cfg, looked: time.Now()}
	return c, c.read()
}

// TLS returns what a listener needs to show the certificate.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Pair(), nil },
	}
}

// Pair returns the certificate, with its Leaf. Files are checked once a second at most;
// if they can't be used, the old pair stays in use.
func (c *Certificate) Pair() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < time.Second {
		return c.pair
	}
	c.looked = time.Now()
	if c.stamps == c.stamp() {
		return c.pair
	}
	if err := c.read(); err != nil {
		c.cfg.Log.Warn("changed certificate not usable, the old one stays in use", "err", err)
	} else {
		c.cfg.Log.Info("certificate reloaded", "file", c.cfg.CertFile, "expires", c.pair.Leaf.NotAfter.UTC())
	}
	return c.pair
}

// read takes what the files hold, or leaves the pair as it is.
func (c *Certificate) read() error {
	c.stamps = c.stamp() // before: what is written later differs
	certPEM, err := os.ReadFile(c.cfg.CertFile)
	if err != nil {
		return fmt.Errorf("%s_CERT_FILE can't be read: %w", c.cfg.Setting, err)
	}
	keyPEM, err := os.ReadFile(c.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("%s_KEY_FILE, which belongs to %[1]s_CERT_FILE, can't be read: %[2]w", c.cfg.Setting, err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("%s_CERT_FILE %s and %[1]s_KEY_FILE %[3]s hold no certificate and private key that fit together: write both as PEM",
			c.cfg.Setting, c.cfg.CertFile, c.cfg.KeyFile)
	}
	if c.cfg.Check != nil {
		if err := c.cfg.Check(&pair); err != nil {
			return fmt.Errorf("%s_KEY_FILE %s: %w", c.cfg.Setting, c.cfg.KeyFile, err)
		}
	}
	c.pair = &pair
	return nil
}

// stamp tells files that changed from those that did not.
type stamp struct {
	modified time.Time
	size     int64
}

func (c *Certificate) stamp() (stamps [2]stamp) {
	for i, file := range []string{c.cfg.CertFile, c.cfg.KeyFile} {
		if stat, err := os.Stat(file); err == nil {
			stamps[i] = stamp{stat.ModTime().UTC(), stat.Size()}
		}
	}
	return stamps
}
