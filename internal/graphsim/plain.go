package graphsim

import "bytes"

// plainBatch reads a $batch the way that programs mostly write it: no spaces, and
// requests of nothing but an id, a method and a url, in ASCII without escapes. ok
// is false for all else, right or wrong: encoding/json reads that. It is here
// because the local Graph shares the cores with what is measured against it.
func plainBatch(body []byte) (items []batchItem, ok bool) {
	inner, ok := bytes.CutPrefix(body, []byte(`{"requests":[{`))
	if !ok {
		return nil, false
	}
	p := plain{text: string(inner)} // all that follows are parts of it
	items = make([]batchItem, 0, batchRequests+1)
	for {
		var item batchItem
		for {
			if !p.field(&item) {
				return nil, false
			}
			if !p.skip(',') {
				break
			}
		}
		if !p.skip('}') || len(items) == cap(items) {
			return nil, false
		}
		items = append(items, item)
		if p.skip(',') {
			if !p.skip('{') {
				return nil, false
			}
			continue
		}
		return items, p.skip(']') && p.skip('}') && p.text == ""
	}
}

// plain is what is left to read.
type plain struct{ text string }

func (p *plain) skip(c byte) bool {
	if p.text == "" || p.text[0] != c {
		return false
	}
	p.text = p.text[1:]
	return true
}

// field reads one field into item. One that comes twice is not plain.
func (p *plain) field(item *batchItem) bool {
	name, ok := p.word()
	if !ok || !p.skip(':') {
		return false
	}
	value, ok := p.word()
	if !ok {
		return false
	}
	var to *string
	switch name {
	case "id":
		to = &item.ID
	case "method":
		to = &item.Method
	case "url":
		to = &item.URL
	default:
		return false
	}
	if *to != "" {
		return false
	}
	*to = value
	return true
}

// word reads a string.
func (p *plain) word() (string, bool) {
	if !p.skip('"') {
		return "", false
	}
	for i := range len(p.text) {
		switch c := p.text[i]; {
		case c == '"':
			word := p.text[:i]
			p.text = p.text[i+1:]
			return word, true
		case c == '\\' || c < ' ' || c > '~':
			return "", false
		}
	}
	return "", false
}
