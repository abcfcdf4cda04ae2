package webhook

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"outlook-monitor/internal/jsonwalk"
)

// decodePlain takes a collection apart that is as Graph sends it, without an
// allocation for each item: what is taken of the items is cut out of one copy of
// the whole. It returns false for anything else, which is for decodeAny or is no JSON.
func decodePlain(data []byte) (c collection, ok bool) {
	p := plain{cursor: jsonwalk.StrictlyOver(data), text: string(data)}
	p.cursor.Object(func(name []byte) {
		switch {
		case bytes.EqualFold(name, []byte("value")) && !p.seen && p.cursor.Next() == '[':
			p.seen = true
			p.cursor.Array(func() { p.item(&c) })
		case bytes.EqualFold(name, []byte("value")):
			p.cursor.Balk()
		case bytes.EqualFold(name, []byte("validationTokens")):
			c.tokens = tokensOf(anyOf(p.cursor.Value()))
		default:
			p.cursor.Value()
		}
	})
	return c, p.cursor.Ended() && p.seen
}

type plain struct {
	cursor *jsonwalk.Cursor
	text   string // of data
	seen   bool   // the items
}

// item takes one item.
func (p *plain) item(c *collection) {
	var it item
	if p.cursor.Next() != '{' {
		p.cursor.Value()
		c.add(it)
		return
	}
	p.cursor.Object(func(name []byte) {
		value := p.cursor.Value()
		switch {
		case bytes.EqualFold(name, []byte("id")):
			it.ID = p.string(value)
		case bytes.EqualFold(name, []byte("subscriptionId")):
			it.SubscriptionID = p.string(value)
		case bytes.EqualFold(name, []byte("clientState")):
			it.ClientState = p.string(value)
		case bytes.EqualFold(name, []byte("changeType")):
			it.ChangeType = p.string(value)
		case bytes.EqualFold(name, []byte("lifecycleEvent")):
			it.LifecycleEvent = p.string(value)
		case bytes.EqualFold(name, []byte("encryptedContent")):
			it.Sealed = sealedOf(anyOf(value))
		}
	})
	c.add(it)
}

// string returns the string that value, the last that the cursor went over, is;
// empty if it is something else.
func (p *plain) string(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	if bytes.IndexByte(value, '\\') >= 0 || !utf8.Valid(value) {
		p.cursor.Balk()
		return ""
	}
	end := p.cursor.At()
	return p.text[end-len(value)+1 : end-1]
}

// anyOf decodes a value of any kind; nil if it can't be.
func anyOf(value []byte) (decoded any) {
	if json.Unmarshal(value, &decoded) != nil {
		return nil
	}
	return decoded
}
