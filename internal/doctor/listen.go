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
// service, or with [Config.Listen] until the checks end. PRIVATE_ADDR must be free meanwhile.
func (d *diagnosis) listen(ctx context.Context) Result {
	address := d.cfg.Settings.ListenAddr
	stop, err := d.cfg.Listen(ctx)
	switch {
	case err == nil:
		d.stop = stop
		if private := d.cfg.Settings.PrivateAddr; private != "" {
			listener, err := new(net.ListenConfig).Listen(ctx, "tcp", private)
			if err != nil {
				return failed(err.Error(), "choose another PRIVATE_ADDR")
			}
			_ = listener.Close()
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
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	path := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/no-such-path"}
	if d.cfg.Settings.TLSCertFile != "" || len(d.cfg.Settings.ACMEDomains) > 0 {
		path.Scheme = "https"
	}
	// The certificate names the public host, not this one; nothing secret is sent.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	r, err := call(ctx, &http.Client{Transport: transport, Timeout: 3 * time.Second}, http.MethodGet, &path, nil)
	return err == nil && r.unknownPath()
}

// unknownPath reports whether this is the service's response to an unknown path.
func (r response) unknownPath() bool {
	return r.status == http.StatusNotFound && strings.Contains(r.body, `"no such path"`)
}
