package graph

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
)

// cloud has the base URLs of a Microsoft cloud's Graph and login endpoint.
type cloud struct{ endpoint, authority string }

var clouds = map[string]cloud{
	"global": {"https://graph.microsoft.com", "https://login.microsoftonline.com"},
	"usgov":  {"https://graph.microsoft.us", "https://login.microsoftonline.us"},
	"dod":    {"https://dod-graph.microsoft.us", "https://login.microsoftonline.us"},
	"china":  {"https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn"},
}

// microsoftLoginHosts are the login endpoints that instance discovery knows.
var microsoftLoginHosts = []string{
	"login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn",
	"login.partner.microsoftonline.cn", "login.microsoft.com", "login.windows.net", "sts.windows.net",
}

// Addresses returns the base URLs of Graph and of its login endpoint, without a trailing
// slash: those of the cloud, unless cfg overrides them.
func (cfg Config) Addresses() (endpoint, authority string, err error) {
	c, ok := clouds[strings.ToLower(cmp.Or(cfg.Cloud, "global"))]
	if !ok {
		return "", "", fmt.Errorf("GRAPH_CLOUD is %q, want global, usgov, dod or china", cfg.Cloud)
	}
	if endpoint, err = baseURL("GRAPH_ENDPOINT", cmp.Or(cfg.Endpoint, c.endpoint)); err == nil {
		authority, err = baseURL("AZURE_AUTHORITY_HOST", cmp.Or(cfg.AuthorityHost, c.authority))
	}
	return endpoint, authority, err
}

// baseURL normalizes the base URL in the named variable. It must be https, because tokens
// and secrets are sent there.
func baseURL(variable, text string) (string, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%s must be an https URL with nothing after the host", variable)
	}
	return "https://" + strings.ToLower(u.Host), nil
}
