package redistest_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/redistest"
)

// dial returns a client that does not retry.
func dial(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	must.NoError(t, err)
	o.MaxRetries, o.DialerRetries = -1, 1
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestClock(t *testing.T) {
	t.Parallel()
	s := redistest.StartWithClock(t)
	client := dial(t, s.URL())
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		s.SetClock(ahead)
		now, err := client.Time(t.Context()).Result()
		if off := now.Sub(time.Now().Add(ahead)); err != nil || off.Abs() > time.Minute {
			t.Errorf("clock set %v ahead is off by %v, %v", ahead, off, err)
		}
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
	must.NoError(t, err)
	must.NoError(t, cmd.Start())
	address := ""
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		_, address, _ = strings.Cut(lines.Text(), "listening on ")
	}
	if _, err := net.Dial("tcp", address); err != nil {
		t.Errorf("connection to the child's server = %v, want one", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	await.True(t, "the server ends", func() bool {
		conn, err := net.Dial("tcp", address)
		return err != nil || conn.Close() != nil
	})
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "appendfsync everysec")
	client := dial(t, s.URL())
	s.FillDisk()
	await.True(t, "writes are refused", func() bool {
		err := client.Set(t.Context(), "k", "refused", 0).Err()
		return err != nil && strings.Contains(err.Error(), "MISCONF")
	})
	s.FreeDisk()
	await.True(t, "writes succeed again", func() bool { return client.Set(t.Context(), "k", "again", 0).Err() == nil })
	// While an fsync is slow, everysec delays writes to the file.
	err := errors.Join(client.ConfigSet(t.Context(), "appendfsync", "always").Err(), client.Set(t.Context(), "k", "after", 0).Err())
	must.NoError(t, err)
	s.Restart()
	if got, err := client.Get(t.Context(), "k").Result(); got != "after" || err != nil {
		t.Errorf("after a restart = %q, %v, want after", got, err)
	}
}
