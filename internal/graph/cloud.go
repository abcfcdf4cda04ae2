package graph

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
)

// cloud is one of Microsoft's clouds: its Graph and its login endpoint.
type cloud struct{ endpoint, authority string }

var clouds = map[string]cloud{
	"global": {"https://graph.microsoft.com", "https://login.microsoftonline.com"},
	"usgov":  {"https://graph.microsoft.us", "https://login.microsoftonline.us"},
	"dod":    {"https://dod-graph.microsoft.us", "https://login.microsoftonline.us"},
	"china":  {"https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn"},
}

// microsoftLogins are the hosts that instance discovery can vouch for.
var microsoftLogins = []string{
	"login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn",
	"login.partner.microsoftonline.cn", "login.microsoft.com", "login.windows.net", "sts.windows.net",
}

// Addresses returns the base URLs of Graph and of its login endpoint, without a
// slash at the end: those of the cloud, or what overrides them.
func (cfg Config) Addresses() (endpoint, authority string, err error) {
	of, ok := clouds[strings.ToLower(cmp.Or(cfg.Cloud, "global"))]
	if !ok {
		return "", "", fmt.Errorf("GRAPH_CLOUD is %q, want global, usgov, dod or china", cfg.Cloud)
	}
	if endpoint, err = baseURL("GRAPH_ENDPOINT", cmp.Or(cfg.Endpoint, of.endpoint)); err == nil {
		authority, err = baseURL("AZURE_AUTHORITY_HOST", cmp.Or(cfg.AuthorityHost, of.authority))
	}
	return endpoint, authority, err
}

// baseURL checks the base URL in the named variable; tokens and secrets are sent
// there, so it must be https.
func baseURL(variable, text string) (string, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%s must be an https URL with nothing after the host", variable)
	}
	return "https://" + strings.ToLower(u.Host), nil
}
