package ooo

import (
	"strings"
	"unicode"
)

// Shorten cuts text to at most limit characters: at the end of the last sentence
// that fits if that keeps half of them, else at the end of a word. A limit of 0 is
// none.
func Shorten(text string, limit int) string {
	runes := []rune(text)
	if limit <= 0 || len(runes) <= limit {
		return text
	}
	word := 0
	for i := limit; i > 0; i-- {
		if !unicode.IsSpace(runes[i]) {
			continue
		}
		if word == 0 {
			word = i
		}
		if i > limit/2 && strings.ContainsRune(".!?…。！？", runes[i-1]) {
			return strings.TrimSpace(string(runes[:i]))
		}
	}
	if word == 0 {
		word = limit
	}
	return strings.TrimSpace(string(runes[:word]))
}
