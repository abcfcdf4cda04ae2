package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout = 5 * time.Second
	readTimeout   = 20 * time.Second // a notification of 4 MiB takes less
	writeTimeout  = time.Minute      // a sync with the mediator takes up to 50 s, a profile 55 s
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	// maxConns limits the memory of a listener: a connection with TLS and a half-sent body
	// takes about 90 KiB, and unauthenticated callers may take 64 MiB in all, with longBodies.
	maxConns = 640
	// drainTimeout is for requests in flight when the service stops.
	drainTimeout = 9 * time.Second
)

// Listener is a listener and its handler.
type Listener struct {
	net.Listener
	Handler http.Handler
	TLS     *tls.Config // nil: none
}

// Serve answers requests until ctx ends. It returns once the last one is finished, or
// was cut off after 9 s.
func Serve(ctx context.Context, l Listener, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           l.Handler,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		Protocols:      new(http.Protocols),
		ConnState:      newConns(maxConns).changed,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	srv.Protocols.SetHTTP1(true)
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		drainCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if srv.Shutdown(drainCtx) != nil {
			_ = srv.Close() // some requests did not end
		}
	})
	var err error
	if l.TLS != nil {
		srv.TLSConfig = l.TLS
		srv.Handler = strictTransport(l.Handler)
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

// strictTransport makes browsers use only https for this host.
func strictTransport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}
