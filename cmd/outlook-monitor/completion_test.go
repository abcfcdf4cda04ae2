package main_test

import (
	"slices"
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	for name, tt := range map[string]struct {
		line string
		want []string // all completions
	}{
		"command, nothing hidden":   {"", []string{"completion", "demo", "doctor", "health", "serve", "users", "version"}},
		"subcommand":                {"users re", []string{"remove", "resend"}},
		"flag of a subcommand":      {"users history --li", []string{"--limit"}},
		"after a flag with a value": {"users --server http://x sh", []string{"show"}},
		"setting":                   {"serve --mediator-u", []string{"--mediator-url", "--mediator-url-file"}},
		"setting without serve":     {"--mediator-u", []string{"--mediator-url", "--mediator-url-file"}},
		"enum":                      {"completion ", []string{"bash", "fish", "zsh"}},

		"flag of the parent command": {"users list --js", []string{"--json"}},
		"value":                      {"serve --tls-cert-file ", nil},
		"address":                    {"users show ann", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tb := &testbed{t: t, env: map[string]string{"COMP_LINE": "outlook-monitor " + tt.line}} // as a shell sets it
			out, _ := tb.run(0, "")
			if got := slices.Sorted(slices.Values(strings.Fields(out))); !slices.Equal(got, tt.want) {
				t.Errorf("%q completes to %q, want %q", tt.line, got, tt.want)
			}
		})
	}
}

func TestCompletionScripts(t *testing.T) {
	tb := &testbed{t: t}
	for shell, want := range map[string]string{"bash": "complete -o default", "zsh": "bashcompinit", "fish": "complete -f -c outlook-monitor"} {
		if out, _ := tb.run(0, "", "completion", shell); !strings.Contains(out, want) {
			t.Errorf("completion %s = %s, want %q in it", shell, out, want)
		}
	}
	if _, stderr := tb.run(2, "", "completion", "tcsh"); !strings.Contains(stderr, `"bash"`) {
		t.Errorf("completion tcsh = %q, want the supported shells", stderr)
	}
}
