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

// Bounds of a request. Asking the mediator for its users takes up to 40 s; a
// notification of 4 MiB needs no 20 s.
const (
	headerTime = 5 * time.Second
	readTime   = 20 * time.Second
	writeTime  = time.Minute
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
	maxBuffer  = 128 << 10 // of an HTTP/2 connection, for what nobody reads yet
	// drainTime is for requests in hand when the service stops.
	drainTime = 9 * time.Second
)

// Listener is an address and what answers there.
type Listener struct {
	net.Listener
	Handler http.Handler
	TLS     *tls.Config // nil: none
}

// Serve answers requests until ctx ends and returns once the last one is
// finished, or cut off after a grace of 9 s.
func Serve(ctx context.Context, l Listener, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           l.Handler,
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		ConnState:      newConns(maxConns).changed,
		HTTP2:          &http.HTTP2Config{MaxReceiveBufferPerConnection: maxBuffer, MaxReceiveBufferPerStream: maxBuffer},
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
	if l.TLS != nil {
		srv.TLSConfig = l.TLS
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
