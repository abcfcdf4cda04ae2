// Package redistest starts real redis-servers for tests: a single server, a Cluster of
// three masters, a master and a replica with Sentinels, or an imitation of Azure Managed
// Redis. They listen on free loopback ports, keep their data in a temporary directory of
// the test, and end with the test, even if its process is killed. Their logs are shown
// if the test fails.
package redistest

import (
	"context"
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

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

const program = "redis-server"

// Server is a redis-server, or a Sentinel, as a child process.
type Server struct {
	t        testing.TB
	dir      string
	addr     string
	sentinel bool
	password string   // of requirepass; empty: none
	clock    string   // file with the offset of its clock; empty: SetClock is not supported
	env      []string // added to the environment of the test
	process  *programtest.Process
	log      programtest.Log
}

// Start starts a redis-server that syncs its append-only file after every command and
// saves no RDB snapshots. options are additional directives, such as "maxmemory 10mb" or
// "appendfsync everysec".
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	return launch(t, Server{}, options)
}

// launch starts a server on a free port. It tries another port if another program takes
// the port first.
func launch(t testing.TB, kind Server, options []string) *Server {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatal("redis-server is not installed: scripts/check installs it")
	}
	s := &kind
	s.t, s.dir, s.log = t, t.TempDir(), programtest.NewLog(t, program)
	for _, option := range options {
		if password, ok := strings.CutPrefix(option, "requirepass "); ok {
			s.password = strings.Trim(password, `"`)
		}
	}
	for range 5 {
		s.addr = programtest.FreeAddress(t)
		s.configure(options)
		if s.run() {
			return s
		}
		s.Kill()
	}
	t.Fatal("redis-server does not start")
	return nil
}

func (s *Server) configure(options []string) {
	s.t.Helper()
	host, port, _ := strings.Cut(s.addr, ":")
	lines := []string{"bind " + host, "port " + port, "dir " + s.dir}
	if !s.sentinel {
		lines = append(lines, "appendonly yes", "appendfsync always", `save ""`)
	}
	lines = append(lines, options...) // a later line overrides an earlier one
	must.NoError(s.t, os.WriteFile(s.file("redis.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600))
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// run starts the process and waits until it answers and has loaded its data. It returns
// false if the process ended instead.
func (s *Server) run() bool {
	s.t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // inherited: writes beyond the limit of FillDisk fail instead of killing the server
	args := []string{s.file("redis.conf")}
	if s.sentinel {
		args = append(args, "--sentinel")
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), s.env...)
	s.process = s.log.Start(cmd)
	pid := fmt.Sprintf("process_id:%d\r\n", s.process.PID()) // another program may have the port
	for deadline := time.Now().Add(await.Timeout); s.process.Alive() && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		answer, _ := s.try("INFO")
		if info := fmt.Sprint(answer); strings.Contains(info, pid) && !strings.Contains(info, "\r\nloading:1\r\n") {
			return true
		}
	}
	return false
}

// try sends one command.
func (s *Server) try(args ...any) (any, error) {
	client := redis.NewClient(&redis.Options{Addr: s.addr, Password: s.password, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	return client.Do(context.Background(), args...).Result()
}

// Do sends one command and returns its answer. It ends the test if the command fails.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	answer, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("redis %v = %v", args, err)
	}
	return answer
}

// InfoContains reports whether a section of INFO contains text.
func (s *Server) InfoContains(section, text string) bool {
	s.t.Helper()
	return strings.Contains(fmt.Sprint(s.Do("INFO", section)), text)
}

// Addr returns the address of the server.
func (s *Server) Addr() string { return s.addr }

// URL returns the URL of the server for go-redis.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.addr}
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
	must.NoError(s.t, os.RemoveAll(s.file("appendonlydir")))
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
	must.NoError(s.t, os.RemoveAll(s.file(to)))
	must.NoError(s.t, os.CopyFS(s.file(to), os.DirFS(s.file(from))))
}

// Pause stops the server without closing its connections, until [Server.Resume].
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a [Server.Pause].
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	if err := s.process.Signal(signal); err != nil {
		s.t.Fatalf("%v to redis-server: %v", signal, err)
	}
}

// FillDisk simulates a full disk: the server's files can't grow beyond the current size of
// the append-only file. [Server.FreeDisk] or a restart ends that.
func (s *Server) FillDisk() {
	s.t.Helper()
	files, err := filepath.Glob(s.file("appendonlydir/*.aof"))
	must.NoError(s.t, err)
	var size int64
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			size = max(size, info.Size())
		}
	}
	s.limit(fmt.Sprint(size))
}

// FreeDisk ends a [Server.FillDisk].
func (s *Server) FreeDisk() { s.limit("unlimited") }

// limit sets the maximum size of the server's files.
func (s *Server) limit(size string) {
	out, err := exec.Command("prlimit", fmt.Sprintf("--pid=%d", s.process.PID()), "--fsize="+size+":").CombinedOutput()
	if err != nil {
		s.t.Fatalf("prlimit: %v: %s", err, out)
	}
}
