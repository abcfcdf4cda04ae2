package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
)

// Pages of the Entra admin center.
const (
	registrationPage = "Entra admin center > App registrations > your app"
	secretsPage      = registrationPage + " > Certificates & secrets"
	permissionsPage  = registrationPage + " > API permissions"
)

// loginRefusals are codes of the login endpoint, which describes them for developers;
// here they are for operators. The first row that has the code counts.
var loginRefusals = []struct{ codes, found, remedy string }{
	{"AADSTS7000215", "the client secret is wrong",
		"set AZURE_CLIENT_SECRET to the secret's Value, not its Secret ID; if it is no longer shown: " + secretsPage + " > New client secret"},
	{"AADSTS7000222", "the client secret has expired",
		"create one, set AZURE_CLIENT_SECRET and restart: " + secretsPage + " > New client secret"},
	{"AADSTS7000216 AADSTS7000218", "this app may not log in with a secret", "use a certificate: " + secretsPage + " > Certificates"},
	{"AADSTS700016", "the app is not in this tenant", "correct AZURE_CLIENT_ID or AZURE_TENANT_ID: " + registrationPage + " > Overview"},
	{"AADSTS7000229 AADSTS65001", "no admin has consented to the app in this tenant",
		"grant admin consent: " + permissionsPage + " > Grant admin consent"},
	{"AADSTS7000112", "the app is disabled in this tenant",
		"enable it: Entra admin center > Enterprise applications > your app > Properties > Enabled for users to sign-in"},
	{"AADSTS90002 AADSTS900023", "there is no such tenant",
		"set AZURE_TENANT_ID to the Directory (tenant) ID, and check GRAPH_CLOUD: " + registrationPage + " > Overview"},
	{"AADSTS900382", "the tenant is in another cloud", "set GRAPH_CLOUD to the tenant's cloud"},
	{"AADSTS700027", "the certificate is not registered for the app, or not its newest one",
		"upload its public part: " + secretsPage + " > Certificates > Upload certificate"},
	{"AADSTS700021 AADSTS700023", "the assertion is for another app or audience", "check AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_AUTHORITY_HOST"},
	{"AADSTS700024", "the assertion is not valid now", syncClock},
	{"AADSTS700213 AADSTS700211 AADSTS70021", "no federated credential fits this workload",
		"compare issuer, subject and audience: " + secretsPage + " > Federated credentials"},
	{"AADSTS500011 AADSTS70011 AADSTS1002012", "the tenant does not know the requested Graph endpoint",
		"check GRAPH_CLOUD and GRAPH_ENDPOINT: both must be of the tenant's cloud"},
	{"AADSTS53003", "a Conditional Access policy for workload identities blocks this login",
		"allow this machine's address: Entra admin center > Conditional Access"},
}

func (e *examination) token(ctx context.Context) Result {
	if e.statusOf(credentialCheck) == Failed {
		return skipped("%s", e.blocked(credentialCheck))
	}
	grant, err := e.cfg.Graph.Grant(ctx)
	if err != nil {
		return e.loginFailure(err)
	}
	e.grant = grant
	return ok("with a %s; the token is valid for %d minutes", e.cfg.Settings.Graph.Credential, int(time.Until(grant.Expires).Minutes()))
}

// loginFailure says why a login failed.
func (e *examination) loginFailure(err error) Result {
	code := e.cfg.LoginCode(err)
	for _, r := range loginRefusals {
		if slices.Contains(strings.Fields(r.codes), code) {
			return failed(r.found+" ("+code+")", r.remedy)
		}
	}
	switch {
	case errors.Is(err, ooo.ErrUnavailable):
		return failed(plain(err), tryAgain)
	case code != "":
		return failed("the login is refused: "+code, "see https://login.microsoftonline.com/error?code="+strings.TrimPrefix(code, "AADSTS"))
	case e.cfg.Settings.Graph.Credential == config.ManagedIdentity:
		return failed(plain(err), "give this machine or workload an identity; check AZURE_CLIENT_ID if it is a user-assigned one")
	}
	return failed(plain(err), "check the credential, and AZURE_AUTHORITY_HOST if it is set")
}

// credential reports whether the credential can be read, and when it ends.
func (e *examination) credential(context.Context) Result {
	switch kind := e.cfg.Settings.Graph.Credential; kind {
	case config.ClientSecret:
		return skipped("Graph does not report when a client secret expires: note the date at %s", secretsPage)
	case config.WorkloadIdentity, config.ManagedIdentity:
		return ok("a %s has no secret that expires", kind)
	}
	ends, err := e.cfg.CertificateExpires()
	if err != nil {
		return failed(plain(err), "use PEM with an unencrypted key, or PKCS#12 with AZURE_CLIENT_CERTIFICATE_PASSWORD")
	}
	return life("the certificate in AZURE_CLIENT_CERTIFICATE_PATH", ends, "upload the public part of a new one, then replace the file: "+secretsPage)
}

// certificates says when the first of the certificates in our files ends.
func (e *examination) certificates(context.Context) Result {
	type pair struct{ setting, cert, key, remedy string }
	s := e.cfg.Settings
	var pairs []pair
	if s.TLSCertFile != "" {
		pairs = append(pairs, pair{"TLS_CERT_FILE", s.TLSCertFile, s.TLSKeyFile, "renew it; the service reads the new file by itself"})
	}
	for i, cert := range s.EncryptionCertFiles {
		pairs = append(pairs, pair{"ENCRYPTION_CERT_FILE", cert, s.EncryptionKeyFiles[i], "name a renewed pair before it, remove this one a day later"})
	}
	first, ends := pair{}, time.Time{}
	for _, p := range pairs {
		loaded, err := tls.LoadX509KeyPair(p.cert, p.key)
		if err != nil { // it could be read when the settings were
			return failed(p.setting+" can't be read", "check the file and its permissions")
		}
		if ends.IsZero() || loaded.Leaf.NotAfter.Before(ends) {
			first, ends = p, loaded.Leaf.NotAfter
		}
	}
	switch {
	case !ends.IsZero():
		return life("the certificate in "+first.setting, ends, first.remedy)
	case len(s.ACMEDomains) > 0:
		return ok("renewed by ACME")
	}
	return ok("no certificate files: TLS is terminated elsewhere")
}

// soon is when something that ends must be renewed.
const soon = 30 * 24 * time.Hour

// life judges when something ends.
func life(what string, ends time.Time, remedy string) Result {
	switch left := time.Until(ends); {
	case left <= 0:
		return failed(fmt.Sprintf("%s expired %s", what, until(ends)), remedy)
	case left < soon:
		return warning(fmt.Sprintf("%s expires %s", what, until(ends)), remedy)
	}
	return ok("%s expires %s", what, until(ends))
}
