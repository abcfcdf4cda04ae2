package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

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
func openFile(path string) (*os.File, error) {
	stat, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, errUnreadable
	case stat.IsDir():
		return nil, errors.New("which is a directory: name the file in it")
	case !stat.Mode().IsRegular():
		return nil, errors.New("which is not a regular file: copy it to one")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errUnreadable
	}
	return f, nil
}

var errUnreadable = errors.New("which can't be read: check the path and its permissions")
