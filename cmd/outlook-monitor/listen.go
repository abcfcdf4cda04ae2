package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Bounds of a request. Asking the mediator for its users takes up to 40 s; a
// notification of 4 MiB needs no 20 s.
const (
	headerTime = 5 * time.Second
	readTime   = 20 * time.Second
	writeTime  = time.Minute
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
	// drainTime is for requests in hand when the service stops.
	drainTime = 9 * time.Second
)

// listener is an address and what answers there.
type listener struct {
	net.Listener
	handler http.Handler
	tls     *certificate // nil: none
}

// serve answers requests until ctx ends and returns once the last one is
// finished, or cut off after drainTime.
func serve(ctx context.Context, l listener, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           l.handler,
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close() // the last requests would not end
		}
	})
	var err error
	if l.tls != nil {
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.tls.get}
		err = srv.ServeTLS(l.Listener, "", "")
	} else {
		err = srv.Serve(l.Listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	<-drained // Serve returns as soon as Shutdown begins
	return nil
}

// certificate is a key pair in two files, read again when they change.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate // guarded by mu, as all below
	looked  time.Time        // when the files were last looked at
	changed [2]time.Time     // of pair's files
}

// newCertificate reads the files for the first time.
func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	_, err := c.get(nil)
	return c, err
}

// get returns the certificate. Files are looked at once a second at most; what
// can't be read or doesn't fit together leaves the old pair in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair != nil && time.Since(c.looked) < time.Second {
		return c.pair, nil
	}
	c.looked = time.Now()
	changed := [2]time.Time{modified(c.certFile), modified(c.keyFile)}
	if c.pair != nil && changed == c.changed {
		return c.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	switch {
	case err == nil:
		c.pair, c.changed = &pair, changed
	case c.pair == nil:
		return nil, errors.New("TLS_CERT_FILE and TLS_KEY_FILE hold no certificate and private key that fit together")
	default:
		c.log.Warn("the changed certificate can't be used, the old one stays", "file", c.certFile)
	}
	return c.pair, nil
}

func modified(file string) time.Time {
	stat, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return stat.ModTime()
}
