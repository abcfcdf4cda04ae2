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

// Limits of a request. Asking the mediator for its users takes up to 40 s; a
// notification of 4 MiB needs no 20 s.
const (
	headerTime = 5 * time.Second
	readTime   = 20 * time.Second
	writeTime  = time.Minute
	idleTime   = 2 * time.Minute
	maxHeader  = 16 << 10
	// maxConns limits what connections cost a listener: with TLS and a body that was half
	// sent about 90 KiB each, and unauthenticated callers may cost 64 MiB in all.
	maxConns = 640
	// drainTime is for requests in flight when the service stops.
	drainTime = 9 * time.Second
)

// Listener is an address and what answers there.
type Listener struct {
	net.Listener
	Handler http.Handler
	TLS     *tls.Config // nil: none
}

// Serve answers requests until ctx ends and returns once the last one is finished,
// or cut off after a grace of 9 s.
func Serve(ctx context.Context, l Listener, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           l.Handler,
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		Protocols:      new(http.Protocols),
		ConnState:      newConns(maxConns).changed,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	srv.Protocols.SetHTTP1(true)
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

// strictTransport has browsers use https for this host from now on.
func strictTransport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}
