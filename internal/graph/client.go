package graph

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoft/kiota-abstractions-go/authentication"
	kiotahttp "github.com/microsoft/kiota-http-go"
	kiotajson "github.com/microsoft/kiota-serialization-json-go"

	"outlook-monitor/internal/ooo"
)

// Config says which Graph to talk to and as whom. Package config checks the settings.
type Config struct {
	Cloud         string // global (the default), usgov, dod or china
	Endpoint      string // instead of the cloud's, such as https://127.0.0.1:9443
	AuthorityHost string // instead of the cloud's

	TenantID, ClientID string

	// The first of these that is set is used, in this order.
	ClientSecret            string
	CertificatePath         string // PEM or PKCS#12, read at each login
	CertificatePassword     string // of a PKCS#12 file
	FederatedTokenFile      string // workload identity
	ManagedIdentity         bool
	ManagedIdentityClientID string // empty: the system-assigned identity

	RootCAs *x509.CertPool // nil: the system's

	// Observe is called after every request to Graph and to the login endpoint, with the
	// operation, the HTTP status (0: no answer) and the duration. It may be nil.
	Observe func(operation string, status int, took time.Duration)
	Log     *slog.Logger // nil: nothing is logged
}

// How long one call may take, including a token, a retry after a 401, and the steps of a
// look-up.
const (
	readTimeout         = 10 * time.Second
	directoryTimeout    = 6 * time.Second  // a monitor request must be answered within 8 s
	subscriptionTimeout = 40 * time.Second // Graph validates both URLs before it answers, 10 s each
	loginTimeout        = 20 * time.Second // the token is renewed long before it expires
	grantTimeout        = 10 * time.Second // of [Client.Grant], as a call that waits for a login
)

// Client talks to Graph. It is safe for concurrent use.
type Client struct {
	cfg       Config
	transport *transport
	adapter   abstractions.RequestAdapter // of the SDK
	buffers   sync.Pool                   // of *bytes.Buffer, for answers
}

// New returns a client. It does no I/O: [Client.Token] or the first call logs in.
func New(cfg Config) (*Client, error) {
	cfg = cfg.complete()
	conns := newConns(cfg.RootCAs)
	t := &transport{cfg: cfg, conns: conns, tokens: newTokens(login{cfg, cfg.Endpoint + "/.default", conns}.fetch, cfg.Log)}
	// The transport authenticates and returns errors; the adapter only encodes and decodes.
	adapter, err := kiotahttp.NewNetHttpRequestAdapterWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(
		&authentication.AnonymousAuthenticationProvider{},
		kiotajson.NewJsonParseNodeFactory(), kiotajson.NewJsonSerializationWriterFactory(),
		&http.Client{Transport: t})
	if err != nil {
		return nil, err
	}
	adapter.SetBaseUrl(cfg.Endpoint + version)
	return &Client{
		cfg: cfg, transport: t, adapter: adapter,
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}, nil
}

// complete fills in the defaults.
func (cfg Config) complete() Config {
	cfg.Endpoint, cfg.AuthorityHost = cfg.Addresses()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, int, time.Duration) {}
	}
	return cfg
}

const version = "/v1.0"

// newConns returns the connection pool for Graph and its login endpoint. HTTP/2 needs
// only a few connections; the limits matter behind a proxy that only speaks HTTP/1.1.
func newConns(roots *x509.CertPool) *http.Transport {
	dialer := net.Dialer{Timeout: 4 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		// A dead connection is detected before the callers time out, and its requests are
		// sent over a new one.
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second},
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 128,
		MaxConnsPerHost:     256,
		IdleConnTimeout:     90 * time.Second,
		// A setting has a kilobyte or two: decompressing costs more than transferring it.
		DisableCompression: true,
	}
}

// Run renews the token before it expires, until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	defer c.transport.conns.CloseIdleConnections()
	c.transport.tokens.run(ctx)
	return nil
}

// call sends a request without the SDK and passes the body of the answer to decode, which
// must not keep it. body must not be reused: the transport may still read it after the
// answer has arrived.
func (c *Client) call(ctx context.Context, method, path string, body []byte, decode func(answer []byte) error) error {
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.Endpoint+version+path, http.NoBody)
	if err != nil {
		return noAnswer(err)
	}
	req.Header["Accept"] = typeJSON
	if body != nil {
		req.Header["Content-Type"] = typeJSON
	}
	resp, err := c.transport.do(req, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if !strings.Contains(resp.Header.Get("Content-Type"), "json") { // a proxy's page
		return errBadAnswer
	}
	buffer := c.buffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= maxPooled {
			buffer.Reset()
			c.buffers.Put(buffer)
		}
	}()
	if _, err = buffer.ReadFrom(resp.Body); err != nil {
		return fmt.Errorf("%w: %w", errBadAnswer, err)
	}
	return decode(buffer.Bytes())
}

var typeJSON = []string{"application/json"}

// errBadAnswer means that a 2xx can't be decoded.
var errBadAnswer = fmt.Errorf("%w: the answer is incomplete or not from Graph", ooo.ErrUnavailable)

// maxPooled keeps very large answers from staying in memory.
const maxPooled = 1 << 20
