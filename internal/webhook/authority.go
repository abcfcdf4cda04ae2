package webhook

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The versions of validation tokens. Each has its own metadata, keys and issuer.
const (
	version1 = "1.0"
	version2 = "2.0"
)

// guid matches a tenant id. The settings may name the tenant by a domain instead; then the
// metadata has its id.
var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// cloud has the hosts that issue the tokens of a Microsoft cloud: stsHost issues
// those of version 1.0, one of loginHosts those of version 2.0.
type cloud struct {
	stsHost    string
	loginHosts []string
}

var clouds = []cloud{
	{"sts.windows.net", []string{
		"login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net", "login.microsoftonline.us"}},
	{"sts.chinacloudapi.cn", []string{"login.chinacloudapi.cn", "login.partner.microsoftonline.cn"}},
}

// authority is a login endpoint and the issuers that its metadata may name.
type authority struct {
	baseURL string  // without a trailing slash
	host    string  // with the port
	clouds  []cloud // whose issuers it may name; all for a custom endpoint
	custom  bool    // it does not belong to a Microsoft cloud
}

func newAuthority(baseURL string) (authority, error) {
	baseURL = strings.TrimRight(baseURL, "/")
	u := httpsURL(baseURL)
	if u == nil || u.Path != "" || u.RawQuery != "" {
		return authority{}, errors.New("webhook: AuthorityHost must be an https URL with nothing after the host")
	}
	for i, c := range clouds {
		if slices.Contains(c.loginHosts, u.Host) {
			return authority{baseURL, u.Host, clouds[i : i+1], false}, nil
		}
	}
	return authority{baseURL, u.Host, clouds, true}, nil
}

// httpsURL parses an https URL and lowers its host. It returns nil if text is not one.
func httpsURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil
	}
	u.Host = strings.ToLower(u.Host)
	return u
}

// metadataURL returns the URL of the metadata for tokens of a version.
func (a authority) metadataURL(version, tenant string) string {
	middle := "/"
	if version == version2 {
		middle = "/v2.0/"
	}
	return a.baseURL + "/" + url.PathEscape(tenant) + middle + ".well-known/openid-configuration"
}

// tenantOf returns the tenant in an issuer: https://sts.windows.net/{id}/ in version 1.0,
// {login}/{id}/v2.0 in version 2.0. allowed reports whether this endpoint may name the
// issuer. A custom endpoint may also name an issuer of any other form on its own host;
// then tenant is empty.
func (a authority) tenantOf(version, issuer string) (tenant string, allowed bool) {
	u := httpsURL(issuer)
	if u == nil {
		return "", false
	}
	suffix := "/"
	if version == version2 {
		suffix = "/v2.0"
	}
	tenant, wellFormed := strings.CutSuffix(strings.TrimPrefix(u.Path, "/"), suffix)
	wellFormed = wellFormed && tenant != "" && !strings.Contains(tenant, "/")
	microsoft := slices.ContainsFunc(a.clouds, func(c cloud) bool {
		return version == version1 && u.Host == c.stsHost || version == version2 && slices.Contains(c.loginHosts, u.Host)
	})
	own := a.custom && u.Host == a.host
	if wellFormed && (microsoft || own && guid.MatchString(tenant)) {
		return tenant, true
	}
	return "", own
}

// mayServeKeys reports whether keys may be fetched from an address.
func (a authority) mayServeKeys(address string) bool {
	u := httpsURL(address)
	return u != nil && (u.Host == a.host ||
		slices.ContainsFunc(a.clouds, func(c cloud) bool { return slices.Contains(c.loginHosts, u.Host) }))
}
