package graphsim

import (
	"regexp"
	"slices"
	"strings"
)

// term is one comparison of a $filter; terms are joined by or.
type term struct{ property, value string }

// filterTerms is Graph's limit for one $filter.
const filterTerms = 15

// filterTerm is property eq 'value' or proxyAddresses/any(p:p eq 'value'), and the
// or after it, if there is one. An apostrophe in a value is doubled.
var filterTerm = regexp.MustCompile(
	`^ *(?:(id|mail|userPrincipalName|displayName) +eq +'((?:[^']|'')*)'` +
		`|proxyAddresses/any\( *([A-Za-z]+) *: *([A-Za-z]+) +eq +'((?:[^']|'')*)' *\)) *(or +|$)`)

// parseFilter reads the filters that are supported; false if it is another.
func parseFilter(text string) (terms []term, ok bool) {
	for more := true; more; {
		m := filterTerm.FindStringSubmatch(text)
		if m == nil || m[3] != m[4] || len(terms) == filterTerms {
			return nil, false
		}
		property, value := m[1], m[2]
		if property == "" {
			property, value = "proxyAddresses", m[5]
		}
		terms = append(terms, term{property, strings.ReplaceAll(value, "''", "'")})
		text, more = text[len(m[0]):], m[6] != ""
	}
	return terms, true
}

// matches compares without regard to letter case, but for the prefix of a proxy
// address: to Graph, smtp: and SMTP: differ.
func (t term) matches(u User) bool {
	switch t.property {
	case "id":
		return strings.EqualFold(u.ID, t.value)
	case "mail":
		return strings.EqualFold(u.Mail, t.value)
	case "userPrincipalName":
		return strings.EqualFold(u.UserPrincipalName, t.value)
	case "displayName":
		return strings.EqualFold(u.DisplayName, t.value)
	}
	prefix, address, _ := strings.Cut(t.value, ":")
	return slices.ContainsFunc(u.ProxyAddresses, func(proxy string) bool {
		p, a, _ := strings.Cut(proxy, ":")
		return p == prefix && strings.EqualFold(a, address)
	})
}
