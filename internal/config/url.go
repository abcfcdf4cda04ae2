package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// URL is a URL that prints itself without passwords. The zero URL is not set.
type URL struct{ text Secret }

// NewURL returns text as a URL. Whether it is one is found out by Settings.
func NewURL(text string) URL { return URL{NewSecret(text)} }

// Reveal returns the text with everything in it.
func (u URL) Reveal() string { return u.text.Reveal() }

// IsZero says whether there is no URL.
func (u URL) IsZero() bool { return u.text.IsZero() }

// Parse returns the URL, with everything in it.
func (u URL) Parse() (*url.URL, error) {
	parsed, err := url.Parse(u.Reveal())
	if err != nil {
		return nil, errNoURL // the error of net/url repeats parts of the text
	}
	return parsed, nil
}

// String returns the URL without passwords, and without a user name that stands
// alone, because that is how some tokens are written. It returns a placeholder
// for a text in which a password may be anywhere.
func (u URL) String() string {
	if u.IsZero() {
		return ""
	}
	parsed, err := u.Parse()
	if err != nil || parsed.Hostname() == "" {
		return redacted
	}
	query, err := url.ParseQuery(parsed.RawQuery)
	if err != nil || torn(parsed) {
		return redacted
	}
	if _, both := parsed.User.Password(); parsed.User != nil && !both {
		parsed.User = url.User("xxxxx")
	}
	for name := range query {
		if sensitive(name) {
			query.Set(name, "xxxxx")
			parsed.RawQuery = query.Encode()
		}
	}
	return parsed.Redacted()
}

// torn says whether an @ stands where none belongs: a password with an unescaped
// slash, question mark or hash is cut there, and what follows looks like a path.
func torn(u *url.URL) bool {
	return strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@")
}

func sensitive(parameter string) bool {
	parameter = strings.ToLower(parameter)
	for _, word := range []string{"pass", "pwd", "secret", "token", "key", "sig"} {
		if strings.Contains(parameter, word) {
			return true
		}
	}
	return false
}

// GoString is String.
func (u URL) GoString() string { return u.String() }

// Format writes String, whatever the verb.
func (u URL) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, u.String()) }

// MarshalText returns String.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// LogValue returns String.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// UnmarshalText takes text as the URL.
func (u *URL) UnmarshalText(text []byte) error {
	*u = NewURL(string(text))
	return nil
}
