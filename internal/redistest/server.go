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
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/programtest"
)

const (
	program     = "redis-server"
	maxAttempts = 5    // to find a free port
	maxLog      = 4000 // bytes at the end of a log to show
)

// Server is a redis-server, or a Sentinel, as a child process.
type Server struct {
	t        testing.TB
	dir      string
	port     int
	sentinel bool
	password string      // of requirepass; empty: none
	tls      *tls.Config // for clients; nil: no TLS
	clock    string      // file with the offset of its clock; empty: SetClock is not supported
	env      []string    // added to the environment of the test
	process  *programtest.Process
}

// Start starts a redis-server that syncs its append-only file after every command and
// saves no RDB snapshots. options are additional directives, such as "maxmemory 10mb" or
// "appendfsync everysec".
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	return launch(t, Server{}, withDefaults(options))
}

// withDefaults puts the default directives before options, which override them.
func withDefaults(options []string) []string {
	return append([]string{"appendonly yes", "appendfsync always", `save ""`}, options...)
}

// launch starts a server on a free port. It tries another port if another program takes
// the port first.
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
	for range maxAttempts {
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

// run starts the process and waits until it is up. It returns false if the process ended
// instead.
func (s *Server) run() bool {
	s.t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // inherited: writes beyond the limit of FillDisk fail instead of killing the server
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
	for deadline := time.Now().Add(await.Timeout); s.process.Alive() && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s.up(client) {
			return true
		}
	}
	return false
}

// up reports whether this process answers and has loaded its data.
func (s *Server) up(client *redis.Client) bool {
	ctx := context.Background()
	info, err := client.Info(ctx, "server").Result()
	pid := fmt.Sprintf("process_id:%d\r\n", s.process.PID())
	return err == nil && strings.Contains(info, pid) && client.Ping(ctx).Err() == nil
}

// client returns a client for a few commands.
func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.Addr(), Password: s.password, TLSConfig: s.tls,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second,
	})
}

// do sends one command and ends the test if it fails.
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

// acl changes the rules of a user. Unlike do, it may run in any goroutine.
func (s *Server) acl(user string, rules ...string) error {
	client := s.client()
	defer client.Close()
	args := []any{"ACL", "SETUSER", user}
	for _, rule := range rules {
		args = append(args, rule)
	}
	return client.Do(context.Background(), args...).Err()
}

// infoContains reports whether a section of INFO contains all texts.
func (s *Server) infoContains(section string, texts ...string) bool {
	s.t.Helper()
	info := fmt.Sprint(s.do("INFO", section))
	return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(info, text) })
}

func (s *Server) end() {
	s.Kill()
	if s.t.Failed() {
		s.t.Logf("redis-server on port %d: %s", s.port, s.log())
	}
}

// log returns the end of the log.
func (s *Server) log() string {
	text, err := os.ReadFile(s.file("log"))
	if err != nil {
		return err.Error()
	}
	return cmp.Or(string(text[max(0, len(text)-maxLog):]), "the log is empty")
}

// Addr returns the address of the server.
func (s *Server) Addr() string { return address(s.port) }

// URL returns the URL of the server for go-redis.
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

// Kill kills the server.
func (s *Server) Kill() { s.process.Kill() }

// Restart kills the server and starts it again on the same port. It returns once the
// server has loaded its data.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	await.True(s.t, "redis-server restarts", s.run)
}

// RestartEmpty is like Restart, but without the data. A Cluster node keeps its slots.
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

// Snapshot copies the current data for [Server.RestartFromSnapshot].
func (s *Server) Snapshot() {
	s.t.Helper()
	s.copyData("appendonlydir", "snapshot")
}

// RestartFromSnapshot is like Restart, but with the data of the last [Server.Snapshot].
func (s *Server) RestartFromSnapshot() {
	s.t.Helper()
	s.Kill()
	s.copyData("snapshot", "appendonlydir")
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

// Pause stops the server without closing its connections, until [Server.Resume].
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

// FillDisk simulates a full disk: the server's files can't grow beyond the current size of
// the append-only file. [Server.FreeDisk] or a restart ends that.
func (s *Server) FillDisk() {
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

// FreeDisk ends a [Server.FillDisk].
func (s *Server) FreeDisk() {
	s.t.Helper()
	s.limit("unlimited")
}

// limit sets the maximum size of the server's files.
func (s *Server) limit(size string) {
	s.t.Helper()
	out, err := exec.Command("prlimit", fmt.Sprintf("--pid=%d", s.process.PID()), "--fsize="+size+":").CombinedOutput()
	if err != nil {
		s.t.Fatalf("prlimit: %v: %s", err, out)
	}
}
