package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"outlook-monitor/internal/ooo"
)

// credential returns a new credential of the configured kind.
func (cfg Config) credential(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	// Instance discovery knows no other login endpoints.
	noDiscovery := !slices.Contains(microsoftLoginHosts, strings.TrimPrefix(cfg.AuthorityHost, "https://"))
	switch {
	case cfg.ClientSecret != "":
		return azidentity.NewClientSecretCredential(cfg.TenantID, cfg.ClientID, cfg.ClientSecret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: noDiscovery})
	case cfg.CertificatePath != "":
		certificates, key, err := cfg.certificate()
		if err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(cfg.TenantID, cfg.ClientID, certificates, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: noDiscovery})
	case cfg.FederatedTokenFile != "":
		// azidentity reads it only after it has called the login endpoint.
		if _, err := os.ReadFile(cfg.FederatedTokenFile); err != nil {
			return nil, fmt.Errorf("AZURE_FEDERATED_TOKEN_FILE can't be read: %w", err)
		}
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: noDiscovery,
			TenantID: cfg.TenantID, ClientID: cfg.ClientID, TokenFilePath: cfg.FederatedTokenFile})
	case !cfg.ManagedIdentity:
		return nil, errors.New("no credential is set")
	}
	identity := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
	if cfg.ManagedIdentityClientID != "" {
		identity.ID = azidentity.ClientID(cfg.ManagedIdentityClientID)
	}
	return azidentity.NewManagedIdentityCredential(identity)
}

// login fetches tokens for a scope from the login endpoint.
type login struct {
	cfg   Config
	scope string
	conns *http.Transport
}

// fetch logs in, once.
func (l login) fetch(ctx context.Context) (azcore.AccessToken, error) {
	transport := &loginTransport{login: l}
	options := azcore.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: l.cfg.AuthorityHost},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{ApplicationID: userAgent},
		Transport: transport,
	}
	credential, err := l.cfg.credential(options)
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("%w: %w", ooo.ErrUnauthorized, err)
	}
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{l.scope}})
	if err == nil && token.Token == "" {
		err = errors.New("no token")
	}
	if err != nil {
		return azcore.AccessToken{}, transport.translate(ctx, err)
	}
	return token, nil
}

// loginTransport sends the requests of one login and records the result of the last one:
// azidentity's errors wrap no cause, and their text may contain the body of the answer. It
// follows no redirects, which would send a secret to another host.
type loginTransport struct {
	login
	status int // 0: no answer
	err    error
}

// Do implements [policy.Transporter].
func (t *loginTransport) Do(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := t.conns.RoundTrip(req)
	t.status, t.err = 0, err
	if err == nil {
		t.status = resp.StatusCode
	}
	t.cfg.Observe("login", t.status, time.Since(began))
	return resp, err
}

// LoginError is an error answer of the login endpoint.
type LoginError struct {
	Status int
	Code   string // such as AADSTS7000215; may be empty
}

func (e *LoginError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the login endpoint answered %d %s", e.Status, e.Code))
}

var loginCode = regexp.MustCompile(`\bAADSTS\d{1,10}\b`)

// transientCodes come with a 4xx although the credential is valid.
var transientCodes = []string{"AADSTS90033", "AADSTS90006", "AADSTS50196"}

// translate returns the error of a failed login, without the text of err.
func (t *loginTransport) translate(ctx context.Context, err error) error {
	answer := &LoginError{t.status, loginCode.FindString(err.Error())}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: the login endpoint: %w", ooo.ErrUnavailable, ctx.Err())
	case t.err != nil:
		return fmt.Errorf("%w: the login endpoint: %w", ooo.ErrUnavailable, t.err)
	case t.status == 0: // no request was sent
		return fmt.Errorf("%w: the credential can't be used with these settings", ooo.ErrUnauthorized)
	case t.status < 400 || t.status >= 500, t.status == http.StatusTooManyRequests, t.status == http.StatusRequestTimeout,
		slices.Contains(transientCodes, answer.Code):
		return fmt.Errorf("%w: %w", ooo.ErrUnavailable, answer)
	}
	return fmt.Errorf("%w: %w", ooo.ErrUnauthorized, answer)
}
