// Package jsonwalk goes over JSON without decoding it, for the two hot paths on
// which most of what comes is not needed: answers that are the same as the last,
// and notifications that say no more than "look". It finds where values begin and
// end, and allocates nothing. Whatever is not plain makes it balk, and is then a
// matter for encoding/json.
package jsonwalk

import (
	"bytes"
	"strings"
)

// Cursor walks over one JSON text. Once it has balked it goes no further.
type Cursor struct {
	text   []byte
	at     int
	odd    bool
	strict bool
}

// Over returns a cursor at the beginning of text, which checks no more of it than it
// takes to find where values end.
func Over(text []byte) *Cursor { return &Cursor{text: text} }

// StrictlyOver returns a cursor that balks at whatever is no JSON (RFC 8259).
func StrictlyOver(text []byte) *Cursor { return &Cursor{text: text, strict: true} }

// Balk makes the whole walk count for nothing.
func (c *Cursor) Balk() { c.odd = true }

// Ended says whether the walk went well and nothing but white space follows.
func (c *Cursor) Ended() bool {
	c.space()
	return !c.odd && c.at == len(c.text)
}

// At returns how many bytes the cursor has gone over.
func (c *Cursor) At() int { return c.at }

// Next returns the first character of what comes next, which tells its kind; 0 at
// the end.
func (c *Cursor) Next() byte {
	if c.space(); c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

// Object goes over an object and calls value for each name, with the cursor at
// its value, which it has to go over. A name with an escape makes it balk.
func (c *Cursor) Object(value func(name []byte)) {
	c.need('{')
	for more := !c.eat('}'); more && !c.odd; {
		name := c.name()
		c.need(':')
		if c.odd {
			return
		}
		value(name)
		if more = c.eat(','); !more {
			c.need('}')
		}
	}
}

// Array goes over an array and calls value with the cursor at each of its values.
func (c *Cursor) Array(value func()) {
	c.need('[')
	for more := !c.eat(']'); more && !c.odd; {
		value()
		if more = c.eat(','); !more {
			c.need(']')
		}
	}
}

// Value goes over a value of any kind and returns its text; nil if there is none.
func (c *Cursor) Value() []byte {
	c.space()
	from := c.at
	if c.strict {
		c.value(0)
	} else {
		c.skip()
	}
	if c.odd || c.at == from {
		c.odd = true
		return nil
	}
	return c.text[from:c.at]
}

// space goes on to what is no white space.
func (c *Cursor) space() {
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

// eat goes over white space and one character, if it is next.
func (c *Cursor) eat(what byte) bool {
	c.space()
	if c.odd || c.at >= len(c.text) || c.text[c.at] != what {
		return false
	}
	c.at++
	return true
}

// need is eat for what must be next.
func (c *Cursor) need(what byte) {
	if !c.eat(what) {
		c.odd = true
	}
}

// name goes over a string that has no escapes.
func (c *Cursor) name() []byte {
	c.space()
	from := c.at + 1
	if c.quoted(); c.odd {
		return nil
	}
	name := c.text[from : c.at-1]
	c.odd = bytes.IndexByte(name, '\\') >= 0
	return name
}

// quoted goes over a string.
func (c *Cursor) quoted() {
	if c.odd || c.at >= len(c.text) || c.text[c.at] != '"' {
		c.odd = true
		return
	}
	if c.strict {
		c.spelled()
		return
	}
	for i := c.at + 1; ; i++ {
		end := bytes.IndexByte(c.text[i:], '"')
		if end < 0 {
			c.odd = true
			return
		}
		i += end
		escapes := 0
		for c.text[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			c.at = i + 1
			return
		}
	}
}

// ends are what a number, true, false or null ends at.
const ends = " \t\n\r,:]}[{\""

// skip goes over a value of any kind.
func (c *Cursor) skip() {
	for depth := 0; !c.odd; {
		if c.at >= len(c.text) {
			c.odd = true
			return
		}
		switch c.text[c.at] {
		case '"':
			c.quoted()
		case '{', '[':
			depth++
			c.at++
			continue
		case '}', ']':
			depth--
			c.at++
		case ' ', '\t', '\n', '\r', ':', ',':
			c.odd = depth == 0
			c.at++
			continue
		default:
			for c.at < len(c.text) && strings.IndexByte(ends, c.text[c.at]) < 0 {
				c.at++
			}
		}
		if depth <= 0 {
			c.odd = c.odd || depth < 0
			return
		}
	}
}
