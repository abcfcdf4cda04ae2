package archtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// newDevSandbox returns a sandbox for scripts/dev. Its go command copies programs that
// only record how they were started; it fails while a file called broken exists.
func newDevSandbox(t *testing.T) sandbox {
	t.Helper()
	w := newSandbox(t, "scripts/dev")
	w.link(t, "touch", "mkdir", "mv", "cp", "mkfifo", "mktemp", "rm", "sleep", "find", "head", "sed", "od", "tr")
	w.write(t, "go.mod", "module x\n")
	w.write(t, "cmd/x.go", "package x\n")
	w.write(t, "internal/x.go", "package x\n")
	w.write(t, "tools/go", "#!/bin/sh\n[ ! -e broken ] || exit 1\nmkdir -p \"$3\"\ncp fake/* \"$3\"\n")
	w.write(t, "fake/graphsim", "#!/bin/sh\necho GRAPH_ENDPOINT=https://127.0.0.1:9\necho '# control API: http://127.0.0.1:8'\necho '# users: user0001'\n"+
		"echo graphsim $$ >>started\nexec sleep 1000\n")
	w.write(t, "fake/outlook-monitor", "#!/bin/sh\nenv >\"$1.env\"\necho \"$@\" >\"$1.args\"\necho \"$1 $$\" >>started\n[ ! -e crashed ] || exit 3\nexec sleep 1000\n")
	return w
}

// dev is a running scripts/dev.
type dev struct {
	sandbox
	t   *testing.T
	cmd *exec.Cmd
	out programtest.Output
}

func (w sandbox) dev(t *testing.T, env map[string]string, args ...string) *dev {
	t.Helper()
	d := &dev{sandbox: w, t: t, cmd: w.command(env, args...)}
	d.cmd.Stdout, d.cmd.Stderr, d.cmd.WaitDelay = &d.out, &d.out, 5*time.Second
	must.NoError(t, d.cmd.Start())
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			d.interrupt()
		}
	})
	return d
}

// interrupt sends SIGINT and waits for the exit.
func (d *dev) interrupt() {
	_ = d.cmd.Process.Signal(syscall.SIGINT)
	_ = d.cmd.Wait()
}

// started returns the ids of the processes started so far, by name and in order.
func (d *dev) started() map[string][]int {
	text, _ := os.ReadFile(filepath.Join(d.dir, "started")) // missing until the first start
	all := map[string][]int{}
	for line := range strings.Lines(string(text)) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(id); err == nil {
			all[name] = append(all[name], n)
		}
	}
	return all
}

// checkAllEnded checks that all started processes have ended.
func (d *dev) checkAllEnded() {
	d.t.Helper()
	for name, ids := range d.started() {
		if slices.ContainsFunc(ids, alive) {
			d.t.Errorf("%s is still running", name)
		}
	}
}

func alive(process int) bool { return syscall.Kill(process, 0) == nil }

func TestDevRestartsTheServiceWhenAFileChanges(t *testing.T) {
	w := newDevSandbox(t)
	d := w.dev(t, nil, "--poll-interval", "1s")
	await.True(t, "all three programs start", func() bool { return len(d.started()) == 3 })
	await.True(t, "the service records its settings", func() bool { return d.environment(t, "serve.env") != nil })
	env := d.environment(t, "serve.env")
	for name, want := range map[string]string{
		"GRAPH_ENDPOINT": "https://127.0.0.1:9", "LISTEN_ADDR": "127.0.0.1:8080", "PUBLIC_URL": "http://127.0.0.1:8080",
		"MEDIATOR_URL": "http://127.0.0.1:5000", "TUNNEL": "none",
	} {
		if env[name] != want {
			t.Errorf("%s = %q, want %q", name, env[name], want)
		}
	}
	if args := w.text(t, "serve.args"); args != "serve --poll-interval 1s" {
		t.Errorf("arguments of the service = %q, want serve --poll-interval 1s", args)
	}
	first := d.started()["serve"][0]

	w.write(t, "broken", "")
	w.write(t, "cmd/x.go", "package x // wrong\n")
	await.True(t, "the failed build is reported", func() bool { return strings.Contains(d.out.String(), "build failed") })
	if !alive(first) || len(d.started()["serve"]) != 1 {
		t.Error("the service was stopped by a failed build")
	}
	must.NoError(t, os.Remove(filepath.Join(w.dir, "broken")))
	w.write(t, "internal/x.go", "package x // right\n")
	await.True(t, "the service is restarted", func() bool { return len(d.started()["serve"]) == 2 })
	if got := d.started(); alive(first) || len(got["graphsim"]) != 1 || len(got["dev-mediator"]) != 1 {
		t.Errorf("started = %v, want only the service restarted", got)
	}

	w.write(t, "crashed", "")
	w.write(t, "internal/x.go", "package x // crashes\n")
	await.True(t, "the crash is reported", func() bool { return strings.Contains(d.out.String(), "exited with 3") })
	d.interrupt()
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code after Ctrl-C = %d, want 0: %s", code, d.out.String())
	}
	d.checkAllEnded()
}

// TestDevStopsOnCtrlC types it on a pseudo-terminal while the changed service is built.
func TestDevStopsOnCtrlC(t *testing.T) {
	w := newDevSandbox(t)
	d := &dev{sandbox: w, t: t, cmd: w.command(nil)}
	term := onTerminal(t, d.cmd)
	await.True(t, "all three programs start", func() bool { return len(d.started()) == 3 })
	w.write(t, "tools/go", "#!/bin/sh\necho \"go $$\" >>started\nexec sleep 1000\n")
	w.write(t, "cmd/x.go", "package x // changed\n")
	await.True(t, "the build starts", func() bool { return len(d.started()["go"]) == 1 })
	_, err := term.master.WriteString("\x03")
	must.NoError(t, err)
	if _ = d.cmd.Wait(); d.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("exit code = %d, want 0; terminal shows %q", d.cmd.ProcessState.ExitCode(), term.screen.String())
	}
	d.checkAllEnded()
}

func TestDevWithRealTenant(t *testing.T) {
	w := newDevSandbox(t)
	d := w.dev(t, map[string]string{"AZURE_TENANT_ID": "t", "PUBLIC_URL": "https://old.example", "MEDIATOR_URL": "http://m.example"}, "--tunnel", "agent", "--real")
	await.True(t, "the service starts", func() bool { return len(d.started()["serve"]) == 1 })
	env := d.environment(t, "serve.env")
	d.interrupt()
	if got := d.started(); len(got) != 1 {
		t.Errorf("started = %v, want only the service", got)
	}
	if _, ok := env["PUBLIC_URL"]; ok || env["TUNNEL"] != "agent" || env["MEDIATOR_URL"] != "http://m.example" || len(env["MONITOR_TOKEN"]) != 48 {
		t.Errorf("environment = %v, want the tunnel, no PUBLIC_URL, the mediator and a long token", env)
	}
}

func TestDevUsageErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"unknown tunnel":       {[]string{"--tunnel", "tailscale"}, "--tunnel is tailscale: write ngrok or agent"},
		"tunnel without value": {[]string{"--tunnel"}, "--tunnel needs ngrok or agent"},
		"no tenant":            {[]string{"--real"}, "AZURE_TENANT_ID"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevSandbox(t).dev(t, nil, tt.args...)
			_ = d.cmd.Wait()
			if code := d.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(d.out.String(), tt.want) || !strings.Contains(d.out.String(), "usage: scripts/dev [--real]") {
				t.Errorf("exit code = %d, output %q, want 2, %q and the usage", code, d.out.String(), tt.want)
			}
			if len(d.started()) > 0 {
				t.Errorf("started = %v, want nothing", d.started())
			}
		})
	}
}
