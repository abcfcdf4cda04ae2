package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// listen makes sure that something answers at LISTEN_ADDR as the service does:
// the service, or the stand-in.
func (e *examination) listen(ctx context.Context) verdict {
	address := e.cfg.Settings.ListenAddr
	acme := len(e.cfg.Settings.ACMEDomains) > 0
	stop, err := e.cfg.Listen(ctx)
	switch {
	case err == nil:
		e.stop = stop
		if acme {
			e.absent = "only the running service has the certificate from ACME: start it, then ask again"
		}
		return well("%s is free; the doctor answers there meanwhile", address)
	case errors.Is(err, syscall.EADDRINUSE) && e.ours(ctx, address):
		return well("the service runs at %s", address)
	case errors.Is(err, syscall.EADDRINUSE):
		e.absent = "another program has LISTEN_ADDR"
		return failed("another program listens at "+address, "stop it, or choose another LISTEN_ADDR")
	case errors.Is(err, syscall.EACCES):
		e.absent = "nobody may listen at LISTEN_ADDR"
		return failed("this user may not listen at "+address, "choose a LISTEN_ADDR with a port from 1024 on, or give the program CAP_NET_BIND_SERVICE")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.absent = "nobody can listen at LISTEN_ADDR"
		return failed(address+" is no address of this machine", "choose a LISTEN_ADDR such as :8080")
	}
	e.absent = "nobody can listen at LISTEN_ADDR"
	return failed(plain(err), "choose another LISTEN_ADDR, and look at the certificate files")
}

// ours says whether it is the service that listens at address of this machine.
func (e *examination) ours(ctx context.Context, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if e.cfg.Settings.TLSCertFile != "" || len(e.cfg.Settings.ACMEDomains) > 0 {
		scheme = "https://"
	}
	// The certificate names the public host, not this one; nothing secret is sent.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	near := &examination{cfg: e.cfg, client: &http.Client{Transport: transport, Timeout: 3 * time.Second, CheckRedirect: e.client.CheckRedirect}}
	base := scheme + net.JoinHostPort(host, port)
	return near.isOurs(ctx, base+e.cfg.NotificationPath) || near.missing(ctx, base+"/no-such-path")
}

// isOurs says whether it is this program that has an address for Graph: it takes
// POST alone there, and says so in its own way.
func (e *examination) isOurs(ctx context.Context, address string) bool {
	a, err := e.look(ctx, address)
	return err == nil && a.status == http.StatusMethodNotAllowed && a.header.Get("Allow") == http.MethodPost &&
		a.header.Get("X-Content-Type-Options") == "nosniff" && a.header.Get("Cache-Control") == "no-store"
}

// missing says whether it is this program that has no such address. It is asked
// where PUBLIC_ALLOW keeps this machine out of Graph's paths.
func (e *examination) missing(ctx context.Context, address string) bool {
	a, err := e.look(ctx, address)
	return err == nil && a.oursMissing()
}

func (a answer) oursMissing() bool {
	return a.status == http.StatusNotFound && strings.Contains(a.body, `"no such path"`)
}

// look asks for an address with what makes the service answer without Redis.
func (e *examination) look(ctx context.Context, address string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?validationToken=x", http.NoBody)
	if err != nil {
		return answer{}, err
	}
	return e.ask(request)
}
