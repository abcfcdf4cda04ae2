package graph

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"outlook-monitor/internal/ooo"
)

// Grant is what the token at hand allows.
type Grant struct {
	Expires  time.Time
	Roles    []string // application permissions
	Readable bool     // the token could be looked into; otherwise there are no Roles
}

// Grant logs in, if that is needed, and looks into the token. Graph's tokens are
// opaque to their bearers by contract, but have been JWTs ever since: what is read
// here is told to people, and nothing is decided by it. The errors are those of
// [Client.Token].
func (c *Client) Grant(ctx context.Context) (Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	held, err := c.door.tokens.get(ctx)
	if err != nil {
		return Grant{}, err
	}
	g := Grant{Expires: held.expires}
	parts := strings.Split(strings.TrimPrefix(held.header, "Bearer "), ".")
	if len(parts) != 3 {
		return g, nil
	}
	var claims struct {
		Roles []string `json:"roles"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil && json.Unmarshal(payload, &claims) == nil {
		g.Roles, g.Readable = claims.Roles, true
	}
	return g, nil
}

// LoginCode returns the code of the login endpoint, such as AADSTS7000215, that is
// in an error of this package; empty if there is none.
func LoginCode(err error) string {
	if err == nil {
		return ""
	}
	return aadsts.FindString(err.Error())
}

// errNoCertificateSet means that something else than a certificate logs in.
var errNoCertificateSet = errors.New("AZURE_CLIENT_CERTIFICATE_PATH is not set")

// CertificateExpires says when the certificate that logs in ends, by its file.
func (cfg Config) CertificateExpires() (time.Time, error) {
	if cfg.CertificatePath == "" {
		return time.Time{}, errNoCertificateSet
	}
	data, err := os.ReadFile(cfg.CertificatePath)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", ooo.ErrUnauthorized, errNoCertificate)
	}
	var password []byte // must be nil where there is none
	if cfg.CertificatePassword != "" {
		password = []byte(cfg.CertificatePassword)
	}
	chain, _, err := azidentity.ParseCertificates(data, password)
	if err != nil || len(chain) == 0 {
		return time.Time{}, fmt.Errorf("%w: %w", ooo.ErrUnauthorized, errCertificate)
	}
	return soonest(chain), nil
}

// soonest is when the first of a chain ends.
func soonest(chain []*x509.Certificate) time.Time {
	ends := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(ends) {
			ends = c.NotAfter
		}
	}
	return ends
}
