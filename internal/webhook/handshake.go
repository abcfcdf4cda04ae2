package webhook

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxEcho is the longest validation token that is echoed, in bytes.
const maxEcho = 4 << 10

// handshake returns the validation token of a query, decoded once: a plus is a space. One that
// can't be decoded is empty. It returns false if the query has none.
func handshake(query string) (token string, ok bool) {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, _ := url.QueryUnescape(name); name != "validationToken" {
			continue
		}
		token, _ = url.QueryUnescape(value)
		return token, true
	}
	return "", false
}

// mayEcho reports whether a token may be Graph's, which is plain text. Anything that could be
// markup or a header is refused.
func mayEcho(token string) bool {
	return token != "" && len(token) <= maxEcho && utf8.ValidString(token) &&
		!strings.ContainsAny(token, "<>") && !strings.ContainsFunc(token, unicode.IsControl)
}
