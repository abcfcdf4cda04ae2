package ooo

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	maxSpoken = 1 << 20 // bytes of spoken text
	maxDepth  = 512     // deeper elements are treated as their ancestor at this depth
)

// Spoken returns the visible text of an HTML reply, as text to be spoken: without tags, with
// entities decoded and white space collapsed. It drops style, script and hidden elements,
// characters in symbol fonts, and the bullets of Word's lists, but not their numbers. It
// ends the sentence where a paragraph ends without punctuation and the next one does not
// start in lower case. Plain text passes through. A text without a letter, number or symbol, such
// as a lone period, is nothing to speak: Spoken returns "".
func Spoken(reply string) string {
	s := speech{hidden: hiddenClasses{}}
	z := html.NewTokenizer(strings.NewReader(reply))
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken: // EOF: a strings.Reader returns no other error
			text := s.out.String()
			if !strings.ContainsFunc(text, audible) {
				return ""
			}
			return text
		case html.TextToken:
			if text := string(z.Text()); s.inner().tag == "style" {
				s.hidden.read(text)
			} else {
				s.say(text)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			e := s.begin(token)
			if kind == html.SelfClosingTagToken || !e.hidden {
				z.NextIsNotRawText() // or all tags after <title/> would be spoken
			}
		case html.EndTagToken:
			s.end(z.Token())
		}
	}
}

// audible reports whether r is spoken, unlike punctuation and marks.
func audible(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r) }

// pause is what separates the text so far from the next character.
type pause int

const (
	none pause = iota
	space
	line      // one line break
	paragraph // the end of a block
)

// speech collects the spoken text.
type speech struct {
	out    strings.Builder
	last   rune // last character written, except combining marks
	joiner rune // zero-width joiner or non-joiner after last; 0: none
	pause  pause
	open   []element // from the outermost to the innermost
	hidden hiddenClasses
}

// element is an open element, and how its text is displayed.
type element struct {
	tag     string
	hidden  bool
	symbols bool // in a symbol font, see [symbolFont]
	marker  bool // the bullet or number of an item in a Word list
}

// inner returns the innermost open element.
func (s *speech) inner() element {
	if len(s.open) == 0 {
		return element{}
	}
	return s.open[len(s.open)-1]
}

// begin processes a start or self-closing tag and returns its element, which it opens if it
// can have content.
func (s *speech) begin(token html.Token) element {
	if block[token.DataAtom] {
		s.close("p")
	}
	e := s.inner()
	e.tag = token.Data
	e.hidden = e.hidden || unspoken[token.DataAtom] || token.Data == "xml" || s.hidden.of(token) // Office keeps settings in xml
	for _, a := range token.Attr {
		e.read(a)
	}
	if token.Type == html.StartTagToken && !void[token.DataAtom] && len(s.open) < maxDepth {
		s.open = append(s.open, e)
	}
	switch tag := token.DataAtom; {
	case e.hidden:
	case block[tag], tag == atom.Br && s.pause >= line:
		s.pause = paragraph
	case tag == atom.Br:
		s.pause = line
	case tag == atom.Td || tag == atom.Th:
		s.pause = max(s.pause, space)
	}
	return e
}

// read applies the attribute to e.
func (e *element) read(a html.Attribute) {
	switch a.Key {
	case "hidden":
		e.hidden = true
	case "face":
		e.symbols = symbolFont(a.Val)
	case "style":
		for property, value := range declarations(a.Val) {
			switch {
			case hides(property, value):
				e.hidden = true
			case property == "mso-list" && value == "ignore":
				e.marker = true
			case property == "mso-char-type" && value == "symbol":
				e.symbols = true
			case property == "font-family":
				e.symbols = symbolFont(value)
			}
		}
	}
}

// symbolFont reports whether the first of the font families has pictures in place of
// letters: Word writes a smiley as J in Wingdings.
func symbolFont(families string) bool {
	first, _, _ := strings.Cut(families, ",")
	switch strings.ToLower(strings.Trim(first, ` "'`)) {
	case "symbol", "wingdings", "wingdings 2", "wingdings 3", "webdings", "marlett", "mt extra":
		return true
	}
	return false
}

// end processes an end tag.
func (s *speech) end(token html.Token) {
	hidden := s.inner().hidden
	s.close(token.Data)
	if !hidden && block[token.DataAtom] {
		s.pause = paragraph
	}
}

// close closes the innermost open element with this tag, and the elements in it. A tag in
// a table cell closes nothing outside the cell, except the table and its parts.
func (s *speech) close(tag string) {
	for i, e := range slices.Backward(s.open) {
		if e.tag == tag {
			s.open = s.open[:i]
			return
		}
		if e.tag == "td" || e.tag == "th" {
			switch tag {
			case "tr", "tbody", "thead", "tfoot", "table", "body", "html":
			default:
				return
			}
		}
	}
}

const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// say adds text.
func (s *speech) say(text string) {
	in := s.inner()
	if in.hidden {
		return
	}
	if in.marker && !numbering(text) {
		text = " "
	}
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			s.pause = max(s.pause, space)
		case r == zeroWidthNonJoiner, r == zeroWidthJoiner:
			s.joiner = r
		case in.symbols && r <= unicode.MaxLatin1, !speakable(r):
		default:
			s.write(r)
		}
	}
}

// speakable reports whether r can be spoken: it is no control or formatting character,
// such as a soft hyphen or a direction mark, no placeholder and not for private use.
func speakable(r rune) bool {
	return r != utf8.RuneError && r != '\ufffc' &&
		!unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Other_Default_Ignorable_Code_Point)
}

// numbering reports whether a list marker is a number, such as "1." or "b)", and not a
// bullet: Word uses the letter o as one.
func numbering(marker string) bool {
	marker = strings.TrimSpace(marker)
	last, _ := utf8.DecodeLastRuneInString(marker)
	return strings.ContainsFunc(marker, unicode.IsNumber) ||
		strings.ContainsFunc(marker, unicode.IsLetter) && unicode.IsPunct(last)
}

// write adds a character after the pause before it.
func (s *speech) write(r rune) {
	if s.out.Len() > maxSpoken-len(". ")-2*utf8.UTFMax {
		return
	}
	switch {
	case s.last == 0:
	case s.pause == none:
		s.join(r)
	case s.pause == paragraph && !unicode.IsPunct(s.last) && startsSentence(r):
		s.out.WriteString(". ")
	default:
		s.out.WriteByte(' ')
	}
	s.out.WriteRune(r)
	if !unicode.IsMark(r) || s.last == 0 {
		s.last = r
	}
	s.joiner, s.pause = 0, none
}

// startsSentence reports whether a sentence can start with r.
func startsSentence(r rune) bool {
	return !unicode.IsLower(r) && !unicode.IsPunct(r) || unicode.In(r, unicode.Ps, unicode.Pi) || r == '¿' || r == '¡'
}

// join writes the pending joiner or non-joiner between the last character and r if it
// matters to speech: in emoji, and in scripts such as Persian, where letters join by
// default. In Latin script it is only typography.
func (s *speech) join(r rune) {
	letters := unicode.IsLetter(s.last) && unicode.IsLetter(r)
	switch {
	case s.joiner == zeroWidthJoiner && !unicode.IsPunct(s.last) && !unicode.IsPunct(r),
		s.joiner == zeroWidthNonJoiner && letters && !unicode.Is(unicode.Latin, r):
		s.out.WriteRune(s.joiner)
	}
}

func setOf(tags ...atom.Atom) map[atom.Atom]bool {
	set := map[atom.Atom]bool{}
	for _, tag := range tags {
		set[tag] = true
	}
	return set
}

var (
	// unspoken elements have content that is not displayed. Rt and Rp, the reading above a
	// Japanese word, would repeat the word.
	unspoken = setOf(atom.Script, atom.Style, atom.Title, atom.Template, atom.Noscript, atom.Iframe, atom.Object, atom.Rt, atom.Rp)
	// void elements have no content and no end tag.
	void = setOf(atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta,
		atom.Param, atom.Source, atom.Track, atom.Wbr)
	// block elements start and end a paragraph.
	block = setOf(atom.Address, atom.Article, atom.Aside, atom.Blockquote, atom.Body, atom.Caption, atom.Center, atom.Dd, atom.Div,
		atom.Dl, atom.Dt, atom.Fieldset, atom.Figcaption, atom.Figure, atom.Footer, atom.Form, atom.H1, atom.H2, atom.H3,
		atom.H4, atom.H5, atom.H6, atom.Header, atom.Hr, atom.Html, atom.Legend, atom.Li, atom.Main, atom.Nav, atom.Ol,
		atom.P, atom.Pre, atom.Section, atom.Table, atom.Tbody, atom.Tfoot, atom.Thead, atom.Tr, atom.Ul)
)

// Shorten cuts text to at most limit characters: after a sentence, else after a word, if
// either keeps at least half of the limit, and else between two user-perceived characters.
// A limit of 0 means no limit.
func Shorten(text string, limit int) string {
	runes := []rune(text)
	if limit <= 0 || len(runes) <= limit {
		return text
	}
	cut := 0
	for i := limit; i > 0 && i >= limit/2; i-- {
		between := unicode.IsSpace(runes[i])
		if strings.ContainsRune("。！？", runes[i-1]) || between && strings.ContainsRune(".!?…؟۔।", runes[i-1]) {
			cut = i
			break
		}
		if between && cut == 0 {
			cut = i
		}
	}
	if cut == 0 {
		for cut = limit; cut > 1 && joined(runes[:cut], runes[cut]); cut-- {
		}
	}
	return strings.TrimSpace(string(runes[:cut]))
}

// joined reports whether next continues the last user-perceived character of before: a
// letter with its marks, a composite emoji, a flag.
func joined(before []rune, next rune) bool {
	if unicode.Is(unicode.Regional_Indicator, next) { // two are a flag
		first := len(before)
		for first > 0 && unicode.Is(unicode.Regional_Indicator, before[first-1]) {
			first--
		}
		return (len(before)-first)%2 == 1
	}
	skinTone := next >= 0x1f3fb && next <= 0x1f3ff
	return unicode.IsMark(next) || skinTone || next == zeroWidthJoiner || before[len(before)-1] == zeroWidthJoiner
}
