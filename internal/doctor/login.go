package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
)

// refusal is a code of the login endpoint that people meet.
type refusal struct{ code, found, remedy string }

const (
	registration = "Entra admin center > App registrations > your app"
	secretsPage  = registration + " > Certificates & secrets"
	grantPage    = registration + " > API permissions"
)

// refusals of the login endpoint. The texts of their AADSTS codes speak to
// developers; these speak to who runs this.
var refusals = []refusal{
	{"AADSTS7000215", "the client secret is wrong",
		"put the secret's Value into AZURE_CLIENT_SECRET, not its Secret ID; a Value that is no longer shown must be replaced: " + secretsPage + " > New client secret"},
	{"AADSTS7000222", "the client secret has expired",
		"make a new one, put it into AZURE_CLIENT_SECRET and restart: " + secretsPage + " > New client secret"},
	{"AADSTS7000218", "no client secret was sent", "set AZURE_CLIENT_SECRET, or a certificate"},
	{"AADSTS7000216", "this app may not log in with a secret", "use a certificate: " + secretsPage + " > Certificates"},
	{"AADSTS700016", "the app is not in this tenant",
		"compare AZURE_CLIENT_ID and AZURE_TENANT_ID with the overview page of the app registration"},
	{"AADSTS7000229", "the app has no service principal in this tenant", "grant admin consent once: " + grantPage + " > Grant admin consent"},
	{"AADSTS7000112", "the app is disabled in this tenant",
		"Entra admin center > Enterprise applications > your app > Properties > Enabled for users to sign-in"},
	{"AADSTS90002", "there is no such tenant", "put Directory (tenant) ID into AZURE_TENANT_ID, and look at GRAPH_CLOUD: " + registration + " > Overview"},
	{"AADSTS900023", "AZURE_TENANT_ID is no tenant's id", "put Directory (tenant) ID into AZURE_TENANT_ID: " + registration + " > Overview"},
	{"AADSTS900382", "the tenant is in another cloud", "set GRAPH_CLOUD to the cloud of the tenant"},
	{"AADSTS700027", "the certificate is not registered for the app, or not its newest one",
		"upload its public part: " + secretsPage + " > Certificates > Upload certificate"},
	{"AADSTS700021", "the app in the assertion is another one", "compare AZURE_CLIENT_ID with the certificate or the federated credential"},
	{"AADSTS700023", "the audience of the assertion is wrong", "look at AZURE_TENANT_ID and AZURE_AUTHORITY_HOST"},
	{"AADSTS700024", "the assertion is outside its time", "set this machine's clock over the network"},
	{"AADSTS700213", "no federated credential fits this workload's subject",
		"compare the namespace and service account with the federated credential: " + secretsPage + " > Federated credentials"},
	{"AADSTS700211", "no federated credential fits this workload's issuer",
		"put the cluster's OIDC issuer into the federated credential: " + secretsPage + " > Federated credentials"},
	{"AADSTS70021", "no federated credential fits this workload", "compare issuer, subject and audience: " + secretsPage + " > Federated credentials"},
	{"AADSTS500011", "the tenant does not know the Graph that is asked for", "look at GRAPH_CLOUD and GRAPH_ENDPOINT: both must be of the tenant's cloud"},
	{"AADSTS70011", "the tenant does not know the Graph that is asked for", "look at GRAPH_CLOUD and GRAPH_ENDPOINT: both must be of the tenant's cloud"},
	{"AADSTS1002012", "the tenant does not know the Graph that is asked for", "look at GRAPH_CLOUD and GRAPH_ENDPOINT: both must be of the tenant's cloud"},
	{"AADSTS53003", "a Conditional Access policy for workload identities blocks this login", "let this machine's address in: Entra admin center > Conditional Access"},
	{"AADSTS65001", "no admin has consented", "grant admin consent: " + grantPage + " > Grant admin consent"},
}

func (e *examination) token(ctx context.Context) verdict {
	if e.cfg.Graph == nil {
		return skipped("the settings must be mended first")
	}
	grant, err := e.cfg.Graph.Grant(ctx)
	if err == nil {
		e.grant = grant
		return well("with a %s; the token lives for %d minutes", e.cfg.Settings.Graph.Credential, int(time.Until(grant.Expires).Minutes()))
	}
	return e.loginTrouble(err)
}

// loginTrouble says why a login failed.
func (e *examination) loginTrouble(err error) verdict {
	code := e.cfg.LoginCode(err)
	for _, r := range refusals {
		if r.code == code {
			return failed(r.found+" ("+code+")", r.remedy)
		}
	}
	switch {
	case errors.Is(err, ooo.ErrUnavailable):
		return failed(plain(err), "try again in a minute; if it stays, look at https://status.cloud.microsoft and at proxies in between")
	case code != "":
		return failed("the login is refused: "+code, "see https://login.microsoftonline.com/error?code="+strings.TrimPrefix(code, "AADSTS"))
	case e.cfg.Settings.Graph.Credential == config.ManagedIdentity:
		return failed(plain(err), "give this machine or workload an identity, and look at AZURE_CLIENT_ID if it is a user-assigned one")
	}
	return failed(plain(err), "look at the credential and at AZURE_AUTHORITY_HOST, if it is set")
}

// plain is the text of an error without what its kind repeats.
func plain(err error) string {
	text := err.Error()
	for _, kind := range []error{ooo.ErrUnauthorized, ooo.ErrUnavailable, ooo.ErrRejected, ooo.ErrDenied} {
		if _, cause, ok := strings.Cut(text, kind.Error()+": "); ok {
			text = cause
		}
	}
	return text
}

// soon is when something that ends must be looked after.
const soon = 30 * 24 * time.Hour

func (e *examination) credential(context.Context) verdict {
	switch e.cfg.Settings.Graph.Credential {
	case config.ClientSecret:
		return skipped("Graph does not tell when the client secret ends: see Certificates & secrets, and note the day")
	case config.WorkloadIdentity, config.ManagedIdentity:
		return well("a %s has no secret that ends", e.cfg.Settings.Graph.Credential)
	}
	if e.cfg.Graph == nil {
		return skipped("the settings must be mended first")
	}
	ends, err := e.cfg.Graph.CredentialExpires()
	if err != nil {
		return failed(plain(err), "write certificate and private key into AZURE_CLIENT_CERTIFICATE_PATH, as PEM or PKCS#12")
	}
	return lifeOf("the certificate in AZURE_CLIENT_CERTIFICATE_PATH", ends, "make a new one, upload its public part, then exchange the file: "+secretsPage)
}

// lifeOf judges when something ends.
func lifeOf(what string, ends time.Time, remedy string) verdict {
	switch left := time.Until(ends); {
	case left <= 0:
		return failed(fmt.Sprintf("%s ended %s", what, until(ends)), remedy)
	case left < soon:
		return warning(fmt.Sprintf("%s ends %s", what, until(ends)), remedy)
	}
	return well("%s ends %s", what, until(ends))
}
