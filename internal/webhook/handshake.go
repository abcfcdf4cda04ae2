package webhook

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxEcho is the longest validation token that is echoed, in bytes.
const maxEcho = 4 << 10

// handshake returns the validation token of a query, decoded once: a plus is a space.
// present reports whether the query has one, ok whether it may be echoed: Graph's is
// plain text, so anything that could be markup or a header is refused.
func handshake(query string) (token string, present, ok bool) {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, _ := url.QueryUnescape(name); name != "validationToken" {
			continue
		}
		token, err := url.QueryUnescape(value)
		ok := err == nil && token != "" && len(token) <= maxEcho && utf8.ValidString(token) &&
			!strings.ContainsAny(token, "<>") && !strings.ContainsFunc(token, unicode.IsControl)
		return token, true, ok
	}
	return "", false, false
}
