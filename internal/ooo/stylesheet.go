package ooo

import (
	"iter"
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

var (
	// Comments and at-rules are ignored: @media rules mostly hide elements from printers or
	// phones.
	sheetExtras = regexp.MustCompile(`(?s)/\*.*?\*/|<!--|-->|@[^;{}]*(?:;|\{(?:[^{}]*\{[^{}]*\})*[^{}]*\})`)
	sheetRule   = regexp.MustCompile(`([^{}]+)\{([^{}]*)\}`)
	classOnly   = regexp.MustCompile(`^[a-z0-9]*\.[\w-]+$`)
)

// hiddenClasses are the selectors that style sheets hide: ".class" or "p.class".
type hiddenClasses map[string]bool

// read adds the rules of a style sheet. It only supports selectors by class: Word uses
// classes for its styles, such as that of the ends of a pasted form.
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

// declarations iterates over the properties and values of a style, in lower case.
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
