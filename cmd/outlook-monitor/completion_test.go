package main_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completes asks a real bash what it makes of a command line of ours, whose last
// word is unfinished.
func completes(t *testing.T, words ...string) []string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{"-euc", `
		source <("$0" completion bash)
		complete -p outlook-monitor >&2
		COMP_WORDS=("$0" "$@") COMP_CWORD=$#
		_outlook_monitor
		[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"`, path}, words...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("bash: %v", err)
	}
	return strings.Fields(string(out))
}

func TestBashCompletes(t *testing.T) {
	tests := map[string]struct {
		words []string
		want  []string // all of it
	}{
		"a command":                       {[]string{"us"}, []string{"users"}},
		"nothing hidden":                  {[]string{"com"}, []string{"completion"}},
		"a command's command":             {[]string{"users", "re"}, []string{"remove", "resend"}},
		"history":                         {[]string{"users", "hi"}, []string{"history"}},
		"a flag of history":               {[]string{"users", "history", "--li"}, []string{"--limit"}},
		"after a flag with a value":       {[]string{"users", "--server", "http://x", "sh"}, []string{"show"}},
		"after a flag with an =":          {[]string{"users", "--server", "=", "http://x", "sh"}, []string{"show"}},
		"after a switch":                  {[]string{"users", "--json", "sh"}, []string{"show"}},
		"a flag of the command":           {[]string{"demo", "--onc"}, []string{"--once"}},
		"a flag of the command above":     {[]string{"users", "list", "--js"}, []string{"--json"}},
		"a setting":                       {[]string{"serve", "--mediator-u"}, []string{"--mediator-url"}},
		"a setting without serve":         {[]string{"--mediator-u"}, []string{"--mediator-url"}},
		"a choice":                        {[]string{"completion", ""}, []string{"bash", "fish", "zsh"}},
		"a value is the shell's business": {[]string{"serve", "--tls-cert-file", ""}, nil},
		"an address is nobody's":          {[]string{"users", "show", "ann"}, nil},
		"what there is not":               {[]string{"nonsense"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := completes(t, tt.words...); !slices.Equal(got, tt.want) {
				t.Errorf("%q completes to %q, want %q", tt.words, got, tt.want)
			}
		})
	}
}

func TestBashCompletesEveryCommand(t *testing.T) {
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
		"bash": "complete -o default -F _outlook_monitor outlook-monitor",
		"zsh":  "#compdef outlook-monitor\n",
		"fish": "complete -c outlook-monitor",
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
