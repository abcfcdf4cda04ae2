package config

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// Secret is a text that can't print itself: not with fmt, whatever the verb, not in
// JSON, not in a log, alone or inside a struct. Instead it prints a placeholder, or if
// it is a URL, that without its passwords. The zero Secret is not set and prints nothing.
type Secret struct {
	// A pointer, because fmt prints what is in another struct's unexported field
	// without asking for methods; of a pointer it prints the address.
	text  *string
	shown string // what is printed
}

// NewSecret returns text as a secret; an empty text is no secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text, redacted}
}

// NewURL returns text as a secret that prints all of the URL that it is but passwords.
func NewURL(text string) Secret {
	s := NewSecret(text)
	if text != "" {
		s.shown = withoutPasswords(text)
	}
	return s
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == nil }

// Parse returns the text as a URL, with everything in it.
func (s Secret) Parse() (*url.URL, error) {
	u, err := url.Parse(s.Reveal())
	if err != nil {
		return nil, errors.New("not a URL") // the error of net/url repeats parts of the text
	}
	return u, nil
}

// String returns what may be seen.
func (s Secret) String() string { return s.shown }

// Format writes String, whatever the verb.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.shown) }

// MarshalText returns String. JSON and slog use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.shown), nil }

// UnmarshalText takes text as the secret.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// withoutPasswords returns a URL without its passwords, and without a user name that
// stands alone, because that is how some tokens are written. It returns a placeholder
// for a text in which a password may be anywhere.
func withoutPasswords(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return redacted
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || torn(u) {
		return redacted
	}
	if _, both := u.User.Password(); u.User != nil && !both {
		u.User = url.User("xxxxx")
	}
	for name := range query {
		if sensitive.MatchString(name) {
			query.Set(name, "xxxxx")
			u.RawQuery = query.Encode()
		}
	}
	return u.Redacted()
}

// torn reports whether an @ stands where none belongs: a password with an unescaped
// slash, question mark or hash is cut there, and what follows looks like a path.
func torn(u *url.URL) bool {
	return strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@")
}

// sensitive finds parameters that are passwords or tokens.
var sensitive = regexp.MustCompile(`(?i)pass|pwd|secret|token|key|sig`)
