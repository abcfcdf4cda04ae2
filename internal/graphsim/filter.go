package graphsim

import (
	"errors"
	"slices"
	"strings"
)

// term is one comparison of a $filter; terms are joined by or.
type term struct {
	property string // id, mail, userPrincipalName, displayName, proxyAddresses
	value    string
}

var errFilter = errors.New("Unsupported or invalid query filter clause specified for property of resource 'User'.")

// filterTerms bounds one $filter, as Graph does.
const filterTerms = 15

// parseFilter reads the filters that are supported: `property eq 'value'` and
// `proxyAddresses/any(p:p eq 'value')`, joined by `or`.
func parseFilter(text string) ([]term, error) {
	var terms []term
	p := filterText{rest: text}
	for {
		t, ok := p.term()
		if !ok || len(terms) == filterTerms {
			return nil, errFilter
		}
		terms = append(terms, t)
		if strings.TrimSpace(p.rest) == "" {
			return terms, nil
		}
		if !p.word("or") {
			return nil, errFilter
		}
	}
}

// filterText is what is left to be read.
type filterText struct{ rest string }

func (p *filterText) space() { p.rest = strings.TrimLeft(p.rest, " ") }

// symbol reads exactly text, which needs no space after it.
func (p *filterText) symbol(text string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, text)
	if ok {
		p.rest = rest
	}
	return ok
}

// word reads text with a space after it.
func (p *filterText) word(text string) bool {
	return p.symbol(text + " ")
}

// name reads an identifier.
func (p *filterText) name() string {
	p.space()
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if end < 0 {
		end = len(p.rest)
	}
	name := p.rest[:end]
	p.rest = p.rest[end:]
	return name
}

// quoted reads a string in apostrophes, in which an apostrophe is doubled.
func (p *filterText) quoted() (string, bool) {
	if !p.symbol("'") {
		return "", false
	}
	var out strings.Builder
	for {
		before, after, ok := strings.Cut(p.rest, "'")
		if !ok {
			return "", false
		}
		out.WriteString(before)
		p.rest = after
		if !strings.HasPrefix(after, "'") {
			return out.String(), true
		}
		out.WriteByte('\'')
		p.rest = after[1:]
	}
}

func (p *filterText) term() (term, bool) {
	property := p.name()
	if property == "proxyAddresses" {
		return p.anyTerm()
	}
	if !slices.Contains([]string{"id", "mail", "userPrincipalName", "displayName"}, property) || !p.word("eq") {
		return term{}, false
	}
	value, ok := p.quoted()
	return term{property, value}, ok
}

// anyTerm reads the rest of proxyAddresses/any(p:p eq 'value').
func (p *filterText) anyTerm() (term, bool) {
	if !p.symbol("/any(") {
		return term{}, false
	}
	variable := p.name()
	if variable == "" || !p.symbol(":") || p.name() != variable || !p.word("eq") {
		return term{}, false
	}
	value, ok := p.quoted()
	return term{"proxyAddresses", value}, ok && p.symbol(")")
}

// match returns the accounts that fit any of the terms, each once.
func (d *directory) match(terms []term) []*account {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var hits []*account
	add := func(found ...*account) {
		for _, a := range found {
			if a != nil && !slices.Contains(hits, a) {
				hits = append(hits, a)
			}
		}
	}
	for _, t := range terms {
		value := strings.ToLower(t.value)
		switch t.property {
		case "id":
			add(d.byID[value])
		case "userPrincipalName":
			add(d.byUPN[value])
		case "mail":
			add(d.byMail[value]...)
		case "displayName":
			add(d.byName[value]...)
		case "proxyAddresses":
			add(d.byProxy[proxyKey(t.value)]...)
		}
	}
	return hits
}
