package graph

import (
	"fmt"
	"net/url"
	"slices"
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
	name := cfg.Cloud
	if name == "" {
		name = "global"
	}
	of, ok := clouds[strings.ToLower(name)]
	if !ok {
		return "", "", fmt.Errorf("GRAPH_CLOUD is %q, want global, usgov, dod or china", cfg.Cloud)
	}
	if endpoint, err = base("GRAPH_ENDPOINT", cfg.Endpoint, of.endpoint); err != nil {
		return "", "", err
	}
	if authority, err = base("AZURE_AUTHORITY_HOST", cfg.AuthorityHost, of.authority); err != nil {
		return "", "", err
	}
	return endpoint, authority, nil
}

// base checks the base URL in the named variable; tokens and secrets are sent
// there, so it must be https.
func base(variable, text, otherwise string) (string, error) {
	if text == "" {
		return otherwise, nil
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%s must be an https URL with nothing after the host", variable)
	}
	return "https://" + strings.ToLower(u.Host), nil
}

// foreign says whether authority is no Microsoft cloud's login endpoint, so that
// Microsoft's instance discovery knows nothing of it.
func foreign(authority string) bool {
	return !slices.Contains(microsoftLogins, strings.TrimPrefix(authority, "https://"))
}
