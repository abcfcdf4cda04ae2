package webhook

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The versions of tokens. Each has its own metadata, keys and issuer.
const (
	version1 = "1.0"
	version2 = "2.0"
)

// identifier is a tenant's id. A tenant may also be named by a domain; then the metadata
// has its id.
var identifier = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// cloud says who issues the tokens of a Microsoft cloud: sts those of version
// 1.0, one of the logins those of version 2.0. All are hosts.
type cloud struct {
	sts    string
	logins []string
}

var clouds = []cloud{
	{"sts.windows.net", []string{
		"login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net", "login.microsoftonline.us"}},
	{"sts.chinacloudapi.cn", []string{"login.chinacloudapi.cn", "login.partner.microsoftonline.cn"}},
}

// authority is a login endpoint and what it may vouch for.
type authority struct {
	base   string  // URL, without a slash at the end
	host   string  // with the port
	clouds []cloud // its own, or all if it is no Microsoft cloud's
	custom bool    // it is no Microsoft cloud's
}

func newAuthority(base string) (authority, error) {
	base = strings.TrimRight(base, "/")
	u := httpsURL(base)
	if u == nil || u.Path != "" || u.RawQuery != "" {
		return authority{}, errors.New("webhook: AuthorityHost must be an https URL with nothing after the host")
	}
	for i, of := range clouds {
		if slices.Contains(of.logins, u.Host) {
			return authority{base, u.Host, clouds[i : i+1], false}, nil
		}
	}
	return authority{base, u.Host, clouds, true}, nil
}

// httpsURL returns a URL with its host in lower case, nil if it is no https URL.
func httpsURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil
	}
	u.Host = strings.ToLower(u.Host)
	return u
}

// metadata returns where the metadata for tokens of a version is.
func (at authority) metadata(version, tenant string) string {
	middle := "/"
	if version == version2 {
		middle = "/v2.0/"
	}
	return at.base + "/" + url.PathEscape(tenant) + middle + ".well-known/openid-configuration"
}

// tenant returns the tenant that an issuer speaks for: https://sts.windows.net/{id}/
// in version 1.0, {login}/{id}/v2.0 in version 2.0. known is false if the endpoint may
// not name it. An issuer in a form of its own, which a login endpoint of one's own may
// have, speaks for no tenant.
func (at authority) tenant(version, issuer string) (tenant string, known bool) {
	u := httpsURL(issuer)
	if u == nil {
		return "", false
	}
	tail := "/"
	if version == version2 {
		tail = "/v2.0"
	}
	tenant, formed := strings.CutSuffix(strings.TrimPrefix(u.Path, "/"), tail)
	formed = formed && tenant != "" && !strings.Contains(tenant, "/")
	microsofts := slices.ContainsFunc(at.clouds, func(of cloud) bool {
		return version == version1 && u.Host == of.sts || version == version2 && slices.Contains(of.logins, u.Host)
	})
	own := at.custom && u.Host == at.host
	if formed && (microsofts || own && identifier.MatchString(tenant)) {
		return tenant, true
	}
	return "", own
}

// serves reports whether keys may be fetched from an address.
func (at authority) serves(address string) bool {
	u := httpsURL(address)
	return u != nil && (u.Host == at.host ||
		slices.ContainsFunc(at.clouds, func(of cloud) bool { return slices.Contains(of.logins, u.Host) }))
}
