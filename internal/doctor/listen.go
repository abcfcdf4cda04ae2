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

// listen makes sure that the service's handler answers at LISTEN_ADDR: in the running
// service, or with [Config.Listen] until the checks end. PRIVATE_ADDR must be free meanwhile, unless the
// running service has it.
func (d *diagnosis) listen(ctx context.Context) Result {
	address := d.cfg.Settings.ListenAddr
	stop, err := d.cfg.Listen(ctx)
	switch {
	case err == nil:
		d.stop = stop
		if private := d.cfg.Settings.PrivateAddr; private != "" {
			listener, err := new(net.ListenConfig).Listen(ctx, "tcp", private)
			if err == nil {
				_ = listener.Close()
			} else if status, callErr := StatusAt(ctx, "http", private, "/healthz"); callErr != nil || status != http.StatusOK { // not the running service
				return failed(err.Error(), "choose another PRIVATE_ADDR")
			}
		}
		return ok("%s is free; the doctor listens there during the checks", address)
	case errors.Is(err, syscall.EADDRINUSE) && d.serviceAt(ctx, address):
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

// serviceAt reports whether the service listens at an address of this machine. It asks for
// an unknown path, because PUBLIC_ALLOW may exclude this machine from the others.
func (d *diagnosis) serviceAt(ctx context.Context, address string) bool {
	scheme := "http"
	if d.cfg.Settings.TLSCertFile != "" || len(d.cfg.Settings.ACMEDomains) > 0 {
		scheme = "https"
	}
	r, err := get(ctx, scheme, address, "/no-such-path")
	return err == nil && r.unknownPath()
}

// StatusAt returns the status of what listens at an address of this machine for a path.
func StatusAt(ctx context.Context, scheme, address, path string) (int, error) {
	r, err := get(ctx, scheme, address, path)
	return r.status, err
}

// get requests a path from what listens at an address of this machine.
func get(ctx context.Context, scheme, address, path string) (response, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return response{}, err
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	// The certificate names the public host, not this one; nothing secret is sent.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	at := &url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port), Path: path}
	return call(ctx, &http.Client{Transport: transport, Timeout: 3 * time.Second}, http.MethodGet, at, nil)
}

// unknownPath reports whether this is the service's response to an unknown path.
func (r response) unknownPath() bool {
	return r.status == http.StatusNotFound && strings.Contains(r.body, `"no such path"`)
}
