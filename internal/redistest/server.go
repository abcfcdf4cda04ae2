package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience is how long a server may take to do what it is asked for.
const patience = 30 * time.Second

// Server is a redis-server, or a Sentinel, as a child process.
type Server struct {
	t      testing.TB
	port   int
	dir    string
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start runs a redis-server that writes every command to its append-only file at
// once. Options are further directives, such as "maxmemory 10mb".
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	return launch(t, append([]string{"appendonly yes", "appendfsync always"}, options...))
}

// launch starts a server on a free port; another program may take it meanwhile.
func launch(t testing.TB, options []string, kind ...string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not installed: scripts/check installs it")
	}
	for range 5 {
		s := &Server{t: t, port: freePort(t), dir: t.TempDir()}
		conf := filepath.Join(s.dir, "redis.conf")
		directives := append([]string{
			"port " + strconv.Itoa(s.port), "bind 127.0.0.1", "dir " + s.dir, "logfile " + filepath.Join(s.dir, "log"),
		}, options...)
		if len(kind) == 0 {
			directives = append(directives, `save ""`)
		}
		if err := os.WriteFile(conf, []byte(strings.Join(directives, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = append([]string{path, conf}, kind...)
		s.run()
		if s.answers() {
			t.Cleanup(s.end)
			return s
		}
		s.Kill()
	}
	t.Fatal("redis-server does not start")
	return nil
}

func freePort(t testing.TB) int {
	t.Helper()
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		// A Cluster node also listens 10,000 above.
		if port := ln.Addr().(*net.TCPAddr).Port; port < 55000 {
			return port
		}
	}
}

func (s *Server) run() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() { _ = cmd.Wait(); close(exited) }()
}

// answers waits until the server answers PING; false if it ended instead.
func (s *Server) answers() bool {
	client := s.client()
	defer client.Close()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case <-s.exited:
			return false
		default:
		}
		if client.Ping(context.Background()).Err() == nil {
			return true
		}
	}
	return false
}

// client returns a connection for a few commands.
func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, DialTimeout: time.Second})
}

// do sends one command and stops the test if it fails.
func (s *Server) do(args ...any) any {
	s.t.Helper()
	client := s.client()
	defer client.Close()
	answer, err := client.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("redis %v: %v", args, err)
	}
	return answer
}

func (s *Server) end() {
	s.Kill()
	if s.t.Failed() {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		s.t.Logf("redis on port %d: %.4000s", s.port, log)
	}
}

// Addr is where the server listens.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL is the server's in go-redis' form.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// Restart kills the server and starts it again with its data.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.run()
	if !s.answers() {
		s.t.Fatal("redis-server does not come back")
	}
}

// RestartEmpty kills the server and starts it again without its data.
func (s *Server) RestartEmpty() {
	s.t.Helper()
	s.Kill()
	for _, pattern := range []string{"appendonlydir", "*.aof", "*.rdb"} {
		found, _ := filepath.Glob(filepath.Join(s.dir, pattern))
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.Restart()
}

// Pause stops the server without closing its connections; Resume lets it go on.
func (s *Server) Pause() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// until waits for a condition of the servers.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
