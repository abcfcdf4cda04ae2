package main_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// packages are the packages of this machine's architecture, made once from the program
// that the tests build, in a directory beside it.
var packages = sync.OnceValues(func() (dist string, err error) {
	path, err := binary()
	if err != nil {
		return "", err
	}
	dist = filepath.Join(filepath.Dir(path), "dist")
	return dist, packageAs(path, dist)
})

// packageAs runs scripts/package for a program that was built.
func packageAs(program, dist string) error {
	cmd := exec.Command("../../scripts/package", runtime.GOARCH)
	cmd.Env = append(os.Environ(), "DIST="+dist, "PROGRAM="+program, "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/package: %w: %s", err, out)
	}
	return nil
}

// installed unpacks the .deb into a root of its own.
func installed(t *testing.T) string {
	t.Helper()
	dist, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dist, "*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages = %q, %v, want one .deb", found, err)
	}
	if got := output(t, "dpkg-deb", "--info", found[0], "conffiles"); strings.TrimSpace(got) != "/etc/outlook-monitor/outlook-monitor.env" {
		t.Errorf("conffiles = %q, want the settings, which an upgrade keeps", got)
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

func content(t testing.TB, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// assignments returns the values of all lines NAME=value of a name.
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
	if err != nil {
		t.Fatal(err)
	}
	program, _ := binary()
	again := filepath.Join(t.TempDir(), "dist")
	if err := packageAs(program, again); err != nil {
		t.Fatal(err)
	}
	sums := content(t, dist, "SHA256SUMS")
	if got := content(t, again, "SHA256SUMS"); got != sums {
		t.Errorf("SHA256SUMS = %s, want those of the first time:\n%s", got, sums)
	}
	for _, suffix := range []string{".deb", ".rpm", ".tar.gz"} {
		if n := strings.Count(sums, suffix+"\n"); n != 1 {
			t.Errorf("SHA256SUMS has %d files that end with %s, want 1:\n%s", n, suffix, sums)
		}
	}
}

func TestThePackageHolds(t *testing.T) {
	root := installed(t)
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
		if strings.Contains(path, "completion") && !strings.Contains(content(t, root, path), "/usr/bin/outlook-monitor") {
			t.Errorf("%s does not run the installed program:\n%s", path, content(t, root, path))
		}
	}
	compressed, err := gzip.NewReader(strings.NewReader(content(t, root, "/usr/share/man/man1/outlook-monitor.1.gz")))
	if err != nil {
		t.Fatal(err)
	}
	manual, err := io.ReadAll(compressed)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range config.Table() {
		if !bytes.Contains(manual, []byte(strings.ReplaceAll(row.Flag, "-", `\-`))) {
			t.Errorf("the man page lacks %s", row.Flag)
		}
	}
}

// TestTheUnitIsSandboxed asks systemd, where it is installed.
func TestTheUnitIsSandboxed(t *testing.T) {
	root := installed(t)
	unit := filepath.Join(t.TempDir(), "outlook-monitor.service")
	text := strings.ReplaceAll(content(t, root, unitFile), "=/usr/bin/", "="+root+"/usr/bin/")
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DynamicUser=yes", "Type=notify", "WatchdogSec=", "Restart=", "LoadCredential="} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("no systemd-analyze: neither syntax nor exposure of the unit were checked")
		return
	}
	const most = "20" // tenths
	output(t, "systemd-analyze", "security", "--offline=true", "--threshold="+most, unit)
	if warnings := output(t, "systemd-analyze", "verify", "--man=no", unit); warnings != "" {
		t.Errorf("systemd-analyze verify says %s", warnings)
	}
}

// notifications is the socket on which a service notifies systemd.
type notifications struct {
	mu   sync.Mutex
	seen []string // guarded by mu
}

func (n *notifications) has(state string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.seen, state)
}

// listen collects what is sent to a socket of that path until the test ends.
func (n *notifications) listen(t *testing.T, path string) {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	t.Cleanup(func() { socket.Close(); reading.Wait() })
	reading.Go(func() {
		for buffer := make([]byte, 1024); ; {
			length, err := socket.Read(buffer)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.seen = append(n.seen, string(buffer[:length]))
			n.mu.Unlock()
		}
	})
}

// serviceEnvironment returns what the unit in root gives to the service, with what is
// empty in outlook-monitor.env filled in and the secrets in files.
func (w *surroundings) serviceEnvironment(root, token string) map[string]string {
	w.t.Helper()
	credentials := w.t.TempDir()
	for name, secret := range map[string]string{"AZURE_CLIENT_SECRET": graphsim.DefaultClientSecret, "MONITOR_TOKEN": token} {
		if err := os.WriteFile(filepath.Join(credentials, "secrets_"+name), []byte(secret+"\n"), 0o400); err != nil {
			w.t.Fatal(err)
		}
	}
	env := map[string]string{}
	for _, value := range assignments(content(w.t, root, unitFile), "Environment") {
		name, value, _ := strings.Cut(strings.ReplaceAll(value, "%d", credentials), "=")
		env[name] = value
	}
	for line := range strings.Lines(content(w.t, root, "/etc/outlook-monitor/outlook-monitor.env")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			env[name] = cmp.Or(w.env[name], value)
		}
	}
	for _, name := range []string{"LISTEN_ADDR", "AZURE_AUTHORITY_HOST", "GRAPH_ENDPOINT", "SSL_CERT_FILE"} { // of the test's Graph
		env[name] = w.env[name]
	}
	return env
}

// TestTheInstalledServiceDetectsAChange starts what the .deb installs as the unit does.
func TestTheInstalledServiceDetectsAChange(t *testing.T) {
	const token = "a-token-of-the-operator"
	root := installed(t)
	program := root + strings.Fields(assignments(content(t, root, unitFile), "ExecStart")[0])[0]
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 70})
	users, err := w.sim.AddUsers(1, "contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	email := users[0].UserPrincipalName
	w.mediator.Add(email)
	w.mediator.SetMonitorURL(strings.Replace(w.base, "http://", "http://mediator:"+token+"@", 1))
	w.env = w.serviceEnvironment(root, token)
	var systemd notifications
	w.env["NOTIFY_SOCKET"], w.env["WATCHDOG_USEC"] = filepath.Join(t.TempDir(), "notify"), "200000"
	systemd.listen(t, w.env["NOTIFY_SOCKET"])

	command := func(args ...string) *exec.Cmd {
		cmd := w.command(args...)
		cmd.Path = program
		return cmd
	}
	p := started(t, command("serve"))
	w.eventually("systemd is notified", func() bool { return systemd.has("READY=1") && systemd.has("WATCHDOG=1") })
	w.env["OUTLOOK_MONITOR_URL"] = w.base
	w.eventually("the user is added", func() bool { return command("users", "add", email).Run() == nil })
	if _, err := w.sim.SetAutomaticReplies(email, graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled")}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the mediator knows the change", func() bool {
		state, ok := w.mediator.State(email)
		return ok && state.Status == "True"
	})
	p.stop()
	if !systemd.has("STOPPING=1") {
		t.Error("systemd was not notified that the service stops")
	}
	if strings.Contains(p.log.String(), token) || strings.Contains(p.log.String(), graphsim.DefaultClientSecret) {
		t.Error("the log has a secret in it")
	}
}
