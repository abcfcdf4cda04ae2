package main_test

import (
	"slices"
	"strings"
	"testing"
)

func TestCommandLinesAreCompleted(t *testing.T) {
	tests := map[string]struct {
		line string
		want []string // all of it
	}{
		"a command, nothing hidden": {"", []string{"completion", "demo", "doctor", "health", "serve", "users", "version"}},
		"a command's command":       {"users re", []string{"remove", "resend"}},
		"a flag of history":         {"users history --li", []string{"--limit"}},
		"after a flag with a value": {"users --server http://x sh", []string{"show"}},
		"after a flag with an =":    {"users --server=http://x sh", []string{"show"}},
		"after a switch":            {"users --json sh", []string{"show"}},
		"a setting":                 {"serve --mediator-u", []string{"--mediator-url", "--mediator-url-file"}},
		"a setting without serve":   {"--mediator-u", []string{"--mediator-url", "--mediator-url-file"}},
		"a choice":                  {"completion ", []string{"bash", "fish", "zsh"}},
		"what there is not":         {"nonsense", nil},

		"a flag of the command above":     {"users list --js", []string{"--json"}},
		"a value is the shell's business": {"serve --tls-cert-file ", nil},
		"an address is nobody's":          {"users show ann", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := &surroundings{t: t, env: map[string]string{"COMP_LINE": "outlook-monitor " + tt.line}} // as a shell asks
			out, _ := w.run(0, "")
			if got := slices.Sorted(slices.Values(strings.Fields(out))); !slices.Equal(got, tt.want) {
				t.Errorf("%q completes to %q, want %q", tt.line, got, tt.want)
			}
		})
	}
}

func TestEachShellHasItsScript(t *testing.T) {
	w := &surroundings{t: t}
	for shell, want := range map[string]string{"bash": "complete -o default", "zsh": "bashcompinit", "fish": "complete -f -c outlook-monitor"} {
		if out, _ := w.run(0, "", "completion", shell); !strings.Contains(out, want) {
			t.Errorf("completion %s = %s, want %q in it", shell, out, want)
		}
	}
	if _, said := w.run(2, "", "completion", "tcsh"); !strings.Contains(said, `"bash"`) {
		t.Errorf("completion tcsh says %q, want the shells there are", said)
	}
}
