package jsonwalk

import "bytes"

// mostDeep is how deep values may lie in each other: deeper is not plain.
const mostDeep = 64

// value goes over a value of any kind that is JSON.
func (c *Cursor) value(depth int) {
	if depth > mostDeep {
		c.odd = true
	}
	if c.odd {
		return
	}
	switch next := c.Next(); {
	case next == '"':
		c.quoted()
	case next == '{':
		c.Object(func([]byte) { c.value(depth + 1) })
	case next == '[':
		c.Array(func() { c.value(depth + 1) })
	case next == 't':
		c.word("true")
	case next == 'f':
		c.word("false")
	case next == 'n':
		c.word("null")
	default:
		c.number()
	}
}

func (c *Cursor) word(word string) {
	if !bytes.HasPrefix(c.text[c.at:], []byte(word)) {
		c.odd = true
		return
	}
	c.at += len(word)
}

// number goes over a number: an integer without zeros before it, then perhaps a
// fraction and an exponent.
func (c *Cursor) number() {
	c.sign("-")
	if zero := c.at; c.digits() > 1 && c.text[zero] == '0' {
		c.odd = true
	}
	if c.at < len(c.text) && c.text[c.at] == '.' {
		c.at++
		c.digits()
	}
	if c.at < len(c.text) && c.text[c.at]|0x20 == 'e' {
		c.at++
		c.sign("+-")
		c.digits()
	}
}

func (c *Cursor) sign(signs string) {
	if c.at < len(c.text) && bytes.IndexByte([]byte(signs), c.text[c.at]) >= 0 {
		c.at++
	}
}

// digits goes over digits and returns how many there are; none makes it balk.
func (c *Cursor) digits() int {
	from := c.at
	for c.at < len(c.text) && '0' <= c.text[c.at] && c.text[c.at] <= '9' {
		c.at++
	}
	c.odd = c.odd || c.at == from
	return c.at - from
}

// spelled goes over a string, with the cursor at its first quote, that has no control
// characters and no escapes but those that there are.
func (c *Cursor) spelled() {
	for i := c.at + 1; i < len(c.text); i++ {
		switch b := c.text[i]; {
		case b == '"':
			c.at = i + 1
			return
		case b < ' ':
			c.odd = true
			return
		case b == '\\':
			i++
			if i = c.escaped(i); i < 0 {
				c.odd = true
				return
			}
		}
	}
	c.odd = true
}

// escaped returns where the escape ends whose letter is at i; -1 if it is none.
func (c *Cursor) escaped(i int) int {
	if i >= len(c.text) {
		return -1
	}
	switch c.text[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		if i+4 >= len(c.text) {
			return -1
		}
		for _, digit := range c.text[i+1 : i+5] {
			if !('0' <= digit && digit <= '9' || 'a' <= digit|0x20 && digit|0x20 <= 'f') {
				return -1
			}
		}
		return i + 4
	}
	return -1
}
