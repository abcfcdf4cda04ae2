package config

import (
	"slices"
	"strings"
)

// Mistakes are the mistakes in the settings. Each begins with the variable and says what to do.
type Mistakes []string

func (m Mistakes) Error() string { return strings.Join(m, "\n") }

// In returns the first of the variables, or of the files with their values, that has a mistake;
// empty: none.
func (m Mistakes) In(variables ...string) string {
	for _, variable := range variables {
		for _, name := range []string{variable, variable + fileSuffix} {
			if slices.ContainsFunc(m, func(mistake string) bool { return strings.HasPrefix(mistake, name+" ") }) {
				return name
			}
		}
	}
	return ""
}

// Has reports whether one of the variables, or a file with its value, has a mistake.
func (m Mistakes) Has(variables ...string) bool { return m.In(variables...) != "" }
