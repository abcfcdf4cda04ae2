package graphsim

import (
	"regexp"
	"slices"
	"strings"
)

// filterTerm is one comparison of a $filter. Terms are joined by or.
type filterTerm struct{ property, value string }

// maxFilterTerms is Graph's limit for one $filter.
const maxFilterTerms = 15

// filterTermPattern matches property eq 'value' or proxyAddresses/any(p:p eq 'value'),
// and a following or. Apostrophes in values are doubled.
var filterTermPattern = regexp.MustCompile(
	`^ *(?:(id|mail|userPrincipalName|displayName) +eq +'((?:[^']|'')*)'` +
		`|proxyAddresses/any\( *([A-Za-z]+) *: *([A-Za-z]+) +eq +'((?:[^']|'')*)' *\)) *(or +|$)`)

// parseFilter parses a $filter. It returns false if the filter is not supported.
func parseFilter(text string) (terms []filterTerm, ok bool) {
	for more := true; more; {
		m := filterTermPattern.FindStringSubmatch(text)
		if m == nil || m[3] != m[4] || len(terms) == maxFilterTerms {
			return nil, false
		}
		property, value := m[1], m[2]
		if property == "" {
			property, value = "proxyAddresses", m[5]
		}
		terms = append(terms, filterTerm{property, strings.ReplaceAll(value, "''", "'")})
		text, more = text[len(m[0]):], m[6] != ""
	}
	return terms, true
}

// matches ignores letter case, except in the prefix of a proxy address: for Graph, smtp:
// and SMTP: differ.
func (t filterTerm) matches(u User) bool {
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
