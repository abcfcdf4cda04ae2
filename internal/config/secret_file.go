package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// mostSecret is how long the file of a secret may be, in bytes. It keeps a wrong path from
// filling the memory.
const mostSecret = 16 << 10

// ReadSecret returns what a file holds, without a line break at its end. The error goes on
// after the path: it says what is wrong and what to do, and nothing of the content.
func ReadSecret(path string) (string, error) {
	stat, err := os.Stat(path)
	switch {
	case err != nil:
		return "", errUnreadable
	case stat.IsDir():
		return "", errors.New("which is a directory: name the file in it")
	case !stat.Mode().IsRegular():
		return "", errors.New("which is no regular file: write the secret into one")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", errUnreadable
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, mostSecret+1))
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case err != nil:
		return "", errUnreadable
	case len(content) > mostSecret:
		return "", fmt.Errorf("which is longer than %d KiB: name the file that holds the secret and nothing else", mostSecret>>10)
	case strings.TrimSpace(text) == "":
		return "", errors.New("which is empty: write the secret into it")
	}
	return text, nil
}

var errUnreadable = errors.New("which can't be read: check the path and its permissions")
