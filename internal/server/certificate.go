package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a certificate and its private key in two files, which are read again
// when they change.
type Certificate struct {
	cfg CertificateConfig

	mu       sync.Mutex
	pair     *tls.Certificate // guarded by mu, as all below
	readAt   time.Time
	contents [2]string // of the files at readAt, usable or not
}

// CertificateConfig configures a [Certificate].
type CertificateConfig struct {
	CertFile, KeyFile string                       // PEM
	Check             func(*tls.Certificate) error // rejects unsuitable certificates; may be nil
	Log               *slog.Logger
}

// NewCertificate reads the files for the first time.
func NewCertificate(cfg CertificateConfig) (*Certificate, error) {
	c := &Certificate{cfg: cfg}
	_, err := c.read()
	return c, err
}

// TLS returns the configuration of a listener that serves the certificate.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Pair(), nil }}
}

// Pair returns the certificate, with its Leaf. It reads the files at most once a second.
// If they become unusable, it keeps returning the old pair.
func (c *Certificate) Pair() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.readAt) < time.Second {
		return c.pair
	}
	switch changed, err := c.read(); {
	case err != nil:
		c.cfg.Log.Warn("changed certificate not usable, keeping the old one", "err", err)
	case changed:
		c.cfg.Log.Info("certificate reloaded", "file", c.cfg.CertFile, "expires", c.pair.Leaf.NotAfter.UTC())
	}
	return c.pair
}

// read replaces the pair if the files have changed and are usable. It returns an error only
// once for each change.
func (c *Certificate) read() (replaced bool, err error) {
	certificate, err1 := os.ReadFile(c.cfg.CertFile)
	key, err2 := os.ReadFile(c.cfg.KeyFile)
	c.readAt = time.Now()
	contents := [2]string{string(certificate), string(key)}
	if contents == c.contents && c.pair != nil {
		return false, nil
	}
	c.contents = contents
	err = errors.Join(err1, err2)
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.X509KeyPair(certificate, key)
	}
	if err == nil && c.cfg.Check != nil {
		err = c.cfg.Check(&pair)
	}
	if err != nil {
		return false, fmt.Errorf("certificate %s with key %s: %w", c.cfg.CertFile, c.cfg.KeyFile, err)
	}
	c.pair = &pair
	return true, nil
}
