package ooo

import (
	"iter"
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

var (
	// Comments and at-rules of a style sheet: what @media hides is mostly for a printer or a
	// phone.
	sheetExtras = regexp.MustCompile(`(?s)/\*.*?\*/|<!--|-->|@[^;{}]*(?:;|\{(?:[^{}]*\{[^{}]*\})*[^{}]*\})`)
	sheetRule   = regexp.MustCompile(`([^{}]+)\{([^{}]*)\}`)
	classOnly   = regexp.MustCompile(`^[a-z0-9]*\.[\w-]+$`)
)

// hiddenClasses are the classes that style sheets hide: ".class" for any element,
// "p.class" for one kind.
type hiddenClasses map[string]bool

// read adds the rules of a style sheet. Other selectors than those by class are left out:
// Word writes a rule for each style, such as that of the ends of a pasted form.
func (h hiddenClasses) read(sheet string) {
	for _, rule := range sheetRule.FindAllStringSubmatch(sheetExtras.ReplaceAllString(strings.ToLower(sheet), " "), -1) {
		for property, value := range declarations(rule[2]) {
			if !hides(property, value) {
				continue
			}
			for selector := range strings.SplitSeq(rule[1], ",") {
				if selector = strings.TrimSpace(selector); classOnly.MatchString(selector) {
					h[selector] = true
				}
			}
		}
	}
}

// of reports whether an element is hidden by one of its classes.
func (h hiddenClasses) of(token html.Token) bool {
	for _, a := range token.Attr {
		if a.Key != "class" {
			continue
		}
		for class := range strings.FieldsSeq(strings.ToLower(a.Val)) {
			if h["."+class] || h[token.Data+"."+class] {
				return true
			}
		}
	}
	return false
}

// declarations goes over properties and values in lower case.
func declarations(style string) iter.Seq2[string, string] {
	return func(yield func(property, value string) bool) {
		for declaration := range strings.SplitSeq(strings.ToLower(style), ";") {
			property, value, _ := strings.Cut(declaration, ":")
			value = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "!important"))
			if !yield(strings.TrimSpace(property), value) {
				return
			}
		}
	}
}

func hides(property, value string) bool {
	switch property + ":" + value {
	case "display:none", "visibility:hidden", "mso-hide:all":
		return true
	}
	return false
}
