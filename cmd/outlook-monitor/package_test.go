package main_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/redistest"
)

// packages builds the packages for this machine's architecture once, from the program that the
// tests build, in a directory next to it.
var packages = sync.OnceValues(func() (dist string, err error) {
	path, err := binary()
	if err != nil {
		return "", err
	}
	dist = filepath.Join(filepath.Dir(path), "dist")
	return dist, buildPackages(path, dist)
})

// buildPackages runs scripts/package for a built program.
func buildPackages(program, dist string) error {
	cmd := exec.Command("../../scripts/package", runtime.GOARCH)
	cmd.Env = append(os.Environ(), "DIST="+dist, "PROGRAM="+program, "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/package: %w: %s", err, out)
	}
	return nil
}

// install unpacks the .deb into a temporary root.
func install(t *testing.T) string {
	t.Helper()
	dist, err := packages()
	must.NoError(t, err)
	found, err := filepath.Glob(filepath.Join(dist, "*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages = %q, %v, want one .deb", found, err)
	}
	if got := output(t, "dpkg-deb", "--info", found[0], "conffiles"); strings.TrimSpace(got) != "/etc/outlook-monitor/outlook-monitor.env" {
		t.Errorf("conffiles = %q, want the settings, so that an upgrade keeps them", got)
	}
	root := t.TempDir()
	output(t, "dpkg-deb", "--extract", found[0], root)
	return root
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// assignments returns the values of all lines name=value.
func assignments(text, name string) (values []string) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

const unitFile = "/usr/lib/systemd/system/outlook-monitor.service"

func TestPackagesAreReproducible(t *testing.T) {
	dist, err := packages()
	must.NoError(t, err)
	program, _ := binary()
	again := filepath.Join(t.TempDir(), "dist")
	must.NoError(t, buildPackages(program, again))
	sums := filetest.Read(t, dist, "SHA256SUMS")
	if got := filetest.Read(t, again, "SHA256SUMS"); got != sums {
		t.Errorf("SHA256SUMS = %s, want those of the first build:\n%s", got, sums)
	}
	for _, suffix := range []string{".deb", ".rpm", ".tar.gz"} {
		if n := strings.Count(sums, suffix+"\n"); n != 1 {
			t.Errorf("SHA256SUMS has %d files with the suffix %s, want 1:\n%s", n, suffix, sums)
		}
	}
}

func TestPackageContents(t *testing.T) {
	root := install(t)
	for path, mode := range map[string]fs.FileMode{
		"/usr/bin/outlook-monitor": 0o755,
		unitFile:                   0o644,
		"/etc/outlook-monitor/outlook-monitor.env":                  0o600,
		"/etc/outlook-monitor/secrets":                              0o700,
		"/usr/share/man/man1/outlook-monitor.1.gz":                  0o644,
		"/usr/share/bash-completion/completions/outlook-monitor":    0o644,
		"/usr/share/fish/vendor_completions.d/outlook-monitor.fish": 0o644,
		"/usr/share/zsh/vendor-completions/_outlook-monitor":        0o644,
	} {
		info, err := os.Stat(root + path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s = %v, %v, want mode %o", path, info, err, mode)
		}
		if strings.Contains(path, "completion") && !strings.Contains(filetest.Read(t, root, path), "/usr/bin/outlook-monitor") {
			t.Errorf("%s does not run the installed program:\n%s", path, filetest.Read(t, root, path))
		}
	}
	manual := output(t, "gzip", "-dc", root+"/usr/share/man/man1/outlook-monitor.1.gz")
	for _, row := range config.Table() {
		if !strings.Contains(manual, strings.ReplaceAll(row.Flag, "-", `\-`)) {
			t.Errorf("the man page lacks %s", row.Flag)
		}
	}
}

// TestUnitIsSandboxed uses systemd-analyze where it is installed.
func TestUnitIsSandboxed(t *testing.T) {
	root := install(t)
	unit := filepath.Join(t.TempDir(), "outlook-monitor.service")
	text := strings.ReplaceAll(filetest.Read(t, root, unitFile), "=/usr/bin/", "="+root+"/usr/bin/")
	filetest.Write(t, unit, text)
	for _, want := range []string{"DynamicUser=yes", "Type=notify", "WatchdogSec=", "Restart=", "LoadCredential="} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("no systemd-analyze: syntax and exposure of the unit are not checked")
		return
	}
	const maxExposure = "20" // tenths
	output(t, "systemd-analyze", "security", "--offline=true", "--threshold="+maxExposure, unit)
	if warnings := output(t, "systemd-analyze", "verify", "--man=no", unit); warnings != "" {
		t.Errorf("systemd-analyze verify = %s", warnings)
	}
}

// listenAsSystemd opens the socket on which a service notifies systemd. The returned function
// waits for a state, and skips others.
func listenAsSystemd(t *testing.T, path string) (expect func(state string)) {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must.NoError(t, err)
	t.Cleanup(func() { socket.Close() })
	return func(state string) {
		t.Helper()
		must.NoError(t, socket.SetReadDeadline(time.Now().Add(await.Timeout)))
		for buffer, received := make([]byte, 1024), ""; received != state; {
			length, err := socket.Read(buffer)
			if err != nil {
				t.Fatalf("systemd received no %s: %v", state, err)
			}
			received = string(buffer[:length])
		}
	}
}

// serviceEnvironment returns the environment that the unit in root gives to the service, with
// the empty settings of outlook-monitor.env filled in and the secrets in files.
func (tb *testbed) serviceEnvironment(root string) map[string]string {
	tb.t.Helper()
	credentials := tb.t.TempDir()
	for _, name := range []string{"AZURE_CLIENT_SECRET", "MONITOR_TOKEN"} {
		filetest.Write(tb.t, filepath.Join(credentials, "secrets_"+name), tb.env[name]+"\n")
	}
	env := map[string]string{}
	for _, value := range assignments(filetest.Read(tb.t, root, unitFile), "Environment") {
		name, value, _ := strings.Cut(strings.ReplaceAll(value, "%d", credentials), "=")
		env[name] = value
	}
	for line := range strings.Lines(filetest.Read(tb.t, root, "/etc/outlook-monitor/outlook-monitor.env")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			env[name] = cmp.Or(tb.env[name], value)
		}
	}
	for _, name := range []string{"LISTEN_ADDR", "AZURE_AUTHORITY_HOST", "GRAPH_ENDPOINT", "SSL_CERT_FILE"} { // of the test's Graph
		env[name] = tb.env[name]
	}
	return env
}

// TestInstalledService starts the program of the .deb like the unit does.
func TestInstalledService(t *testing.T) {
	const token = "a-token-of-the-operator"
	root := install(t)
	program := root + strings.Fields(assignments(filetest.Read(t, root, unitFile), "ExecStart")[0])[0]
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 70})
	load := newWorkload(tb, 1)
	email := load.users[0].UserPrincipalName
	tb.requireToken(token)
	tb.env = tb.serviceEnvironment(root)
	tb.env["NOTIFY_SOCKET"], tb.env["WATCHDOG_USEC"] = filepath.Join(t.TempDir(), "notify"), "200000"
	expect := listenAsSystemd(t, tb.env["NOTIFY_SOCKET"])

	command := func(args ...string) *exec.Cmd {
		cmd := tb.command(args...)
		cmd.Path = program
		return cmd
	}
	p := startProgram(t, command("serve"))
	expect("READY=1")
	expect("WATCHDOG=1")
	tb.env["OUTLOOK_MONITOR_URL"] = tb.base
	tb.eventually("the user is added", func() bool { return command("users", "add", email).Run() == nil })
	load.change()
	load.waitDelivered()
	_ = p.Signal(syscall.SIGTERM)
	expect("STOPPING=1")
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	// When the watchdog expires, systemd sends SIGABRT, after which the Go runtime by default exits
	// with 2, the status for wrong settings, which prevents a restart.
	aborted := startProgram(t, command("serve"))
	expect("READY=1")
	_ = aborted.Signal(syscall.SIGABRT)
	final := strings.Fields(strings.Join(assignments(filetest.Read(t, root, unitFile), "RestartPreventExitStatus"), " "))
	if code := aborted.Wait(); slices.Contains(final, strconv.Itoa(code)) {
		t.Errorf("exit status after SIGABRT = %d, want none that prevents a restart: %v", code, final)
	}
	if strings.Contains(p.log.String(), token) || strings.Contains(p.log.String(), graphsim.DefaultClientSecret) {
		t.Error("the log contains a secret")
	}
}
