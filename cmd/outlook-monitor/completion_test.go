package main_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completes asks the program, as a shell does, what the last word of a command line may
// become.
func completes(t *testing.T, line string) []string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = []string{"COMP_LINE=outlook-monitor " + line}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("complete %q: %v", line, err)
	}
	return slices.Sorted(slices.Values(strings.Fields(string(out))))
}

func TestCommandLinesAreCompleted(t *testing.T) {
	tests := map[string]struct {
		line string
		want []string // all of it
	}{
		"a command":                       {"us", []string{"users"}},
		"nothing hidden":                  {"com", []string{"completion"}},
		"a command's command":             {"users re", []string{"remove", "resend"}},
		"history":                         {"users hi", []string{"history"}},
		"a flag of history":               {"users history --li", []string{"--limit"}},
		"after a flag with a value":       {"users --server http://x sh", []string{"show"}},
		"after a flag with an =":          {"users --server=http://x sh", []string{"show"}},
		"after a switch":                  {"users --json sh", []string{"show"}},
		"a flag of the command":           {"demo --onc", []string{"--once"}},
		"a flag of the command above":     {"users list --js", []string{"--json"}},
		"a setting":                       {"serve --mediator-u", []string{"--mediator-url"}},
		"a setting without serve":         {"--mediator-u", []string{"--mediator-url"}},
		"a choice":                        {"completion ", []string{"bash", "fish", "zsh"}},
		"a value is the shell's business": {"serve --tls-cert-file ", nil},
		"an address is nobody's":          {"users show ann", nil},
		"what there is not":               {"nonsense", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := completes(t, tt.line); !slices.Equal(got, tt.want) {
				t.Errorf("%q completes to %q, want %q", tt.line, got, tt.want)
			}
		})
	}
}

func TestEveryCommandIsCompleted(t *testing.T) {
	got := completes(t, "")
	for _, want := range []string{"serve", "demo", "users", "health", "version", "completion"} {
		if !slices.Contains(got, want) {
			t.Errorf("commands = %q, want %s among them", got, want)
		}
	}
}

func TestEachShellHasItsScript(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	for shell, want := range map[string]string{
		"bash": "complete -o default",
		"zsh":  "bashcompinit",
		"fish": "complete -f -c outlook-monitor",
	} {
		t.Run(shell, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), path, "completion", shell).Output()
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("completion %s = %s, %v, want %q in it", shell, out, err, want)
			}
		})
	}
	out, err := exec.CommandContext(t.Context(), path, "completion", "tcsh").CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 2 || !strings.Contains(string(out), `"bash"`) {
		t.Errorf("completion tcsh of %s = %s, %v, want exit 2 and the shells there are", filepath.Base(path), out, err)
	}
}
