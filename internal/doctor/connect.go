package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"outlook-monitor/internal/config"
)

// newClient returns a client that does not follow redirects, like Graph and the service.
func newClient(roots *x509.CertPool) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

const maxBody = 64 << 10 // bytes of a response that are read

type response struct {
	status int
	header http.Header
	body   string
	tls    *tls.ConnectionState // nil: no TLS
	took   time.Duration
}

// call makes one request without a body.
func call(ctx context.Context, client *http.Client, method string, address *url.URL, header http.Header) (response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address.String(), http.NoBody)
	if err != nil {
		return response{}, err
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", "outlook-monitor doctor")
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return response{resp.StatusCode, resp.Header, string(body), resp.TLS, time.Since(began)}, err
}

// certificate returns the server's certificate, nil without TLS.
func (r response) certificate() *x509.Certificate {
	if r.tls == nil || len(r.tls.PeerCertificates) == 0 {
		return nil
	}
	return r.tls.PeerCertificates[0]
}

// security describes the TLS connection. The issuer of the certificate reveals a proxy that
// intercepts TLS.
func (r response) security() string {
	if c := r.certificate(); c != nil {
		return fmt.Sprintf("%s, certificate by %s", tls.VersionName(r.tls.Version), issuer(c))
	}
	return "no TLS"
}

func issuer(c *x509.Certificate) string {
	return cmp.Or(c.Issuer.CommonName, strings.Join(c.Issuer.Organization, ", "), "unknown")
}

// cause is why a call got no response.
type cause int

const (
	other cause = iota
	unknownHost
	noDNS
	refused
	timedOut
	closed
	noTLS
	untrusted
	wrongHost
	expired
	proxyDown
)

// remedies are the remedies for calls to one kind of host.
type remedies map[cause]string

var defaultRemedies = remedies{
	noDNS:     "check this machine's DNS (/etc/resolv.conf, or the container's)",
	untrusted: "add its authority to the system's certificates, or name it in SSL_CERT_FILE",
	expired:   "renew its certificate",
	proxyDown: "fix HTTPS_PROXY, or name the host in NO_PROXY",
}

// failure returns the result of a call that got no response. A cause without a remedy, here
// and in defaultRemedies, has that of other.
func (r remedies) failure(err error, host string) Result {
	why, text := causeOf(err, host)
	return failed(sanitize(text), cmp.Or(r[why], defaultRemedies[why], r[other]))
}

// causeOf returns why a call to host got no response, and describes it.
func causeOf(err error, host string) (cause, string) {
	var (
		op         *net.OpError
		dns        *net.DNSError
		hostname   x509.HostnameError
		invalid    x509.CertificateInvalidError
		unverified *tls.CertificateVerificationError
		plaintext  tls.RecordHeaderError
		netErr     net.Error
		urlErr     *url.Error
	)
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return proxyDown, "the proxy in HTTPS_PROXY does not answer"
	case errors.As(err, &dns) && dns.IsNotFound:
		return unknownHost, host + " is not found in DNS"
	case dns != nil:
		return noDNS, "no DNS server answers for " + host
	case errors.As(err, &hostname):
		return wrongHost, host + ": " + hostname.Error()
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expired, host + ": " + invalid.Error()
	case errors.As(err, &unverified):
		cert := unverified.UnverifiedCertificates[0]
		return untrusted, fmt.Sprintf("this machine does not trust the certificate of %s, issued by %q", host, issuer(cert))
	case errors.As(err, &plaintext), errors.Is(err, http.ErrSchemeMismatch):
		return noTLS, host + " does not speak TLS on this port"
	case op != nil && op.Op == "remote error": // of crypto/tls, for an alert
		return closed, host + " refuses the TLS handshake"
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused, host + " refuses the connection: nothing listens on this port"
	case isAny(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return other, "there is no route to " + host
	case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return timedOut, host + " does not answer in time"
	case isAny(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return closed, host + " closes the connection"
	case errors.As(err, &urlErr): // the URL may contain a secret
		err = urlErr.Err
	}
	return other, host + ": " + err.Error()
}

// microsoftRemedies are those for calls to Graph and its login endpoint.
var microsoftRemedies = remedies{
	unknownHost: "check GRAPH_CLOUD, GRAPH_ENDPOINT, AZURE_AUTHORITY_HOST and this machine's DNS",
	refused:     "let this machine reach it (firewall), set HTTPS_PROXY, or correct GRAPH_ENDPOINT and AZURE_AUTHORITY_HOST",
	untrusted:   "if a proxy intercepts TLS, add its authority to the system's certificates or name it in SSL_CERT_FILE",
	wrongHost:   "check GRAPH_ENDPOINT and AZURE_AUTHORITY_HOST, and whether a proxy intercepts TLS",
	expired:     "check this machine's clock first, then whether a proxy intercepts TLS",
	noTLS:       "check the port in GRAPH_ENDPOINT and AZURE_AUTHORITY_HOST, and HTTPS_PROXY",
	other:       "let this machine reach it: check firewall, route and HTTPS_PROXY",
}

func (d *diagnosis) loginHost(ctx context.Context) Result {
	if d.cfg.Settings.Graph.Credential == config.ManagedIdentity {
		return ok("not needed: a managed identity logs in through this machine's platform")
	}
	_, authority := d.cfg.Login.Addresses()
	return d.host(ctx, authority)
}

func (d *diagnosis) graphHost(ctx context.Context) Result {
	endpoint, _ := d.cfg.Login.Addresses()
	return d.host(ctx, endpoint)
}

// maxDrift is the largest clock error that does not affect logins and scheduled replies. A
// Date header has whole seconds.
const maxDrift = 5 * time.Second

const syncClock = "synchronize this machine's clock over the network (chrony, systemd-timesyncd)"

// host calls a host. Any response is ok.
func (d *diagnosis) host(ctx context.Context, base string) Result {
	address, err := url.Parse(base + "/")
	if err != nil {
		return failed("the address is not a URL", microsoftRemedies[unknownHost])
	}
	r, err := call(ctx, d.client, http.MethodGet, address, nil)
	if err != nil {
		return microsoftRemedies.failure(err, address.Host)
	}
	if sent, err := http.ParseTime(r.header.Get("Date")); err == nil {
		if off := time.Until(sent) + r.took/2; off.Abs() > maxDrift {
			return warning(fmt.Sprintf("%s answers, but this machine's clock is %s", address.Host, drift(off)), syncClock)
		}
	}
	return ok("%s answers in %s, %s", address.Host, round(r.took), r.security())
}

// internalAddr reports whether the host has only addresses that the internet can't reach, and
// returns one of them.
func internalAddr(ctx context.Context, host string) (netip.Addr, bool) {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 || slices.ContainsFunc(found, func(ip netip.Addr) bool { return !isInternal(ip.Unmap()) }) {
		return netip.Addr{}, false
	}
	return found[0].Unmap(), true
}

// carrierNAT is the shared address space of carrier-grade NAT (RFC 6598).
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

func isInternal(ip netip.Addr) bool {
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || carrierNAT.Contains(ip)
}
