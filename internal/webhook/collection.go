package webhook

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

var errNoCollection = errors.New("the body is not a collection of notifications")

// maxItems is far more than Graph puts into one request.
const maxItems = 1000

// collection is what one request brings. Nothing of it is decoded yet, and its fields
// are parts of the body: what a stranger sends costs little more than its own size.
type collection struct {
	items   []item
	ignored int   // items that are no objects, or beyond maxItems
	tokens  field // the validation tokens
}

// item is a change notification, which has a changeType, or a lifecycle event.
type item struct {
	clientState, id, subscriptionID, changeType, lifecycleEvent, content field
}

// field is the JSON of a value inside a body; nil: there is none.
type field []byte

// maxText bounds encrypted data, which is the longest.
const maxText = maxData

// text returns a string of at most maxText bytes. Anything else is taken for an empty
// one: one odd field does not spoil an item.
func (f field) text() string {
	if len(f) == 0 || f[0] != '"' || len(f) > maxText {
		return ""
	}
	text, _ := jsontext.AppendUnquote(nil, f) // the error is of broken UTF-8, which it has replaced
	return string(text)
}

// decode takes a collection apart, going over the body once. It accepts what
// encoding/json accepts, and finds names in any letter case and the last of equal
// ones, as that does.
func decode(body []byte) (collection, error) {
	var c collection
	found := false
	w := walkOver(body)
	err := w.object(func(name []byte) (err error) {
		switch {
		case named(name, "value"):
			found = true
			return w.items(&c)
		case named(name, "validationTokens"):
			c.tokens, err = w.field()
			return err
		}
		return w.SkipValue()
	})
	if err == nil {
		_, err = w.ReadToken()
	}
	if !found || !errors.Is(err, io.EOF) {
		return collection{}, errNoCollection
	}
	return c, nil
}

// walk goes over JSON without decoding it.
type walk struct {
	*jsontext.Decoder
	text []byte
}

func walkOver(text []byte) walk {
	return walk{jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)), text}
}

func named(name []byte, want string) bool { return bytes.EqualFold(name, []byte(want)) }

// object goes over an object and calls member for each name, which has to go over the
// value.
func (w walk) object(member func(name []byte) error) error {
	if w.PeekKind() != '{' {
		return errNoCollection
	}
	_, err := w.ReadToken()
	for err == nil && w.PeekKind() != '}' {
		var quoted jsontext.Value
		if quoted, err = w.ReadValue(); err != nil {
			return err
		}
		name := quoted[1 : len(quoted)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name, _ = jsontext.AppendUnquote(nil, quoted)
		}
		err = member(name)
	}
	if err == nil {
		_, err = w.ReadToken()
	}
	return err
}

// array goes over an array and calls element for each value, which has to go over it.
func (w walk) array(element func() error) error {
	if w.PeekKind() != '[' {
		return errNoCollection
	}
	_, err := w.ReadToken()
	for err == nil && w.PeekKind() != ']' {
		err = element()
	}
	if err == nil {
		_, err = w.ReadToken()
	}
	return err
}

// field goes over a value.
func (w walk) field() (field, error) {
	value, err := w.ReadValue()
	end := w.InputOffset()
	return w.text[end-int64(len(value)) : end], err
}

// items goes over the items of a collection, or null.
func (w walk) items(c *collection) error {
	c.items, c.ignored = nil, 0
	if w.PeekKind() == 'n' {
		return w.SkipValue()
	}
	return w.array(func() error {
		if len(c.items) == maxItems || w.PeekKind() != '{' {
			c.ignored++
			return w.SkipValue()
		}
		c.items = append(c.items, item{})
		it := &c.items[len(c.items)-1]
		return w.fields(func(name []byte) *field {
			switch {
			case named(name, "clientState"):
				return &it.clientState
			case named(name, "id"):
				return &it.id
			case named(name, "subscriptionId"):
				return &it.subscriptionID
			case named(name, "changeType"):
				return &it.changeType
			case named(name, "lifecycleEvent"):
				return &it.lifecycleEvent
			case named(name, "encryptedContent"):
				return &it.content
			}
			return nil
		})
	})
}

// fields goes over an object and puts its values where place says; nil: it is not
// needed.
func (w walk) fields(place func(name []byte) *field) error {
	return w.object(func(name []byte) (err error) {
		to := place(name)
		if to == nil {
			return w.SkipValue()
		}
		*to, err = w.field()
		return err
	})
}

// tokensOf returns the tokens of a request, one more than are checked at most.
// Something else in their place counts as a token: a bad one.
func tokensOf(f field) []string {
	switch {
	case f == nil || f[0] == 'n':
		return nil
	case f[0] != '[':
		return []string{""}
	}
	var tokens []string
	w := walkOver(f)
	_ = w.array(func() error { // it is JSON
		token, err := w.field()
		if tokens = append(tokens, token.text()); len(tokens) > maxTokens {
			return io.EOF
		}
		return err
	})
	return tokens
}
