package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

const redacted = "[redacted]"

// Secret is a text that fmt, JSON and logs can't print, alone or inside a struct. They print
// a placeholder instead, or the URL without passwords if it is a URL. The zero Secret is not
// set and prints nothing.
type Secret struct {
	// A pointer, because fmt calls no methods on the unexported fields of another struct:
	// it would print a string, but prints only the address of a pointer.
	text  *string
	shown string // what is printed
}

// NewSecret returns text as a secret. It returns the zero Secret if text is empty.
func NewSecret(text string) Secret { return newSecret(text, redacted) }

// NewURL returns text as a secret that is printed as a URL without passwords.
func NewURL(text string) Secret { return newSecret(text, withoutPasswords(text)) }

func newSecret(text, shown string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text, shown}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether the secret is not set.
func (s Secret) IsZero() bool { return s.text == nil }

// URL returns the text as a URL, passwords included: an empty one if it can't be parsed.
func (s Secret) URL() *url.URL {
	u, _ := url.Parse(s.Reveal())
	return cmp.Or(u, new(url.URL))
}

// String returns the placeholder or the URL without passwords.
func (s Secret) String() string { return s.shown }

// Format writes String for every verb.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.shown) }

// MarshalText returns String, for JSON and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.shown), nil }

// Decode implements [kong.MapperValue]. Its error, unlike kong's own, does not quote what
// follows the flag, which may be the secret.
func (s *Secret) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	if !token.IsValue() {
		return errors.New("has no value: write it after an equals sign")
	}
	*s = NewSecret(token.String())
	return nil
}

// withoutPasswords returns a URL without its passwords, and without a user name that has no
// password, because it may be a token. It returns the placeholder if a password could be
// anywhere in the text.
func withoutPasswords(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return redacted
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || hasStrayAt(u) {
		return redacted
	}
	if _, hasPassword := u.User.Password(); u.User != nil && !hasPassword {
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

// hasStrayAt reports whether an @ follows the host. An unescaped slash, question mark or hash
// ends a password, and the rest of it, with the @, is parsed as path, query or fragment.
func hasStrayAt(u *url.URL) bool {
	return strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@")
}

// sensitive matches the names of query parameters with passwords or tokens.
var sensitive = regexp.MustCompile(`(?i)pass|pwd|secret|token|key|sig`)

// maxSecretSize bounds the memory that a wrong path can cost.
const maxSecretSize = 16 << 10

// ReadSecret returns the content of a file without its final newline. The text of an error
// continues a sentence that ends with the path; it contains nothing of the content.
func ReadSecret(path string) (string, error) {
	f, err := openFile(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSecretSize+1))
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case err != nil:
		return "", errUnreadable
	case len(content) > maxSecretSize:
		return "", fmt.Errorf("which is longer than %d KiB: name a file that contains only the secret", maxSecretSize>>10)
	case strings.TrimSpace(text) == "":
		return "", errors.New("which is empty: write the secret to it")
	}
	return text, nil
}

// openFile opens a regular file: others, such as a named pipe, may block. Errors are as those
// of [ReadSecret].
func openFile(path string) (f *os.File, err error) {
	stat, err := os.Stat(path)
	switch {
	case err == nil && stat.IsDir():
		return nil, errors.New("which is a directory: name the file in it")
	case err == nil && !stat.Mode().IsRegular():
		return nil, errors.New("which is not a regular file: copy it to one")
	case err == nil:
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, errUnreadable
	}
	return f, nil
}

var errUnreadable = errors.New("which can't be read: check the path and its permissions")
