// Package certs provides certificates: from two files that are re-read when they change
// ([Files]), or for the public listener from an ACME server, shared by all replicas ([ACME]).
package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Files is a certificate and its private key in two files, which are read again when they
// change.
type Files struct {
	cfg FilesConfig

	mu       sync.Mutex
	pair     *tls.Certificate // guarded by mu, as all below
	readAt   time.Time
	contents [2]string // of the files at readAt, usable or not
}

// FilesConfig configures [Files].
type FilesConfig struct {
	CertFile, KeyFile string                       // PEM
	Check             func(*tls.Certificate) error // rejects unsuitable certificates; may be nil
	Log               *slog.Logger
}

// NewFiles reads the files for the first time.
func NewFiles(cfg FilesConfig) (*Files, error) {
	f := &Files{cfg: cfg}
	_, err := f.read()
	return f, err
}

// TLS returns the configuration of a listener that serves the certificate.
func (f *Files) TLS() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.Pair(), nil }}
}

// Pair returns the certificate, with its Leaf. It reads the files at most once a second.
// If they become unusable, it keeps returning the old pair.
func (f *Files) Pair() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.readAt) < time.Second {
		return f.pair
	}
	switch changed, err := f.read(); {
	case err != nil:
		f.cfg.Log.Warn("changed certificate not usable, keeping the old one", "err", err)
	case changed:
		f.cfg.Log.Info("certificate reloaded", "file", f.cfg.CertFile, "expires", f.pair.Leaf.NotAfter.UTC())
	}
	return f.pair
}

// read replaces the pair if the files have changed and are usable. It returns an error only
// once for each change.
func (f *Files) read() (replaced bool, err error) {
	certificate, err1 := os.ReadFile(f.cfg.CertFile)
	key, err2 := os.ReadFile(f.cfg.KeyFile)
	f.readAt = time.Now()
	contents := [2]string{string(certificate), string(key)}
	if contents == f.contents && f.pair != nil {
		return false, nil
	}
	f.contents = contents
	err = errors.Join(err1, err2)
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.X509KeyPair(certificate, key)
	}
	if err == nil && f.cfg.Check != nil {
		err = f.cfg.Check(&pair)
	}
	if err != nil {
		return false, fmt.Errorf("certificate %s with key %s: %w", f.cfg.CertFile, f.cfg.KeyFile, err)
	}
	if f.pair = &pair; time.Now().After(pair.Leaf.NotAfter) {
		f.cfg.Log.Warn("certificate has expired: replace its file", "file", f.cfg.CertFile, "expired", pair.Leaf.NotAfter.UTC())
	}
	return true, nil
}
