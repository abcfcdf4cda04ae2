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

// newClient returns a client that follows no redirect, as neither Graph nor the
// service does.
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

const maxBody = 64 << 10 // bytes of an answer that are read

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	tls    *tls.ConnectionState // nil: no TLS
	took   time.Duration
}

// ask makes one request without a body.
func ask(ctx context.Context, client *http.Client, method string, address *url.URL, header http.Header) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address.String(), http.NoBody)
	if err != nil {
		return answer{}, err
	}
	maps.Copy(request.Header, header)
	request.Header.Set("User-Agent", "outlook-monitor doctor")
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	return answer{response.StatusCode, response.Header, string(body), response.TLS, time.Since(began)}, err
}

// certificate is what the server showed; nil: no TLS.
func (a answer) certificate() *x509.Certificate {
	if a.tls == nil || len(a.tls.PeerCertificates) == 0 {
		return nil
	}
	return a.tls.PeerCertificates[0]
}

// security describes the connection. The issuer of the certificate shows whether a
// proxy intercepts TLS.
func (a answer) security() string {
	if c := a.certificate(); c != nil {
		return fmt.Sprintf("%s, certificate by %s", tls.VersionName(a.tls.Version), issuer(c))
	}
	return "no TLS"
}

func issuer(c *x509.Certificate) string {
	return cmp.Or(c.Issuer.CommonName, strings.Join(c.Issuer.Organization, ", "), "unknown")
}

// cause is why a call got no answer.
type cause int

const (
	other cause = iota
	noName
	noResolver
	refused
	timedOut
	cut
	noTLS
	untrusted
	wrongHost
	expired
	noProxy
)

// remedies say what to do about each cause, depending on what was called.
type remedies map[cause]string

// usual are remedies that hold for any call. The last resort is that of other.
var usual = remedies{
	noResolver: "check this machine's DNS (/etc/resolv.conf, or the container's)",
	untrusted:  "add its authority to the system's certificates, or name it in SSL_CERT_FILE",
	expired:    "renew its certificate",
	noProxy:    "fix HTTPS_PROXY, or name the host in NO_PROXY",
}

// failure is the result of a call to host that got no answer.
func (r remedies) failure(err error, host string) Result {
	why, text := causeOf(err, host)
	return failed(printable(text), cmp.Or(r[why], usual[why], r[other]))
}

// causeOf says why a call to host got no answer, as a kind and in words.
func causeOf(err error, host string) (cause, string) {
	var (
		op          *net.OpError
		dns         *net.DNSError
		wrong       x509.HostnameError
		invalid     x509.CertificateInvalidError
		unverified  *tls.CertificateVerificationError
		plaintext   tls.RecordHeaderError
		alert       tls.AlertError
		late        net.Error
		withAddress *url.Error
	)
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return noProxy, "the proxy in HTTPS_PROXY does not answer"
	case errors.As(err, &dns) && dns.IsNotFound:
		return noName, "the name " + host + " is not found in DNS"
	case dns != nil:
		return noResolver, "no DNS server answers for " + host
	case errors.As(err, &wrong):
		return wrongHost, host + ": " + wrong.Error()
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expired, host + ": " + invalid.Error()
	case errors.As(err, &unverified):
		shown := unverified.UnverifiedCertificates[0]
		return untrusted, fmt.Sprintf("this machine does not trust the certificate of %s, issued by %q", host, issuer(shown))
	case errors.As(err, &plaintext), errors.Is(err, http.ErrSchemeMismatch):
		return noTLS, host + " does not speak TLS on this port"
	case errors.As(err, &alert):
		return cut, host + " refuses the TLS handshake"
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused, host + " refuses the connection: nothing listens on this port"
	case either(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return other, "there is no route to " + host
	case errors.As(err, &late) && late.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return timedOut, host + " does not answer in time"
	case either(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return cut, host + " closes the connection"
	case errors.As(err, &withAddress): // which may hold a secret
		err = withAddress.Err
	}
	return other, host + ": " + err.Error()
}

// toMicrosoft has remedies for calls to Graph and its login endpoint.
var toMicrosoft = remedies{
	noName:    "check GRAPH_CLOUD, GRAPH_ENDPOINT, AZURE_AUTHORITY_HOST and this machine's DNS",
	refused:   "let this machine reach it (firewall), set HTTPS_PROXY, or correct GRAPH_ENDPOINT and AZURE_AUTHORITY_HOST",
	untrusted: "if a proxy intercepts TLS, add its authority to the system's certificates or name it in SSL_CERT_FILE",
	wrongHost: "check GRAPH_ENDPOINT and AZURE_AUTHORITY_HOST, and whether a proxy intercepts TLS",
	expired:   "check this machine's clock first, then whether a proxy intercepts TLS",
	noTLS:     "check the port in GRAPH_ENDPOINT and AZURE_AUTHORITY_HOST, and HTTPS_PROXY",
	other:     "let this machine reach port 443 there: check firewall, route and HTTPS_PROXY",
}

func (e *examination) loginHost(ctx context.Context) Result {
	if e.cfg.Settings.Graph.Credential == config.ManagedIdentity {
		return ok("not needed: a managed identity logs in through this machine's platform")
	}
	return e.host(ctx, e.cfg.AuthorityHost)
}

func (e *examination) graphHost(ctx context.Context) Result { return e.host(ctx, e.cfg.Endpoint) }

// maxDrift is how far this machine's clock may be off before logins and scheduled
// replies suffer. A Date header has whole seconds.
const maxDrift = 5 * time.Second

const syncClock = "synchronize this machine's clock over the network (chrony, systemd-timesyncd)"

// host calls a host; any answer is good.
func (e *examination) host(ctx context.Context, base string) Result {
	address, err := url.Parse(base + "/")
	if err != nil {
		return failed("its address is not a URL", toMicrosoft[noName])
	}
	a, err := ask(ctx, e.client, http.MethodGet, address, nil)
	if err != nil {
		return toMicrosoft.failure(err, address.Host)
	}
	if sent, err := http.ParseTime(a.header.Get("Date")); err == nil {
		if off := time.Until(sent) + a.took/2; off.Abs() > maxDrift {
			return warning(fmt.Sprintf("%s answers, but this machine's clock is %s", address.Host, drift(off)), syncClock)
		}
	}
	return ok("%s answers in %s, %s", address.Host, short(a.took), a.security())
}

// internal reports whether the host has only addresses that are of no use from outside,
// and names one of them.
func internal(ctx context.Context, host string) (netip.Addr, bool) {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 || slices.ContainsFunc(found, func(ip netip.Addr) bool { return !isInternal(ip.Unmap()) }) {
		return netip.Addr{}, false
	}
	return found[0].Unmap(), true
}

// shared is what providers use within their networks (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func isInternal(ip netip.Addr) bool {
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || shared.Contains(ip)
}
