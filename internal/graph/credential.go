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

// checkCredential says what is missing to log in.
func (cfg Config) checkCredential() error {
	secret := cfg.ClientSecret != "" || cfg.CertificatePath != "" || cfg.FederatedTokenFile != ""
	switch {
	case !secret && cfg.ManagedIdentity:
		return nil
	case !secret:
		return errors.New("no credential: set AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE, " +
			"or use a managed identity")
	case cfg.TenantID == "":
		return errors.New("AZURE_TENANT_ID is not set")
	case cfg.ClientID == "":
		return errors.New("AZURE_CLIENT_ID is not set")
	}
	return nil
}

// credential returns a new credential of the kind that is set.
func (cfg Config) credential(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	// Microsoft's instance discovery does not know other login endpoints.
	undiscovered := !slices.Contains(microsoftLogins, strings.TrimPrefix(cfg.AuthorityHost, "https://"))
	switch {
	case cfg.ClientSecret != "":
		return azidentity.NewClientSecretCredential(cfg.TenantID, cfg.ClientID, cfg.ClientSecret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: undiscovered})
	case cfg.CertificatePath != "":
		certificates, key, err := cfg.certificate()
		if err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(cfg.TenantID, cfg.ClientID, certificates, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: undiscovered})
	case cfg.FederatedTokenFile != "":
		// azidentity reads it only after it has called the endpoint.
		if _, err := os.ReadFile(cfg.FederatedTokenFile); err != nil {
			return nil, fmt.Errorf("AZURE_FEDERATED_TOKEN_FILE can't be read: %w", err)
		}
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: undiscovered,
			TenantID: cfg.TenantID, ClientID: cfg.ClientID, TokenFilePath: cfg.FederatedTokenFile})
	}
	identity := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
	if cfg.ManagedIdentityClientID != "" {
		identity.ID = azidentity.ClientID(cfg.ManagedIdentityClientID)
	}
	return azidentity.NewManagedIdentityCredential(identity)
}

// login gets tokens from the login endpoint.
type login struct {
	cfg   Config
	scope string
	pool  *http.Transport
}

// fetch logs in. The waits between logins are the caller's.
func (l login) fetch(ctx context.Context) (azcore.AccessToken, error) {
	calls := &loginCalls{login: l}
	options := azcore.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: l.cfg.AuthorityHost},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{ApplicationID: agent},
		Transport: &http.Client{Transport: calls, CheckRedirect: noRedirect},
	}
	credential, err := l.cfg.credential(options)
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("%w: %w", ooo.ErrUnauthorized, err)
	}
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{l.scope}})
	if err == nil && token.Token == "" {
		err = errors.New("no token")
	}
	if err != nil {
		return azcore.AccessToken{}, calls.translate(ctx, err)
	}
	return token, nil
}

// loginCalls carries the calls of one login and remembers how the last ended:
// azidentity's errors wrap no cause, and their text may hold the answer's body.
type loginCalls struct {
	login
	status int
	err    error
}

func (c *loginCalls) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := c.pool.RoundTrip(req)
	c.status, c.err = 0, err
	if err == nil {
		c.status = resp.StatusCode
	}
	c.cfg.Observe("login", c.status, time.Since(began))
	return resp, err
}

// loginError is what the login endpoint answered.
type loginError struct {
	status int
	code   string // such as AADSTS7000215; empty if there is none
}

func (e *loginError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the login endpoint answered %d %s", e.status, e.code))
}

// LoginCode returns the code of the login endpoint, such as AADSTS7000215, that is
// in an error of this package; empty if there is none.
func LoginCode(err error) string {
	if e, ok := errors.AsType[*loginError](err); ok {
		return e.code
	}
	return ""
}

var loginCode = regexp.MustCompile(`\bAADSTS\d{1,10}\b`)

// transientLogins are codes that come with a 4xx though nothing is wrong with the
// credential.
var transientLogins = []string{"AADSTS90033", "AADSTS90006", "AADSTS50196"}

// translate says in our words why a login failed.
func (c *loginCalls) translate(ctx context.Context, err error) error {
	answer := &loginError{c.status, loginCode.FindString(err.Error())}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: the login endpoint: %w", ooo.ErrUnavailable, ctx.Err())
	case c.err != nil:
		return fmt.Errorf("%w: the login endpoint: %w", ooo.ErrUnavailable, c.err)
	case c.status == 0: // it did not come to a call
		return fmt.Errorf("%w: the credential can't be used as it is set", ooo.ErrUnauthorized)
	case c.status < 400 || c.status >= 500, c.status == http.StatusTooManyRequests, c.status == http.StatusRequestTimeout,
		slices.Contains(transientLogins, answer.code):
		return fmt.Errorf("%w: %w", ooo.ErrUnavailable, answer)
	}
	return fmt.Errorf("%w: %w", ooo.ErrUnauthorized, answer)
}
