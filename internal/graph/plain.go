package graph

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"outlook-monitor/internal/ooo"
)

// plainBatch takes apart an answer to a batch in which every read succeeded, as
// nearly all do, at a fraction of what decoding costs: the bodies, which are most
// of it, are mostly the same as before and need not be looked into. It returns
// false, and has changed nothing, if the answer is anything but plain; then it is
// for encoding/json, which knows all that JSON may be. What it accepts means the
// same to encoding/json, but values that nobody asks for are only skipped.
func plainBatch(answer []byte, readings []ooo.Reading) bool {
	if len(readings) > mostInBatch {
		return false
	}
	var bodies [mostInBatch][]byte
	c := cursor{text: answer}
	seen := false
	c.object(func(name []byte) {
		switch {
		case string(name) == "responses" && !seen:
			seen = true
			c.array(func() { c.plainItem(bodies[:len(readings)]) })
		case bytes.EqualFold(name, []byte("responses")):
			c.odd = true
		default:
			c.skip()
		}
	})
	if c.space(); c.odd || c.at != len(answer) {
		return false
	}
	for i := range readings {
		if bodies[i] == nil || (ooo.DigestOf(bodies[i]) != readings[i].Digest && !json.Valid(bodies[i])) {
			return false
		}
	}
	for i := range readings {
		readings[i].Err = nil
		understand(&readings[i], bodies[i])
	}
	return true
}

// plainItem puts the body of one answer into its place.
func (c *cursor) plainItem(bodies [][]byte) {
	var id, status, body []byte
	c.object(func(name []byte) {
		var into *[]byte
		switch string(name) {
		case "id":
			into = &id
		case "status":
			into = &status
		case "body":
			into = &body
		default:
			for _, known := range []string{"id", "status", "body"} {
				c.odd = c.odd || bytes.EqualFold(name, []byte(known))
			}
			c.skip()
			return
		}
		from := c.at
		c.skip()
		c.odd = c.odd || *into != nil || c.at == from
		*into = c.text[from:c.at]
	})
	if c.odd || len(id) < 3 || id[0] != '"' || string(status) != "200" || len(body) == 0 || body[0] != '{' {
		c.odd = true
		return
	}
	place, err := strconv.Atoi(string(id[1 : len(id)-1]))
	if err != nil || place < 0 || place >= len(bodies) || bodies[place] != nil {
		c.odd = true
		return
	}
	bodies[place] = body
}

// cursor walks over JSON. Once it has met something odd it stands still.
type cursor struct {
	text []byte
	at   int
	odd  bool
}

// space goes on to what is no white space.
func (c *cursor) space() {
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
func (c *cursor) eat(what byte) bool {
	c.space()
	if c.odd || c.at >= len(c.text) || c.text[c.at] != what {
		return false
	}
	c.at++
	return true
}

// need is eat for what must be next.
func (c *cursor) need(what byte) {
	if !c.eat(what) {
		c.odd = true
	}
}

// object calls value for each name, with the cursor at its value.
func (c *cursor) object(value func(name []byte)) {
	c.need('{')
	for more := !c.eat('}'); more && !c.odd; {
		name := c.name()
		c.need(':')
		c.space()
		if c.odd {
			return
		}
		value(name)
		if more = c.eat(','); !more {
			c.need('}')
		}
	}
}

// array calls value with the cursor at each value.
func (c *cursor) array(value func()) {
	c.need('[')
	for more := !c.eat(']'); more && !c.odd; {
		c.space()
		value()
		if more = c.eat(','); !more {
			c.need(']')
		}
	}
}

// name goes over a string that has no escapes.
func (c *cursor) name() []byte {
	c.space()
	from := c.at + 1
	c.quoted()
	if c.odd {
		return nil
	}
	name := c.text[from : c.at-1]
	c.odd = bytes.IndexByte(name, '\\') >= 0
	return name
}

// quoted goes over a string.
func (c *cursor) quoted() {
	if c.odd || c.at >= len(c.text) || c.text[c.at] != '"' {
		c.odd = true
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

// skip goes over a value of any kind.
func (c *cursor) skip() {
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
			if depth == 0 {
				c.odd = true
			}
			c.at++
			continue
		default: // a number, true, false or null
			for c.at < len(c.text) && strings.IndexByte(" \t\n\r,:]}[{\"", c.text[c.at]) < 0 {
				c.at++
			}
		}
		if depth <= 0 {
			c.odd = c.odd || depth < 0
			return
		}
	}
}
