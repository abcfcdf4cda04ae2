package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"outlook-monitor/internal/ooo"
)

// login gets tokens from the login endpoint.
type login struct {
	scope      string
	options    azcore.ClientOptions
	credential func(azcore.ClientOptions) (azcore.TokenCredential, error)
	transport  http.RoundTripper
	observe    func(operation string, status int, took time.Duration)
}

func newLogin(cfg Config, endpoint, authority string, transport http.RoundTripper) (*login, error) {
	l := &login{scope: endpoint + "/.default", transport: transport, observe: cfg.Observe}
	l.options.Cloud = azcloud.Configuration{ActiveDirectoryAuthorityHost: authority}
	l.options.Retry.MaxRetries = -1 // the waits are ours
	l.options.Telemetry.ApplicationID = agent
	missing := func(credential string) error {
		switch {
		case cfg.TenantID == "":
			return fmt.Errorf("AZURE_TENANT_ID is not set, %s needs it", credential)
		case cfg.ClientID == "":
			return fmt.Errorf("AZURE_CLIENT_ID is not set, %s needs it", credential)
		}
		return nil
	}
	undiscovered := foreign(authority)
	switch {
	case cfg.ClientSecret != "":
		l.credential = func(o azcore.ClientOptions) (azcore.TokenCredential, error) {
			return azidentity.NewClientSecretCredential(cfg.TenantID, cfg.ClientID, cfg.ClientSecret,
				&azidentity.ClientSecretCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: undiscovered})
		}
		return l, missing("AZURE_CLIENT_SECRET")
	case cfg.CertificatePath != "":
		l.credential = func(o azcore.ClientOptions) (azcore.TokenCredential, error) {
			return withCertificate(cfg, &azidentity.ClientCertificateCredentialOptions{
				ClientOptions: o, DisableInstanceDiscovery: undiscovered})
		}
		return l, missing("AZURE_CLIENT_CERTIFICATE_PATH")
	case cfg.FederatedTokenFile != "":
		l.credential = func(o azcore.ClientOptions) (azcore.TokenCredential, error) {
			// azidentity reads it only after it has called the endpoint.
			if _, err := os.ReadFile(cfg.FederatedTokenFile); err != nil {
				return nil, errNoFederated
			}
			return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
				ClientOptions: o, DisableInstanceDiscovery: undiscovered,
				TenantID: cfg.TenantID, ClientID: cfg.ClientID, TokenFilePath: cfg.FederatedTokenFile})
		}
		return l, missing("AZURE_FEDERATED_TOKEN_FILE")
	case cfg.ManagedIdentity:
		l.credential = func(o azcore.ClientOptions) (azcore.TokenCredential, error) {
			options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: o}
			if cfg.ManagedIdentityClientID != "" {
				options.ID = azidentity.ClientID(cfg.ManagedIdentityClientID)
			}
			return azidentity.NewManagedIdentityCredential(options)
		}
		return l, nil
	}
	return nil, errNoCredential
}

// Of the certificate and the federated token; what the files hold stays out.
var (
	errNoCertificate = errors.New("AZURE_CLIENT_CERTIFICATE_PATH can't be read")
	errNoFederated   = errors.New("AZURE_FEDERATED_TOKEN_FILE can't be read")
	errCertificate   = errors.New("AZURE_CLIENT_CERTIFICATE_PATH holds no certificate with a private key that AZURE_CLIENT_CERTIFICATE_PASSWORD opens")
	errCredential    = errors.New("the credential can't be used as it is set")
)

func withCertificate(cfg Config, options *azidentity.ClientCertificateCredentialOptions) (azcore.TokenCredential, error) {
	data, err := os.ReadFile(cfg.CertificatePath)
	if err != nil {
		return nil, errNoCertificate
	}
	var password []byte // must be nil where there is none
	if cfg.CertificatePassword != "" {
		password = []byte(cfg.CertificatePassword)
	}
	certificates, key, err := azidentity.ParseCertificates(data, password)
	if err != nil {
		return nil, errCertificate
	}
	return azidentity.NewClientCertificateCredential(cfg.TenantID, cfg.ClientID, certificates, key, options)
}

// fetch logs in. claims is what Graph demanded of a new token, mostly empty.
func (l *login) fetch(ctx context.Context, claims string) (azcore.AccessToken, error) {
	calls := &loginCalls{login: l}
	options := l.options
	options.Transport = &http.Client{Transport: calls, CheckRedirect: asAnswered}
	credential, err := l.credential(options)
	if err != nil {
		if !errors.Is(err, errNoCertificate) && !errors.Is(err, errCertificate) && !errors.Is(err, errNoFederated) {
			err = errCredential
		}
		return azcore.AccessToken{}, fmt.Errorf("%w: %w", ooo.ErrUnauthorized, err)
	}
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{
		Scopes: []string{l.scope}, EnableCAE: true, Claims: claims})
	if err == nil && token.Token == "" {
		err = errCredential
	}
	if err != nil {
		return azcore.AccessToken{}, calls.failure(ctx, err)
	}
	return token, nil
}

// loginCalls carries the calls of one login and remembers how the last ended:
// azidentity's errors wrap no cause, and their text may hold the answer's body.
type loginCalls struct {
	login  *login
	status int
	err    error
}

func (c *loginCalls) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	c.status = 0
	var resp *http.Response
	resp, c.err = c.login.transport.RoundTrip(req)
	if c.err == nil {
		c.status = resp.StatusCode
	}
	c.login.observe("login", c.status, time.Since(began))
	return resp, c.err
}

var aadsts = regexp.MustCompile(`\bAADSTS\d{1,10}\b`)

// transientLogins are AADSTS codes that come as a 4xx though nothing is wrong
// with the credential.
var transientLogins = map[string]bool{"AADSTS90033": true, "AADSTS90006": true, "AADSTS50196": true}

// failure says in our words why a login failed.
func (c *loginCalls) failure(ctx context.Context, err error) error {
	code := aadsts.FindString(err.Error())
	said := errLogin(c.status, code)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: the login endpoint: %w", ooo.ErrUnavailable, ctx.Err())
	case c.err != nil:
		return fmt.Errorf("%w: the login endpoint: %w", ooo.ErrUnavailable, withoutURL(c.err))
	case c.status >= 500, c.status == http.StatusTooManyRequests, c.status == http.StatusRequestTimeout,
		c.status >= 200 && c.status < 400, transientLogins[code]:
		return fmt.Errorf("%w: %w", ooo.ErrUnavailable, said)
	case c.status == 0: // it did not come to a call
		return fmt.Errorf("%w: %w", ooo.ErrUnauthorized, errCredential)
	}
	return fmt.Errorf("%w: %w", ooo.ErrUnauthorized, said)
}

func errLogin(status int, code string) error {
	if code == "" {
		return fmt.Errorf("the login endpoint answered %d", status)
	}
	return fmt.Errorf("the login endpoint answered %d %s", status, code)
}

// withoutURL takes the URL, which may name a user, out of an error of net/http.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
