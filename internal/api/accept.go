package api

import (
	"mime"
	"strconv"
	"strings"
)

// prefersJSON says whether an Accept header likes JSON better than HTML, which
// is what the mediator gets without one (RFC 9110, section 12.5.1).
func prefersJSON(accept []string) bool {
	json, html := quality(accept, "application/json"), quality(accept, "text/html")
	return json > html
}

// quality returns how much kind is liked, 0 to 1, by the most precise range that
// names it.
func quality(accept []string, kind string) float64 {
	family, _, _ := strings.Cut(kind, "/")
	best, precision := 0.0, 0
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
	return best
}
