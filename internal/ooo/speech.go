package ooo

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxSpoken bounds a spoken text, in bytes: an hour of speech.
const maxSpoken = 64 << 10

// Spoken returns the text of an HTML reply fit to be spoken: no tags, entities
// decoded, one space wherever there was any, style and script dropped. Where
// one paragraph ends without punctuation and the next does not go on in lower
// case, the sentence ends there. Plain text passes through.
func Spoken(reply string) string {
	var s speech
	z := html.NewTokenizer(strings.NewReader(reply))
	for s.out.Len() < maxSpoken {
		switch token := z.Next(); token {
		case html.ErrorToken: // the end: a strings.Reader has no other error
			return s.text()
		case html.TextToken:
			if s.dropped == 0 {
				s.say(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			empty := token == html.SelfClosingTagToken
			s.open(atom.Lookup(name), empty)
			if empty || s.dropped == 0 {
				z.NextIsNotRawText() // or <title/> would have all tags after it spoken
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			s.close(atom.Lookup(name))
		}
	}
	return s.text()
}

// pause is how far the text so far is from what comes next.
type pause int

const (
	none pause = iota
	space
	line      // one line break
	paragraph // the end of a block
)

// speech collects the spoken text.
type speech struct {
	out     strings.Builder
	last    rune // last one written
	pause   pause
	dropped int // open elements whose text is not spoken
}

func (s *speech) open(tag atom.Atom, selfClosing bool) {
	switch {
	case unspoken(tag):
		if !selfClosing {
			s.dropped++
		}
	case tag == atom.Br && s.pause >= line:
		s.pause = paragraph
	case tag == atom.Br:
		s.pause = line
	case block(tag):
		s.pause = paragraph
	case tag == atom.Td || tag == atom.Th:
		s.pause = max(s.pause, space)
	}
}

func (s *speech) close(tag atom.Atom) {
	switch {
	case unspoken(tag):
		s.dropped = max(0, s.dropped-1)
	case block(tag):
		s.pause = paragraph
	}
}

// say adds text, with the pause before its first letter.
func (s *speech) say(text string) {
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			s.pause = max(s.pause, space)
			continue
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200d', r == utf8.RuneError:
			continue // not spoken: soft hyphens, zero-width spaces, direction marks
		}
		if s.last != 0 {
			if s.pause == paragraph && (unicode.IsLetter(s.last) || unicode.IsNumber(s.last)) && !unicode.IsLower(r) && !unicode.IsPunct(r) {
				s.out.WriteByte('.')
			}
			if s.pause != none {
				s.out.WriteByte(' ')
			}
		}
		s.out.WriteRune(r)
		s.last, s.pause = r, none
	}
}

func (s *speech) text() string {
	text := s.out.String()
	if len(text) <= maxSpoken {
		return text
	}
	cut := maxSpoken
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strings.TrimSpace(text[:cut])
}

func unspoken(tag atom.Atom) bool {
	switch tag {
	case atom.Script, atom.Style, atom.Title, atom.Template, atom.Noscript, atom.Iframe, atom.Object:
		return true
	}
	return false
}

func block(tag atom.Atom) bool {
	switch tag {
	case atom.Address, atom.Article, atom.Blockquote, atom.Body, atom.Center, atom.Dd, atom.Div, atom.Dl, atom.Dt,
		atom.Footer, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Header, atom.Hr, atom.Html, atom.Li,
		atom.Main, atom.Nav, atom.Ol, atom.P, atom.Pre, atom.Section, atom.Table, atom.Tbody, atom.Tr, atom.Ul:
		return true
	}
	return false
}
