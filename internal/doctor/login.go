package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
)

// Pages of the Entra admin center.
const (
	registrationPage = "Entra admin center > App registrations > your app"
	secretsPage      = registrationPage + " > Certificates & secrets"
	permissionsPage  = registrationPage + " > API permissions"
)

// loginErrors explains error codes of the login endpoint to operators. The first row with
// the code counts.
var loginErrors = []struct{ codes, found, remedy string }{
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
	{"AADSTS700021 AADSTS700023", "the assertion is for another app or audience",
		"check AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_AUTHORITY_HOST"},
	{"AADSTS700024", "the assertion is not valid now", syncClock},
	{"AADSTS700213 AADSTS700211 AADSTS70021", "no federated credential matches this workload",
		"compare issuer, subject and audience: " + secretsPage + " > Federated credentials"},
	{"AADSTS500011 AADSTS70011 AADSTS1002012", "the tenant does not know the requested Graph endpoint",
		"check GRAPH_CLOUD and GRAPH_ENDPOINT: both must match the tenant's cloud"},
	{"AADSTS53003", "a Conditional Access policy for workload identities blocks this login",
		"allow this machine's address: Entra admin center > Conditional Access"},
}

func (d *diagnosis) token(ctx context.Context) Result {
	if d.statusOf(credentialCheck) == Failed {
		return skipped("%s", d.blocked(credentialCheck))
	}
	grant, err := d.cfg.Graph.Grant(ctx)
	if err != nil {
		return d.loginFailure(err)
	}
	d.grant = grant
	return ok("logged in with a %s; the token is valid for %d minutes",
		d.cfg.Settings.Graph.Credential, int(time.Until(grant.Expires).Minutes()))
}

// loginFailure returns the result of a failed login.
func (d *diagnosis) loginFailure(err error) Result {
	code := ""
	if answer, ok := errors.AsType[*graph.LoginError](err); ok {
		code = answer.Code
	}
	for _, r := range loginErrors {
		if slices.Contains(strings.Fields(r.codes), code) {
			return failed(r.found+" ("+code+")", r.remedy)
		}
	}
	switch {
	case errors.Is(err, ooo.ErrUnavailable):
		return failed(withoutKind(err), tryAgain)
	case code != "":
		return failed("the login is refused: "+code, "see https://login.microsoftonline.com/error?code="+strings.TrimPrefix(code, "AADSTS"))
	case d.cfg.Settings.Graph.Credential == config.ManagedIdentity:
		return failed(withoutKind(err), "give this machine or workload an identity; check AZURE_CLIENT_ID if it is a user-assigned one")
	}
	return failed(withoutKind(err), "check the credential, and AZURE_AUTHORITY_HOST if it is set")
}
