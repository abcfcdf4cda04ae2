package api

import (
	"mime"
	"strconv"
	"strings"
)

// prefersJSON reports whether an Accept header prefers JSON to HTML, which
// is what the mediator gets without one (RFC 9110, section 12.5.1).
func prefersJSON(accept []string) bool {
	json, named := quality(accept, "application/json")
	html, alike := quality(accept, "text/html")
	return json > html || json == html && json > 0 && named > alike
}

// quality returns the weight of kind, 0 to 1, in the most precise range that matches it,
// and how precise that is: 0 (none matches) to 3 (an exact match).
func quality(accept []string, kind string) (best float64, precision int) {
	family, _, _ := strings.Cut(kind, "/")
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			name, parameters, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			q := 1.0
			if text, ok := parameters["q"]; ok {
				if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
					continue
				}
			}
			fits := map[string]int{"*/*": 1, family + "/*": 2, kind: 3}[name]
			if fits > precision || fits == precision && fits > 0 && q > best {
				best, precision = q, fits
			}
		}
	}
	return best, precision
}
