package webhook

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// The versions of tokens. Each has its own metadata, keys and issuer.
const (
	version1 = "1.0"
	version2 = "2.0"
)

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

// authority is a login endpoint and whose word it may pass on.
type authority struct {
	base   string  // URL, without a slash at the end
	host   string  // with the port
	clouds []cloud // its own, or all if it is no Microsoft cloud's
	custom bool    // it is no Microsoft cloud's
}

func newAuthority(base string) (authority, error) {
	base = strings.TrimRight(base, "/")
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return authority{}, errors.New("webhook: AuthorityHost must be an https URL with nothing after the host")
	}
	at := authority{base: base, host: strings.ToLower(u.Host), clouds: clouds, custom: true}
	for i, of := range clouds {
		if slices.Contains(of.logins, at.host) {
			at.clouds, at.custom = clouds[i:i+1], false
		}
	}
	return at, nil
}

// metadata returns where the metadata for tokens of a version is.
func (at authority) metadata(version, tenant string) string {
	middle := "/"
	if version == version2 {
		middle = "/v2.0/"
	}
	return at.base + "/" + url.PathEscape(tenant) + middle + ".well-known/openid-configuration"
}

// tenant returns the tenant that an issuer speaks for. An issuer in a form of its
// own, which known allows only at a login endpoint of one's own, speaks for none.
func (at authority) tenant(version, issuer string) (tenant string, known bool) {
	u, host := at.place(issuer)
	if u == nil {
		return "", false
	}
	tail := "/"
	if version == version2 {
		tail = "/v2.0"
	}
	tenant, formed := strings.CutSuffix(strings.TrimPrefix(u.Path, "/"), tail)
	formed = formed && tenant != "" && !strings.Contains(tenant, "/")
	switch {
	case formed && slices.ContainsFunc(at.clouds, func(of cloud) bool {
		return version == version1 && host == of.sts || version == version2 && slices.Contains(of.logins, host)
	}):
		return tenant, true
	case !at.custom || host != at.host:
		return "", false
	case formed && identifier.MatchString(tenant):
		return tenant, true
	}
	return "", true
}

// serves says whether keys may be fetched from rawURL.
func (at authority) serves(rawURL string) bool {
	u, host := at.place(rawURL)
	return u != nil && (host == at.host ||
		slices.ContainsFunc(at.clouds, func(of cloud) bool { return slices.Contains(of.logins, host) }))
}

// place returns an https URL and its host, nil if it is none.
func (at authority) place(rawURL string) (u *url.URL, host string) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, ""
	}
	return u, strings.ToLower(u.Host)
}
