package graph

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoft/kiota-abstractions-go/authentication"
	kiotahttp "github.com/microsoft/kiota-http-go"
	kiotajson "github.com/microsoft/kiota-serialization-json-go"
	"github.com/microsoftgraph/msgraph-sdk-go/subscriptions"
	"github.com/microsoftgraph/msgraph-sdk-go/users"
)

// Config says which Graph to talk to and as whom.
type Config struct {
	Cloud         string // global (the default), usgov, dod or china
	Endpoint      string // instead of the cloud's, such as https://127.0.0.1:9443
	AuthorityHost string // instead of the cloud's

	TenantID, ClientID string

	// The first of these that is set is used, in this order.
	ClientSecret            string
	CertificatePath         string // PEM or PKCS#12, read at each login
	CertificatePassword     string
	FederatedTokenFile      string // workload identity
	ManagedIdentity         bool
	ManagedIdentityClientID string // empty: the system-assigned identity

	RootCAs *x509.CertPool // nil: the system's

	// Observe hears of every answer: what was asked, the HTTP status (0: no
	// answer) and how long it took. It may be nil.
	Observe func(operation string, status int, took time.Duration)
	// LoginFailed is called after each login that failed. It may be nil.
	LoginFailed func()
	Log         *slog.Logger
}

// How long one call may take, with all that it needs: a token, a second try
// after a 401, the steps of a look-up.
const (
	readTime         = 10 * time.Second
	directoryTime    = 6 * time.Second  // a monitor request must be answered within 8 s
	subscriptionTime = 40 * time.Second // Graph validates the URLs meanwhile, 10 s each
	loginTime        = 10 * time.Second
)

// Client talks to Graph. It may be used by several goroutines at once.
type Client struct {
	endpoint, authority string

	door    *door
	writes  chan struct{} // capacity writesInFlight: subscription writes
	adapter abstractions.RequestAdapter
	buffers sync.Pool // of *bytes.Buffer

	unauthorized sync.Map // mailboxes that answer 401 to a good token: ooo.ObjectID -> time.Time
}

// New returns a client. It does no I/O: whether the login works is found out by
// [Client.Token] or the first call.
func New(cfg Config) (*Client, error) {
	endpoint, authority, err := cfg.Addresses()
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, int, time.Duration) {}
	}
	if cfg.LoginFailed == nil {
		cfg.LoginFailed = func() {}
	}
	transport := newTransport(cfg.RootCAs)
	login, err := newLogin(cfg, endpoint, authority, transport)
	if err != nil {
		return nil, err
	}
	c := &Client{endpoint: endpoint, authority: authority, writes: make(chan struct{}, writesInFlight)}
	c.door = &door{
		endpoint: endpoint, transport: transport,
		tokens:  newTokens(login.fetch, cfg.LoginFailed, cfg.Log),
		observe: cfg.Observe, log: cfg.Log,
	}
	// The door authenticates and refuses; the adapter only encodes and decodes.
	adapter, err := kiotahttp.NewNetHttpRequestAdapterWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(
		&authentication.AnonymousAuthenticationProvider{},
		kiotajson.NewJsonParseNodeFactory(), kiotajson.NewJsonSerializationWriterFactory(),
		&http.Client{Transport: c.door, CheckRedirect: asAnswered})
	if err != nil {
		return nil, err
	}
	adapter.SetBaseUrl(endpoint + version)
	c.adapter = adapter
	return c, nil
}

// userBuilder and subscriptionBuilder return the SDK's builders, new ones for
// each call: a builder writes to its own path parameters when it is used, so that
// two goroutines must not share one.
func (c *Client) userBuilder() *users.UsersRequestBuilder {
	return users.NewUsersRequestBuilderInternal(nil, c.adapter)
}

func (c *Client) subscriptionBuilder() *subscriptions.SubscriptionsRequestBuilder {
	return subscriptions.NewSubscriptionsRequestBuilderInternal(nil, c.adapter)
}

const version = "/v1.0"

// newTransport returns the pool of connections to Graph and its login endpoint.
// Over HTTP/2 a few connections carry everything; the limits count where a proxy
// only speaks HTTP/1.1.
func newTransport(roots *x509.CertPool) *http.Transport {
	dialer := net.Dialer{Timeout: 4 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		// A connection that died without a word is noticed before the callers'
		// time is up, and its requests go over a new one.
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second},
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 128,
		MaxConnsPerHost:     256,
		IdleConnTimeout:     90 * time.Second,
		// A setting is a kilobyte or two: unpacking costs more than carrying it.
		DisableCompression: true,
	}
}

// asAnswered keeps a client from following redirects: a token or a secret would
// go with the request.
func asAnswered(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Endpoint returns the base URL of Graph, such as https://graph.microsoft.com.
func (c *Client) Endpoint() string { return c.endpoint }

// AuthorityHost returns the base URL of the login endpoint, such as
// https://login.microsoftonline.com.
func (c *Client) AuthorityHost() string { return c.authority }

// Run keeps a token at hand that lives long enough, and returns nil when ctx
// ends.
func (c *Client) Run(ctx context.Context) error {
	defer c.door.transport.CloseIdleConnections()
	return c.door.tokens.run(ctx)
}

// Token says whether a token is at hand or can be had. The error is
// [ooo.ErrUnauthorized] or [ooo.ErrUnavailable].
func (c *Client) Token(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	_, err := c.door.tokens.get(ctx)
	return err
}

// errNoCredential names what could be set.
var errNoCredential = errors.New("no credential: set AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE, or use a managed identity")
