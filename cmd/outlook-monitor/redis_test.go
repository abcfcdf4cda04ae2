package main_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// redisCheck returns what /readyz tells of Redis.
func (w *surroundings) redisCheck() (status int, detail, trouble string) {
	w.t.Helper()
	status, text := w.get("/readyz")
	var answer struct {
		Checks map[string]struct{ Detail, Error string }
	}
	if status != 0 {
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			w.t.Fatalf("/readyz = %s: %v", text, err)
		}
	}
	return status, answer.Checks["redis"].Detail, answer.Checks["redis"].Error
}

func TestARedisThatMayLoseUsersIsTold(t *testing.T) {
	server := redistest.Start(t, "appendonly no", "maxmemory 50mb", "maxmemory-policy allkeys-lru")
	w := world(t, server.URL(), graphsim.Config{Seed: 33})
	p := w.start("serve")
	w.answers()
	_, detail, _ := w.redisCheck()
	for _, want := range []string{"maxmemory-policy is allkeys-lru", "set maxmemory-policy to noeviction", "no persistence", "appendonly"} {
		if !strings.Contains(detail, want) {
			t.Errorf("detail of the check = %q, want %q in it", detail, want)
		}
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log does not tell %q", want)
		}
	}
	if n := strings.Count(p.log.String(), `"msg":"Redis may lose users"`); n != 2 {
		t.Errorf("lines in the log = %d, want one for each finding", n)
	}
}

func TestARedisThatIsAsItShouldBe(t *testing.T) {
	for name, tt := range map[string]struct{ url, named string }{
		"a Redis":  {redistest.Start(t).URL(), "Redis "},
		"a Valkey": {redistest.Start(t).FakeVersion("7.2.4\r\nserver_name:valkey\r\nvalkey_version:10.10.10-rc1"), "Valkey 10.10.10-rc1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := world(t, tt.url, graphsim.Config{Seed: 34})
			p := w.start("serve")
			w.answers()
			if status, detail, trouble := w.redisCheck(); status != http.StatusOK || detail != "" || trouble != "" {
				t.Errorf("check = %d, %q, %q, want nothing told", status, detail, trouble)
			}
			if strings.Contains(p.log.String(), "may lose users") {
				t.Error("the log warns of Redis, want nothing said")
			}
			report, _ := w.examine()
			if got := found(report, "Redis"); !strings.HasPrefix(got, "ok: ") || !strings.Contains(got, tt.named) {
				t.Errorf("the doctor says %q, want it to name %s", got, tt.named)
			}
		})
	}
}

func TestARedisThatIsTooOld(t *testing.T) {
	w := world(t, redistest.Start(t).FakeVersion("6.0.16"), graphsim.Config{Seed: 35})
	p := w.start("serve")
	if code := p.Wait(); code != 1 {
		t.Errorf("exit code = %d, want 1", code)
	}
	if want := "outlook-monitor: Redis is version 6.0.16: outlook-monitor needs Redis 6.2 or later, or Valkey"; !strings.Contains(p.log.String(), want) {
		t.Errorf("output = %s, want %q in it", p.log, want)
	}
}

func TestAReplicaInsteadOfItsMaster(t *testing.T) {
	master := redistest.Start(t)
	host, port, _ := strings.Cut(master.Addr(), ":")
	replica := redistest.Start(t, "replicaof "+host+" "+port)
	w := world(t, replica.URL(), graphsim.Config{Seed: 36})
	p := w.start("serve")
	const want = "read-only replica"
	w.eventually("/readyz says what is wrong", func() bool {
		status, _, trouble := w.redisCheck()
		return status == http.StatusServiceUnavailable && strings.Contains(trouble, want)
	})
	w.eventually("the log says it too", func() bool { return strings.Contains(p.log.String(), want) })
	p.stop()
}

func TestARedisThatRefusesSomething(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rules  []string
		status int
		want   string
	}{
		"the channel": {[]string{"+@all", "~om:*"}, http.StatusOK, "messages between replicas are refused by Redis"},
		"scripts":     {[]string{"+@all", "~om:*", "&om:*", "-eval", "-evalsha"}, http.StatusServiceUnavailable, "scripts (EVAL, EVALSHA) are refused by Redis"},
		"streams":     {[]string{"+@all", "~om:*", "&om:*", "-xadd"}, http.StatusServiceUnavailable, "XADD in scripts: refused by Redis"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			options, err := redis.ParseURL(server.URL())
			if err != nil {
				t.Fatal(err)
			}
			admin := redis.NewClient(options)
			defer admin.Close()
			allow := func(rules ...string) {
				args := []any{"ACL", "SETUSER", "om", "on", ">secret"}
				for _, rule := range rules {
					args = append(args, rule)
				}
				if err := admin.Do(t.Context(), args...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			allow(append([]string{"resetchannels"}, tt.rules...)...)
			w := world(t, strings.Replace(server.URL(), "redis://", "redis://om:secret@", 1), graphsim.Config{Seed: 37})
			report, _ := w.examine()
			said := found(report, "Redis")
			if !strings.Contains(strings.ReplaceAll(said, " → ", ": "), tt.want) {
				t.Errorf("the doctor says %q, want %q", said, tt.want)
			}
			p := w.start("serve")
			w.eventually("/readyz names it", func() bool {
				status, detail, trouble := w.redisCheck()
				return status == tt.status && strings.Contains(detail+trouble, tt.want)
			})
			w.eventually("the log names it", func() bool { return strings.Contains(p.log.String(), tt.want) })

			// The doctor's remedy, to the letter.
			_, rules, _ := strings.Cut(said, "ACL SETUSER … ")
			rules, _, _ = strings.Cut(rules, ")")
			allow(strings.Fields(rules)...)
			w.eventually("/readyz says nothing more", func() bool {
				status, detail, trouble := w.redisCheck()
				return status == http.StatusOK && detail+trouble == ""
			})
			if report, _ := w.examine(); !strings.HasPrefix(found(report, "Redis"), "ok: ") {
				t.Errorf("the doctor says after the remedy %q", found(report, "Redis"))
			}
		})
	}
}
