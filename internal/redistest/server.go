package redistest

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/programtest"
)

const (
	program = "redis-server"
	// timeout is how long servers may take to do what they are asked for.
	timeout = 30 * time.Second
	// attempts is how often another port is tried.
	attempts = 5
	// shown is how many bytes of a log are, the last ones.
	shown = 4000
)

// Server is a redis-server, or a Sentinel, as a child process.
type Server struct {
	t        testing.TB
	dir      string
	port     int
	sentinel bool
	password string      // of requirepass; empty: none
	tls      *tls.Config // of its clients; nil: no TLS
	clock    string      // file that says how far its clock is ahead; empty: it can't be set
	env      []string    // added to that of the test
	process  *programtest.Process
}

// Start runs a redis-server that writes every command to its append-only file at
// once and takes no snapshots. Options are further directives, such as
// "maxmemory 10mb" or "appendfsync everysec".
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	return launch(t, Server{}, ours(options))
}

// ours puts our own directives before options, which take their place.
func ours(options []string) []string {
	return append([]string{"appendonly yes", "appendfsync always", `save ""`}, options...)
}

// launch starts a server on a free port. Another program may be faster to take
// the port; then another is tried.
func launch(t testing.TB, kind Server, directives []string) *Server {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatal("redis-server is not installed: scripts/check installs it")
	}
	s := &kind
	s.t, s.dir = t, t.TempDir()
	for _, d := range directives {
		if password, ok := strings.CutPrefix(d, "requirepass "); ok {
			s.password = strings.Trim(password, `"`)
		}
	}
	for range attempts {
		s.port = freePort(t)
		s.configure(directives)
		if s.run() {
			t.Cleanup(s.end)
			return s
		}
		s.Kill()
	}
	t.Fatalf("redis-server does not start: %s", s.log())
	return nil
}

func (s *Server) configure(directives []string) {
	s.t.Helper()
	listen := fmt.Sprintf("port %d", s.port)
	if s.tls != nil {
		listen = fmt.Sprintf("port 0\ntls-port %d", s.port)
	}
	lines := append([]string{"bind 127.0.0.1", listen, "dir " + s.dir}, directives...)
	if err := os.WriteFile(s.file("redis.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// run starts the process and waits until it is up; false if it ended instead.
func (s *Server) run() bool {
	s.t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // children inherit it: a write beyond the limit of a Fill fails and does not kill
	args := []string{s.file("redis.conf")}
	if s.sentinel {
		args = append(args, "--sentinel")
	}
	log, err := os.OpenFile(s.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), s.env...), log, log
	s.process = programtest.Start(s.t, cmd)
	client := s.client()
	defer client.Close()
	for deadline := time.Now().Add(timeout); s.process.Alive() && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s.up(client) {
			return true
		}
	}
	return false
}

// up reports whether it is our process that answers, and with its data loaded.
func (s *Server) up(client *redis.Client) bool {
	ctx := context.Background()
	info, err := client.Info(ctx, "server").Result()
	ours := fmt.Sprintf("process_id:%d\r\n", s.process.PID())
	return err == nil && strings.Contains(info, ours) && client.Ping(ctx).Err() == nil
}

// client returns a client for a few commands.
func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.Addr(), Password: s.password, TLSConfig: s.tls,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second,
	})
}

// do sends one command and stops the test if it fails.
func (s *Server) do(args ...any) any {
	s.t.Helper()
	client := s.client()
	defer client.Close()
	answer, err := client.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("redis %v = %v", args, err)
	}
	return answer
}

// acl changes the rules of a user. Unlike do it may run outside of the test's goroutine.
func (s *Server) acl(user string, rules ...string) error {
	client := s.client()
	defer client.Close()
	args := []any{"ACL", "SETUSER", user}
	for _, rule := range rules {
		args = append(args, rule)
	}
	return client.Do(context.Background(), args...).Err()
}

// says reports whether INFO has all the given words in a section.
func (s *Server) says(section string, words ...string) bool {
	s.t.Helper()
	info := fmt.Sprint(s.do("INFO", section))
	for _, word := range words {
		if !strings.Contains(info, word) {
			return false
		}
	}
	return true
}

func (s *Server) end() {
	s.Kill()
	if s.t.Failed() {
		s.t.Logf("redis-server on port %d: %s", s.port, s.log())
	}
}

// log returns the end of what the server wrote.
func (s *Server) log() string {
	text, err := os.ReadFile(s.file("log"))
	if err != nil {
		return err.Error()
	}
	return cmp.Or(string(text[max(0, len(text)-shown):]), "nothing was written")
}

// Addr is where the server listens.
func (s *Server) Addr() string { return address(s.port) }

// URL is the server's in go-redis' form.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr()}
	if s.tls != nil {
		u.Scheme = "rediss"
	}
	if s.password != "" {
		u.User = url.UserPassword("", s.password)
	}
	return u.String()
}

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() { s.process.Kill() }

// Restart kills the server and starts it again on its port. It returns when the
// server has loaded its data and answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	until(s.t, "redis-server comes back", s.run)
}

// RestartEmpty is Restart, but the data is gone. A Cluster node keeps its slots.
func (s *Server) RestartEmpty() {
	s.t.Helper()
	s.Kill()
	for _, data := range []string{"appendonlydir", "dump.rdb"} {
		if err := os.RemoveAll(s.file(data)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.Restart()
}

// Keep puts the data of now aside, for [Server.RestartOlder].
func (s *Server) Keep() {
	s.t.Helper()
	s.copyData("appendonlydir", "kept")
}

// RestartOlder is Restart with the data of the last [Server.Keep].
func (s *Server) RestartOlder() {
	s.t.Helper()
	s.Kill()
	s.copyData("kept", "appendonlydir")
	s.Restart()
}

func (s *Server) copyData(from, to string) {
	s.t.Helper()
	if err := os.RemoveAll(s.file(to)); err != nil {
		s.t.Fatal(err)
	}
	if err := os.CopyFS(s.file(to), os.DirFS(s.file(from))); err != nil {
		s.t.Fatal(err)
	}
}

// Pause stops the server without closing its connections, as a machine that
// hangs would. [Server.Resume] lets it go on.
func (s *Server) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
}

// Resume ends a [Server.Pause].
func (s *Server) Resume() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
}

func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.process.Signal(signal); err != nil {
		s.t.Fatalf("%v to redis-server: %v", signal, err)
	}
}

// Fill makes the disk look full to the server: its files can't grow beyond what
// the append-only file has now. [Server.Empty] ends that; a restart too.
func (s *Server) Fill() {
	s.t.Helper()
	files, err := filepath.Glob(s.file("appendonlydir/*.aof"))
	if err != nil {
		s.t.Fatal(err)
	}
	var size int64
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			size = max(size, info.Size())
		}
	}
	s.limit(fmt.Sprint(size))
}

// Empty ends a [Server.Fill].
func (s *Server) Empty() {
	s.t.Helper()
	s.limit("unlimited")
}

// limit says how large a file of the server may become.
func (s *Server) limit(size string) {
	s.t.Helper()
	out, err := exec.Command("prlimit", fmt.Sprintf("--pid=%d", s.process.PID()), "--fsize="+size+":").CombinedOutput()
	if err != nil {
		s.t.Fatalf("prlimit: %v: %s", err, out)
	}
}

// until waits for something that the servers do.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("this did not happen within %v: %s", timeout, what)
		}
	}
}
