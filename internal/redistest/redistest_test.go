package redistest_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/redistest"
)

func eventually(t *testing.T, what string, done func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = done(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// dial returns a client that does not retry.
func dial(t *testing.T, url string, roots *x509.CertPool) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if o.TLSConfig != nil {
		o.TLSConfig.RootCAs = roots
	}
	o.MaxRetries, o.DialerRetries = -1, 1
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// set writes a key.
func set(t *testing.T, client redis.Cmdable, key, value string) {
	t.Helper()
	if err := client.Set(t.Context(), key, value, 0).Err(); err != nil {
		t.Fatalf("SET %s = %v, want no error", key, err)
	}
}

// is returns an error if a key does not have the wanted value.
func is(t *testing.T, client redis.Cmdable, key, want string) error {
	got, err := client.Get(t.Context(), key).Result()
	if err == nil && got != want {
		err = fmt.Errorf("%s = %q, want %q", key, got, want)
	}
	return err
}

func TestRestart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	address := s.Addr()
	set(t, dial(t, s.URL(), nil), "k", "v")
	s.Kill()
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("a killed server accepts connections")
	}
	s.Restart()
	client := dial(t, s.URL(), nil)
	if err := is(t, client, "k", "v"); err != nil {
		t.Errorf("after Restart: %v", err)
	}
	s.RestartEmpty()
	client = dial(t, s.URL(), nil)
	if n, err := client.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("keys after RestartEmpty = %d, %v, want none", n, err)
	}
	if s.Addr() != address {
		t.Errorf("Addr = %s after restarts, want still %s", s.Addr(), address)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := &redis.Options{Addr: s.Addr(), MaxRetries: -1, ReadTimeout: 50 * time.Millisecond}
	client := redis.NewClient(o)
	defer client.Close()
	s.Pause()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Error("a paused server answers, want a timeout")
	}
	s.Resume()
	eventually(t, "the server answers again", func() error { return client.Ping(t.Context()).Err() })
}

func TestClock(t *testing.T) {
	t.Parallel()
	s := redistest.StartWithClock(t)
	client := dial(t, s.URL(), nil)
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		s.SetClock(ahead)
		now, err := client.Time(t.Context()).Result()
		if off := now.Sub(time.Now().Add(ahead)); err != nil || off.Abs() > time.Minute {
			t.Errorf("clock set %v ahead is off by %v, %v", ahead, off, err)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ option, name, want string }{
		"additional option":   {"maxmemory 10mb", "maxmemory", "10485760"},
		"overridden default":  {"appendfsync everysec", "appendfsync", "everysec"},
		"password in the URL": {"requirepass secret", "requirepass", "secret"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t, tt.option)
			got, err := dial(t, s.URL(), nil).ConfigGet(t.Context(), tt.name).Result()
			if err != nil || got[tt.name] != tt.want {
				t.Errorf("%s = %q, %v, want %q", tt.name, got[tt.name], err, tt.want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s, caFile := redistest.StartTLS(t)
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s contains no certificate", caFile)
	}
	set(t, dial(t, s.URL(), roots), "k", "v")
	s.Restart()
	if err := is(t, dial(t, s.URL(), roots), "k", "v"); err != nil {
		t.Errorf("after Restart: %v", err)
	}
	if err := dial(t, s.URL(), x509.NewCertPool()).Ping(t.Context()).Err(); err == nil {
		t.Error("PING of a client that doesn't trust the certificate = nil, want an error")
	}
	if err := dial(t, "redis://"+s.Addr(), nil).Ping(t.Context()).Err(); err == nil {
		t.Error("PING without TLS = nil, want an error")
	}
}

func TestClusterServesAllSlots(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	o, err := redis.ParseClusterURL(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Addrs) != 3 {
		t.Errorf("addresses = %v, want three", o.Addrs)
	}
	client := redis.NewClusterClient(o)
	defer client.Close()
	for i := range 300 {
		set(t, client, fmt.Sprint(i), "v")
	}
	total := int64(0)
	for i, m := range c.Masters {
		n, err := dial(t, m.URL(), nil).DBSize(t.Context()).Result()
		if err != nil || n == 0 {
			t.Errorf("keys of master %d = %d, %v, want a share", i, n, err)
		}
		total += n
	}
	if total != 300 {
		t.Errorf("keys of all masters = %d, want 300", total)
	}
	c.Masters[1].Restart()
	for i := range 300 {
		eventually(t, "all keys are available after a restart", func() error { return is(t, client, fmt.Sprint(i), "v") })
	}
}

func TestFailover(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	o, err := redis.ParseFailoverURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewFailoverClient(o)
	defer client.Close()
	set(t, client, "k", "v")
	old := s.Master()
	eventually(t, "the replica has the key", func() error {
		for _, n := range s.Nodes {
			if err := is(t, dial(t, n.URL(), nil), "k", "v"); err != nil {
				return err
			}
		}
		return nil
	})
	if now := s.Failover(); now == old {
		t.Fatal("Failover returned the old master")
	}
	eventually(t, "the client uses the new master", func() error { return client.Set(t.Context(), "w", "x", 0).Err() })
	eventually(t, "the key is available", func() error { return is(t, client, "k", "v") })
}

func TestServerEndsWithTest(t *testing.T) {
	t.Parallel()
	var address string
	t.Run("start", func(t *testing.T) {
		address = redistest.Start(t).Addr()
		if err := dial(t, "redis://"+address, nil).Ping(t.Context()).Err(); err != nil {
			t.Errorf("PING = %v, want an answer", err)
		}
	})
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the server accepts connections after its test")
	}
}

// asChild is set in the environment of a process that starts a server and is then killed.
const asChild = "REDISTEST_AS_CHILD"

func TestServerEndsWithProcess(t *testing.T) {
	if os.Getenv(asChild) != "" {
		fmt.Println("listening on", redistest.Start(t).Addr())
		select {}
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), asChild+"=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := ""
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		_, address, _ = strings.Cut(lines.Text(), "listening on ")
	}
	if _, err := net.Dial("tcp", address); err != nil {
		t.Errorf("connection to the child's server = %v, want one", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	eventually(t, "the server ends", func() error {
		if conn, err := net.Dial("tcp", address); err == nil {
			return fmt.Errorf("%s still accepts connections", conn.RemoteAddr())
		}
		return nil
	})
}

func TestFakeVersion(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	tests := map[string]struct{ version, want, valkey string }{
		"shorter version": {"5.0", "5.0", ""},
		"longer version":  {"255.255.255-rc12", "255.255.255-rc12", ""},
		"Valkey":          {"7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1", "7.2.4", "8.0.1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			url := s.FakeVersion(tt.version)
			for _, protocol := range []string{"2", "3"} {
				client := dial(t, url+"?protocol="+protocol, nil)
				info, err := client.InfoMap(t.Context(), "server").Result()
				if got := info["Server"]; err != nil || got["redis_version"] != tt.want || got["valkey_version"] != tt.valkey {
					t.Errorf("INFO over RESP%s = version %q of Redis, %q of Valkey, %v, want %q and %q", protocol, got["redis_version"], got["valkey_version"], err, tt.want, tt.valkey)
				}
				set(t, client, "k", "v")
				if err := is(t, dial(t, s.URL(), nil), "k", "v"); err != nil {
					t.Errorf("key written through the proxy: %v", err)
				}
			}
		})
	}
	client := dial(t, s.FakeVersion("6.2"), nil)
	s.Kill()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Error("PING of a killed server through the proxy = nil, want an error")
	}
}

// fatalRecorder records the message of a test's Fatal.
type fatalRecorder struct {
	testing.TB
	message string
}

func (r *fatalRecorder) Fatal(args ...any) {
	r.message = fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *fatalRecorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

func TestStartFails(t *testing.T) {
	tests := map[string]struct{ path, option, want string }{
		"redis-server not installed": {t.TempDir(), "", "redis-server is not installed: scripts/check installs it"},
		"unknown option":             {os.Getenv("PATH"), "no-such-option yes", "no-such-option"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", tt.path)
			test := &fatalRecorder{TB: t}
			ctx, done := context.WithCancel(t.Context())
			go func() {
				defer done()
				redistest.Start(test, tt.option)
			}()
			<-ctx.Done()
			if !strings.Contains(test.message, tt.want) {
				t.Errorf("Fatal = %q, want %q in it", test.message, tt.want)
			}
		})
	}
}
