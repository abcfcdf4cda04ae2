package config

import (
	"slices"
	"strings"
)

// Mistakes are the mistakes in the settings. Its text has one line for each, which begins
// with the variable and says what to do.
type Mistakes []mistake

type mistake struct{ variable, text string }

func (m Mistakes) Error() string {
	lines := make([]string, 0, len(m))
	for _, each := range m {
		lines = append(lines, each.text)
	}
	return strings.Join(lines, "\n")
}

// Has reports whether one of the variables, or a file with its value, has a mistake.
func (m Mistakes) Has(variables ...string) bool {
	return slices.ContainsFunc(m, func(each mistake) bool {
		return slices.Contains(variables, each.variable) || slices.Contains(variables, strings.TrimSuffix(each.variable, fileSuffix))
	})
}
