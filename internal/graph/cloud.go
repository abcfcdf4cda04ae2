package graph

import (
	"cmp"
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
func (cfg Config) Addresses() (endpoint, authority string) {
	c := clouds[cmp.Or(cfg.Cloud, "global")]
	return strings.ToLower(cmp.Or(cfg.Endpoint, c.endpoint)), strings.ToLower(cmp.Or(cfg.AuthorityHost, c.authority))
}
