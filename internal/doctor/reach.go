package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"outlook-monitor/internal/config"
)

// newClient returns a client that follows no redirect, as Graph and the service
// itself follow none.
func newClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout: 5 * time.Second,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

const mostBody = 64 << 10 // bytes of an answer that are read

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	tls    *tls.ConnectionState // nil: no TLS
	took   time.Duration
}

// ask makes one request.
func (e *examination) ask(request *http.Request) (answer, error) {
	request.Header.Set("User-Agent", "outlook-monitor doctor")
	began := time.Now()
	response, err := e.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostBody))
	a := answer{response.StatusCode, response.Header, string(body), response.TLS, time.Since(began)}
	return a, err
}

// cause is why a call got no answer.
type cause int

const (
	other cause = iota
	noName
	noResolver
	refused
	silent
	noRoute
	cut
	noTLS
	untrusted
	wrongHost
	expired
	proxyAway
)

// remedies say what mends each cause; the one of other is for those left out.
type remedies map[cause]string

func (r remedies) of(c cause) string { return cmp.Or(r[c], r[other]) }

// causeOf says why a call to host got no answer, as a kind and in words.
func causeOf(err error, host string) (cause, string) {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return proxyAway, "the proxy of HTTPS_PROXY does not answer"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return noName, "the name " + host + " is not found in DNS"
		}
		return noResolver, "no name server tells where " + host + " is"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return noTLS, host + " speaks no TLS at this port"
	}
	if c, text := certificateCause(err, host); c != other {
		return c, text
	}
	late, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused, host + " refuses the connection: nothing listens at this port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return noRoute, "there is no route to " + host
	case ok && late.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return silent, host + " does not answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return cut, host + " cuts the connection"
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the URL may hold a secret
	}
	return other, host + ": " + err.Error()
}

func certificateCause(err error, host string) (cause, string) {
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return untrusted, fmt.Sprintf("this machine does not trust the certificate of %s, issued by %q", host, issuer(unknown.Cert))
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		names := "nobody"
		if c := wrong.Certificate; c != nil {
			all := c.DNSNames
			for _, ip := range c.IPAddresses {
				all = append(all, ip.String())
			}
			names = cmp.Or(strings.Join(all[:min(len(all), 4)], ", "), names)
		}
		return wrongHost, fmt.Sprintf("the certificate of %s is for %s", host, names)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return expired, fmt.Sprintf("the certificate of %s is valid from %s to %s only", host,
			invalid.Cert.NotBefore.UTC().Format(time.DateOnly), invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return untrusted, "the certificate of " + host + " can't be verified"
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return cut, host + " refuses the TLS handshake"
	}
	return other, ""
}

func issuer(c *x509.Certificate) string {
	if c == nil {
		return "unknown"
	}
	return cmp.Or(c.Issuer.CommonName, strings.Join(c.Issuer.Organization, ", "), "unknown")
}

// secured says how a connection is secured: who knows a certificate's issuer sees
// whether a proxy opens TLS.
func secured(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return "no TLS"
	}
	leaf := state.PeerCertificates[0]
	return fmt.Sprintf("%s, certificate by %s", tls.VersionName(state.Version), issuer(leaf))
}

// waysOut mends calls to Microsoft.
var waysOut = remedies{
	noName:     "look at the name in GRAPH_CLOUD, GRAPH_ENDPOINT or AZURE_AUTHORITY_HOST, and at this machine's DNS",
	noResolver: "look at this machine's DNS (/etc/resolv.conf, or the container's)",
	refused:    "let this machine reach it at port 443 (firewall), set HTTPS_PROXY, or mend GRAPH_ENDPOINT and AZURE_AUTHORITY_HOST if they are set",
	untrusted:  "if a proxy here opens TLS, add its authority to the system's (or name it in SSL_CERT_FILE); otherwise someone is in between",
	wrongHost:  "look at GRAPH_ENDPOINT and AZURE_AUTHORITY_HOST, and at a proxy that opens TLS",
	expired:    "look at this machine's clock first, then at a proxy that opens TLS",
	proxyAway:  "mend HTTPS_PROXY, or take it out",
	noTLS:      "look at the port in GRAPH_ENDPOINT and AZURE_AUTHORITY_HOST, and at HTTPS_PROXY",
	other:      "let this machine reach it at port 443: firewall, route, or HTTPS_PROXY",
}

// mostDrift is how far this machine's clock may be off before logins and
// scheduled windows suffer. A Date header has whole seconds.
const mostDrift = 5 * time.Second

func (e *examination) loginHost(ctx context.Context) verdict {
	if e.cfg.Settings.Graph.Credential == config.ManagedIdentity {
		return well("not asked: a managed identity logs in through this machine's platform")
	}
	return e.host(ctx, e.cfg.AuthorityHost)
}

func (e *examination) graphHost(ctx context.Context) verdict {
	return e.host(ctx, e.cfg.Endpoint)
}

// host asks a host for anything at all.
func (e *examination) host(ctx context.Context, base string) verdict {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/", http.NoBody)
	if err != nil {
		return failed("its address makes no request", waysOut[noName])
	}
	a, err := e.ask(request)
	if err != nil {
		why, text := causeOf(err, request.URL.Host)
		return failed(text, waysOut.of(why))
	}
	if sent, err := http.ParseTime(a.header.Get("Date")); err == nil {
		if off := time.Until(sent) + a.took/2; off.Abs() > mostDrift {
			return warning(fmt.Sprintf("%s answers, but this machine's clock is %s", request.URL.Host, drift(off)),
				"let it be set over the network (chrony, systemd-timesyncd): logins and scheduled replies go by it")
		}
	}
	return well("%s answers in %s, %s", request.URL.Host, took(a.took), secured(a.tls))
}

// drift writes how far this machine's clock is off, where the true time is ahead
// of it by off.
func drift(off time.Duration) string {
	unit := time.Second
	if off.Abs() < 10*time.Second {
		unit = 100 * time.Millisecond
	}
	if off < 0 {
		return (-off).Round(unit).String() + " fast"
	}
	return off.Round(unit).String() + " slow"
}

// inner says whether an address is of no use from outside.
func inner(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || shared.Contains(ip)
}

// shared is what providers use inside (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")
