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
	maxSpoken = 64 << 10 // bytes of a spoken text: an hour of speech
	maxDepth  = 512      // elements in each other that are told apart
)

// Spoken returns what Outlook shows of an HTML reply, as text fit to be spoken: no
// tags, entities decoded, one space wherever there was any. Style, script and hidden
// elements are dropped, and so are the signs of symbol fonts and the bullets of Word's
// lists, but not their numbers. Where one paragraph ends without punctuation and the
// next does not go on in lower case, the sentence ends there. Plain text passes through.
func Spoken(reply string) string {
	s := speech{hidden: hiddenClasses{}}
	z := html.NewTokenizer(strings.NewReader(reply))
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken: // the end: a strings.Reader has no other error
			return s.out.String()
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
				z.NextIsNotRawText() // or <title/> would have all tags after it spoken
			}
		case html.EndTagToken:
			s.end(z.Token())
		}
	}
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
	out    strings.Builder
	last   rune // last one written that is no combining mark
	joiner rune // zero-width, between last and the next one
	pause  pause
	open   []element // from the outermost to the innermost
	hidden hiddenClasses
}

// element is an open element: how the text in it is shown.
type element struct {
	tag     string
	hidden  bool // not at all
	symbols bool // in a font with pictures in place of letters
	marker  bool // as the bullet or number of an item of a Word list
}

// inner returns the innermost open element.
func (s *speech) inner() element {
	if len(s.open) == 0 {
		return element{}
	}
	return s.open[len(s.open)-1]
}

// begin opens an element, unless it has no content, and returns it.
func (s *speech) begin(token html.Token) element {
	if block[token.DataAtom] {
		s.close("p")
	}
	e := s.inner()
	e.tag = token.Data
	e.hidden = e.hidden || unspoken[token.DataAtom] || token.Data == "xml" || s.hidden.of(token) // xml has Office' settings
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

// read takes over what an attribute says of how the text is shown.
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

// symbolFont reports whether the first of some font families has pictures in place of
// letters: Word writes a smiley as J in Wingdings.
func symbolFont(families string) bool {
	first, _, _ := strings.Cut(families, ",")
	switch strings.ToLower(strings.Trim(first, ` "'`)) {
	case "symbol", "wingdings", "wingdings 2", "wingdings 3", "webdings", "marlett", "mt extra":
		return true
	}
	return false
}

// end ends an element.
func (s *speech) end(token html.Token) {
	hidden := s.inner().hidden
	s.close(token.Data)
	if !hidden && block[token.DataAtom] {
		s.pause = paragraph
	}
}

// close closes the innermost element with this tag and all within it. Within the cell
// of a table nothing outside it is closed but the table and its parts.
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

// say adds text, with the pause before its first letter.
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

// speakable reports whether a character is more than an instruction or a place for
// something else: a soft hyphen, a mark of direction, padding, a sign of a private font.
func speakable(r rune) bool {
	return r != utf8.RuneError && r != '\ufffc' &&
		!unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Other_Default_Ignorable_Code_Point)
}

// numbering reports whether the marker of a list's item is a number, such as 1. or b),
// and no bullet: Word has the letter o for one.
func numbering(marker string) bool {
	marker = strings.TrimSpace(marker)
	last, _ := utf8.DecodeLastRuneInString(marker)
	return strings.ContainsFunc(marker, unicode.IsNumber) ||
		strings.ContainsFunc(marker, unicode.IsLetter) && unicode.IsPunct(last)
}

func (s *speech) write(r rune) {
	if s.out.Len() > maxSpoken-len(". ")-2*utf8.UTFMax {
		return
	}
	switch {
	case s.last == 0:
	case s.pause == none:
		s.join(r)
	case s.pause == paragraph && !unicode.IsPunct(s.last) && begins(r):
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

// begins reports whether a sentence can begin with this character.
func begins(r rune) bool {
	return !unicode.IsLower(r) && !unicode.IsPunct(r) || unicode.In(r, unicode.Ps, unicode.Pi) || r == '¿' || r == '¡'
}

// join writes what joins the character before with r or keeps them apart, if speech
// can need it: in emoji and in scripts such as Persian's, where letters join without
// it. In Latin script it is typography.
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
	// unspoken elements have content that is not shown. The reading over a Japanese word
	// would repeat it.
	unspoken = setOf(atom.Script, atom.Style, atom.Title, atom.Template, atom.Noscript, atom.Iframe, atom.Object, atom.Rt, atom.Rp)
	// void elements have no content and no end tag.
	void = setOf(atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta,
		atom.Param, atom.Source, atom.Track, atom.Wbr)
	// block elements are paragraphs of their own.
	block = setOf(atom.Address, atom.Article, atom.Aside, atom.Blockquote, atom.Body, atom.Caption, atom.Center, atom.Dd, atom.Div,
		atom.Dl, atom.Dt, atom.Fieldset, atom.Figcaption, atom.Figure, atom.Footer, atom.Form, atom.H1, atom.H2, atom.H3,
		atom.H4, atom.H5, atom.H6, atom.Header, atom.Hr, atom.Html, atom.Legend, atom.Li, atom.Main, atom.Nav, atom.Ol,
		atom.P, atom.Pre, atom.Section, atom.Table, atom.Tbody, atom.Tfoot, atom.Thead, atom.Tr, atom.Ul)
)

// Shorten cuts text to at most limit characters: at the end of a sentence, else of a
// word, if that keeps half of them, else between two characters as a reader sees them.
// A limit of 0 is none.
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

// joined reports whether a reader sees next and the last of before as one: a letter and its
// marks, an emoji of several characters, a flag.
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
