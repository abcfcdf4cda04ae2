package server

import (
	"crypto/tls"
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

	mu        sync.Mutex
	pair      *tls.Certificate // guarded by mu, as all below
	checkedAt time.Time
	stamps    [2]stamp // of the files when they were last read, usable or not
}

// CertificateConfig configures a [Certificate].
type CertificateConfig struct {
	CertFile, KeyFile string                       // PEM
	Check             func(*tls.Certificate) error // rejects unsuitable certificates; may be nil
	Log               *slog.Logger
}

// NewCertificate reads the files for the first time.
func NewCertificate(cfg CertificateConfig) (*Certificate, error) {
	c := &Certificate{cfg: cfg, checkedAt: time.Now()}
	return c, c.read()
}

// TLS returns the configuration of a listener that serves the certificate.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Pair(), nil },
	}
}

// Pair returns the certificate, with its Leaf. It checks the files at most once a second.
// If they become unusable, it keeps returning the old pair.
func (c *Certificate) Pair() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checkedAt) < time.Second {
		return c.pair
	}
	c.checkedAt = time.Now()
	if c.stamps == c.stamp() {
		return c.pair
	}
	if err := c.read(); err != nil {
		c.cfg.Log.Warn("changed certificate not usable, keeping the old one", "err", err)
	} else {
		c.cfg.Log.Info("certificate reloaded", "file", c.cfg.CertFile, "expires", c.pair.Leaf.NotAfter.UTC())
	}
	return c.pair
}

// read loads the pair from the files, or leaves it unchanged.
func (c *Certificate) read() error {
	c.stamps = c.stamp() // before reading, so that a later write is noticed
	pair, err := tls.LoadX509KeyPair(c.cfg.CertFile, c.cfg.KeyFile)
	if err == nil && c.cfg.Check != nil {
		err = c.cfg.Check(&pair)
	}
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.cfg.CertFile, c.cfg.KeyFile, err)
	}
	c.pair = &pair
	return nil
}

// stamp identifies a version of a file.
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
