package api

import (
	"mime"
	"strconv"
	"strings"
)

// prefersJSON reports whether an Accept header prefers JSON to HTML (RFC 9110, section
// 12.5.1). The mediator sends none and expects HTML.
func prefersJSON(accept []string) bool {
	json, jsonSpecificity := quality(accept, "application/json")
	html, htmlSpecificity := quality(accept, "text/html")
	return json > html || json == html && json > 0 && jsonSpecificity > htmlSpecificity
}

// quality returns the weight of a media type, 0 to 1, in the most specific range that
// matches it, and how specific that range is: 0 (no match) to 3 (an exact match).
func quality(accept []string, mediaType string) (best float64, specificity int) {
	family, _, _ := strings.Cut(mediaType, "/")
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := parameters["q"]; ok {
			q, _ = strconv.ParseFloat(text, 64) // 0 if it is malformed
			q = min(max(q, 0), 1)
		}
		if match := map[string]int{"*/*": 1, family + "/*": 2, mediaType: 3}[name]; match > specificity {
			best, specificity = q, match
		}
	}
	return best, specificity
}
