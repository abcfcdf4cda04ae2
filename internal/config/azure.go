package config

import (
	"net/url"
	"regexp"
	"strings"
)

// Credential is what the service logs in with.
type Credential string

const (
	ClientSecret     Credential = "client secret"
	Certificate      Credential = "certificate"
	WorkloadIdentity Credential = "workload identity"
	ManagedIdentity  Credential = "managed identity"
)

// Graph says which Graph to talk to and as whom.
type Graph struct {
	Cloud         string // global, usgov, dod or china
	Endpoint      string // instead of the cloud's; without a slash at the end
	AuthorityHost string // instead of the cloud's; without a slash at the end

	TenantID, ClientID string // may be empty with a managed identity

	// Credential says which of those below is used; others may be set as well.
	Credential          Credential
	ClientSecret        Secret
	CertificatePath     string
	CertificatePassword Secret
	FederatedTokenFile  string
}

// identifier is what a tenant or client id may be made of: a GUID or a domain.
var identifier = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.-]*$`)

func (r *reader) graph() Graph {
	tenant, client := r.get("AZURE_TENANT_ID", "TENANT"), r.get("AZURE_CLIENT_ID", "CLIENT_ID")
	g := Graph{
		Cloud:               r.one("GRAPH_CLOUD", "global", "usgov", "dod", "china"),
		Endpoint:            r.endpoint("GRAPH_ENDPOINT"),
		AuthorityHost:       r.endpoint("AZURE_AUTHORITY_HOST"),
		TenantID:            tenant.text,
		ClientID:            client.text,
		ClientSecret:        r.secret("AZURE_CLIENT_SECRET", "CLIENT_SECRET"),
		CertificatePath:     r.file("AZURE_CLIENT_CERTIFICATE_PATH"),
		CertificatePassword: r.verbatim("AZURE_CLIENT_CERTIFICATE_PASSWORD"),
		FederatedTokenFile:  r.file("AZURE_FEDERATED_TOKEN_FILE"),
	}
	g.Credential = r.credential(g)
	r.identity(tenant, g.Credential, "the directory (tenant) id of the app registration")
	r.identity(client, g.Credential, "the application (client) id of the app registration")
	return g
}

func (r *reader) identity(id setting, credential Credential, what string) {
	switch {
	case id.text == "" && credential != ManagedIdentity:
		r.wrong(id.name, "is not set: write %s", what)
	case id.text != "" && !identifier.MatchString(id.text):
		r.wrong(id.name, "is %s: write %s, letters, digits, hyphens and dots alone", shown(id.text), what)
	}
}

func (r *reader) credential(g Graph) Credential {
	offered := r.getenv("IDENTITY_ENDPOINT") != "" || r.getenv("MSI_ENDPOINT") != ""
	if r.get("AZURE_MANAGED_IDENTITY").text != "" {
		offered = r.on("AZURE_MANAGED_IDENTITY")
	}
	switch {
	case !g.ClientSecret.IsZero():
		return ClientSecret
	case g.CertificatePath != "":
		return Certificate
	case g.FederatedTokenFile != "":
		return WorkloadIdentity
	case offered:
		return ManagedIdentity
	}
	r.wrong("AZURE_CLIENT_SECRET", "is not set: write the client secret, or set AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE or AZURE_MANAGED_IDENTITY=true instead")
	return ""
}

// endpoint reads the base URL of a place that tokens and secrets are sent to.
func (r *reader) endpoint(name string) string {
	s := r.get(name)
	if s.text == "" {
		return ""
	}
	u, err := url.Parse(strings.TrimRight(s.text, "/"))
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		r.wrong(s.name, "is no base URL: write https:// and a host, nothing after it")
		return ""
	}
	return u.String()
}
