package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// listen makes sure that LISTEN_ADDR answers as the service does: the service itself,
// or the handler of [Config.Listen] until the checks end.
func (e *examination) listen(ctx context.Context) Result {
	address := e.cfg.Settings.ListenAddr
	stop, err := e.cfg.Listen(ctx)
	switch {
	case err == nil:
		e.stop = stop
		return ok("%s is free; the doctor listens there during the checks", address)
	case errors.Is(err, syscall.EADDRINUSE) && e.serviceAt(ctx, address):
		return ok("the service runs at %s", address)
	case errors.Is(err, syscall.EADDRINUSE):
		return failed("another program listens on "+address, "stop it, or choose another LISTEN_ADDR")
	case errors.Is(err, syscall.EACCES):
		return failed("this user may not listen on "+address, "choose a port from 1024 on, or give the program CAP_NET_BIND_SERVICE")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return failed(address+" is not an address of this machine", "choose a LISTEN_ADDR such as :8080")
	}
	return failed(err.Error(), "choose another LISTEN_ADDR, and check the certificate files")
}

// serviceAt reports whether it is the service that listens at an address of this machine,
// by how it refuses a path that it does not have. PUBLIC_ALLOW may exclude this machine
// from the others.
func (e *examination) serviceAt(ctx context.Context, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	path := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/no-such-path"}
	if e.cfg.Settings.TLSCertFile != "" || len(e.cfg.Settings.ACMEDomains) > 0 {
		path.Scheme = "https"
	}
	// The certificate names the public host, not this one; nothing secret is sent.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	a, err := ask(ctx, &http.Client{Transport: transport, Timeout: 3 * time.Second}, http.MethodGet, &path, nil)
	return err == nil && a.unknownPath()
}

// unknownPath reports whether the service answers that it has no such path.
func (a answer) unknownPath() bool {
	return a.status == http.StatusNotFound && strings.Contains(a.body, `"no such path"`)
}
