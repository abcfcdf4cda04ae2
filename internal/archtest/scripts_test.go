package archtest_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
)

// sandbox is a directory with a script, a go command that builds nothing and a service
// that only records how it was started.
type sandbox struct {
	dir    string
	script string
	tools  string // PATH
}

// newSandbox returns a sandbox for a script, such as scripts/run.
func newSandbox(t *testing.T, script string) sandbox {
	t.Helper()
	dir := t.TempDir()
	w := sandbox{dir, filepath.Join(dir, script), filepath.Join(dir, "tools")}
	w.write(t, script, read(t, script))
	w.write(t, "tools/go", "#!/bin/sh\nenv >built.env\n")
	w.write(t, "bin/outlook-monitor", "#!/bin/sh\nenv >started.env\necho \"$@\" >started.args\n")
	w.link(t, "bash", "sh", "env", "dirname")
	return w
}

// link makes programs of the machine available.
func (w sandbox) link(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		path, err := exec.LookPath(tool)
		must.NoError(t, err)
		must.NoError(t, os.Symlink(path, filepath.Join(w.tools, tool)))
	}
}

// write writes an executable file, and creates its directory.
func (w sandbox) write(t *testing.T, file, text string) {
	t.Helper()
	file = filepath.Join(w.dir, file)
	must.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must.NoError(t, os.WriteFile(file, []byte(text), 0o755))
}

// text returns the contents of a file without surrounding white space.
func (w sandbox) text(t *testing.T, file string) string {
	t.Helper()
	return strings.TrimSpace(filetest.Read(t, w.dir, file))
}

// command returns the command that runs the script, whose environment holds only PATH and env.
func (w sandbox) command(env map[string]string, args ...string) *exec.Cmd {
	cmd := exec.Command(w.script, args...)
	cmd.Env = []string{"PATH=" + w.tools}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// environment parses a file that env wrote. It returns nil if the file does not exist.
func (w sandbox) environment(t *testing.T, file string) map[string]string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(w.dir, file)); os.IsNotExist(err) {
		return nil
	}
	env := map[string]string{}
	for line := range strings.Lines(w.text(t, file)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	for _, name := range []string{"PATH", "PWD", "OLDPWD", "SHLVL", "_"} {
		delete(env, name)
	}
	return env
}

func TestRunWithoutTerminal(t *testing.T) {
	given := map[string]string{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s", "MEDIATOR_URL": "http://m"}
	with := func(more map[string]string) map[string]string {
		all := maps.Clone(given)
		maps.Copy(all, more)
		return all
	}
	for name, tt := range map[string]struct {
		env     map[string]string
		missing string            // part of the error; "": the service starts
		want    map[string]string // the service's environment
	}{
		"no settings": {nil, "AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_CLIENT_SECRET MEDIATOR_URL,", nil},
		"required settings": {given, "",
			with(map[string]string{"PUBLIC_URL": "", "REDIS_URL": "", "LISTEN_ADDR": "127.0.0.1:8080"})},
		"legacy names": {
			map[string]string{"TENANT": "t", "CLIENT_ID": "c", "CLIENT_SECRET": "s", "MEDIATOR_IP": "10.0.0.5", "MEDIATOR_PORT": "5000", "LISTEN_ADDR": "[::1]:1"}, "",
			map[string]string{"TENANT": "t", "CLIENT_ID": "c", "CLIENT_SECRET": "s", "MEDIATOR_IP": "10.0.0.5", "MEDIATOR_PORT": "5000", "LISTEN_ADDR": "[::1]:1", "PUBLIC_URL": "", "REDIS_URL": ""}},
		"certificate instead of secret": {
			map[string]string{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_CERTIFICATE_PATH": "f"}, "MEDIATOR_URL,", nil},
		"LISTEN_ADDR on all addresses, no token":   {with(map[string]string{"LISTEN_ADDR": ":8080"}), "MONITOR_TOKEN,", nil},
		"PORT set by the platform, no token":       {with(map[string]string{"PORT": "5000"}), "MONITOR_TOKEN,", nil},
		"private routes on loopback need no token": {with(map[string]string{"PORT": "5000", "PRIVATE_ADDR": "127.0.0.1:1"}), "", with(map[string]string{"PORT": "5000", "PRIVATE_ADDR": "127.0.0.1:1", "PUBLIC_URL": "", "REDIS_URL": ""})},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSandbox(t, "scripts/run")
			cmd := w.command(tt.env, "--log-level", "debug")
			output, err := cmd.CombinedOutput()
			wantCode := 0
			if tt.missing != "" {
				wantCode = 2
			}
			if got := cmd.ProcessState.ExitCode(); got != wantCode || !strings.Contains(string(output), tt.missing) {
				t.Fatalf("exit code = %d (%v), output %q, want %d and %q", got, err, output, wantCode, tt.missing)
			}
			if got := w.environment(t, "started.env"); !maps.Equal(got, tt.want) {
				t.Errorf("environment = %q, want %q", got, tt.want)
			}
			if tt.missing != "" {
				return
			}
			if got, want := w.text(t, "started.args"), "serve --log-level debug"; got != want {
				t.Errorf("arguments = %q, want %q", got, want)
			}
		})
	}
}

func TestRunPromptsForMissingSettings(t *testing.T) {
	w := newSandbox(t, "scripts/run")
	cmd := w.command(map[string]string{"AZURE_TENANT_ID": "given"})
	term := onTerminal(t, cmd)
	term.answer("Application (client) id: ", "client", true)
	term.answer("Client secret: ", "very-secret", false)
	term.answer("Mediator (base URL, or its IP address): ", "10.0.0.5", true)
	term.answer("Mediator port: ", "5000", true)
	term.answer("Public https URL", "", true)
	term.answer("Redis URL", "redis://redis:6379", true)
	term.answer("[127.0.0.1:8080]: ", ":8080", true)
	term.answer("Token that the mediator must send", "token-secret", false)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v, terminal shows %q", err, term.screen.String())
	}
	want := map[string]string{
		"AZURE_TENANT_ID": "given", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "very-secret",
		"MEDIATOR_URL": "http://10.0.0.5:5000", "PUBLIC_URL": "", "REDIS_URL": "redis://redis:6379",
		"LISTEN_ADDR": ":8080", "MONITOR_TOKEN": "token-secret",
	}
	if got := w.environment(t, "started.env"); !maps.Equal(got, want) {
		t.Errorf("environment = %q, want %q", got, want)
	}
	if got, want := w.environment(t, "built.env"), map[string]string{"AZURE_TENANT_ID": "given"}; !maps.Equal(got, want) {
		t.Errorf("environment of the build = %q, want %q", got, want)
	}
	if strings.Contains(term.screen.String(), "-secret") {
		t.Errorf("terminal shows %q, want no secret", term.screen.String())
	}
	files, err := exec.Command("grep", "-rl", "-e", "-secret", w.dir).Output()
	if want := filepath.Join(w.dir, "started.env") + "\n"; err != nil || string(files) != want {
		t.Errorf("files with a secret = %q (%v), want only the service's own %q", files, err, want)
	}
}

func TestRunExitsAtEndOfInput(t *testing.T) {
	w := newSandbox(t, "scripts/run")
	cmd := w.command(nil)
	term := onTerminal(t, cmd)
	term.answer("Directory (tenant) id: ", "tenant", true)
	term.answer("Application (client) id: ", "\x04", true) // end of input
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("exit code = %d, want 2; terminal shows %q", cmd.ProcessState.ExitCode(), term.screen.String())
	}
	if w.environment(t, "started.env") != nil {
		t.Error("the service was started without its settings")
	}
}

// TestHerokuStart runs deploy/heroku/start up to the exec of the service.
func TestHerokuStart(t *testing.T) {
	const last = "exec /outlook-monitor serve"
	script, ok := strings.CutSuffix(strings.TrimSpace(read(t, "deploy/heroku/start")), last)
	if !ok {
		t.Fatalf("the script does not end with %q", last)
	}
	for name, tt := range map[string]struct{ given, want string }{
		"Heroku's URL":         {"rediss://:pw@host:6380", "rediss://:pw@host:6380?skip_verify=true"},
		"explicit skip_verify": {"rediss://host:6380?skip_verify=false", "rediss://host:6380?skip_verify=false"},
		"without TLS":          {"redis://host:6379", "redis://host:6379"},
		"not set":              {"", ""},
	} {
		cmd := exec.Command("sh", "-euc", script+`printf %s "$REDIS_URL"`)
		cmd.Env = []string{"REDIS_URL=" + tt.given}
		got, err := cmd.Output()
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: REDIS_URL = %q (%v), want %q", name, got, err, tt.want)
		}
	}
}
