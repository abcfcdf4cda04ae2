package main_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// redisCheck returns the status of /readyz and its check of Redis.
func (tb *testbed) redisCheck() (status int, detail, problem string) {
	tb.t.Helper()
	status, text := tb.get("/readyz")
	var answer struct {
		Checks map[string]struct{ Detail, Error string }
	}
	if status != 0 {
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			tb.t.Fatalf("/readyz = %s: %v", text, err)
		}
	}
	return status, answer.Checks["redis"].Detail, answer.Checks["redis"].Error
}

// waitForRedis waits until /readyz has a status and reports a problem or detail of Redis; "": none.
func (tb *testbed) waitForRedis(status int, want string) {
	tb.t.Helper()
	tb.eventually("/readyz reports "+want, func() bool {
		got, detail, problem := tb.redisCheck()
		return got == status && strings.Contains(detail+problem, want) && (detail+problem == "") == (want == "")
	})
}

func TestRedisFindingsAreReported(t *testing.T) {
	server := redistest.Start(t, "appendonly no", "maxmemory 50mb", "maxmemory-policy allkeys-lru")
	tb := newTestbed(t, server.URL(), graphsim.Config{Seed: 33})
	p := tb.startReady()
	_, detail, _ := tb.redisCheck()
	for _, want := range []string{"maxmemory-policy is allkeys-lru", "set maxmemory-policy to noeviction", "no persistence", "appendonly"} {
		if !strings.Contains(detail, want) {
			t.Errorf("detail of the check = %q, want %q in it", detail, want)
		}
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if n := strings.Count(p.log.String(), `"msg":"Redis may lose users"`); n != 2 {
		t.Errorf("%d lines in the log, want one for each finding", n)
	}
	tb.waitForMetrics("redis_problems 2", "redis_up 1", `redis_pool_events_total{event="hit"} `)
}

func TestRedisTooOld(t *testing.T) {
	tb := newTestbed(t, redistest.FakeVersion(t, "6.0.16"), graphsim.Config{Seed: 35})
	_, output := tb.run(1, "", "serve")
	if want := "outlook-monitor: Redis is version 6.0.16: outlook-monitor needs Redis 6.2 or later, or Valkey"; !strings.Contains(output, want) {
		t.Errorf("output = %s, want %q in it", output, want)
	}
}

// TestRedisReplica also makes requests before Redis is ready. Some need none.
func TestRedisReplica(t *testing.T) {
	host, port, _ := strings.Cut(redistest.Start(t).Addr(), ":")
	tb := newTestbed(t, redistest.Start(t, "replicaof "+host+" "+port).URL(), graphsim.Config{Seed: 36})
	p := tb.start("serve")
	const want = "read-only replica"
	tb.waitForRedis(http.StatusServiceUnavailable, want)
	tb.eventually("the log reports the replica", func() bool { return strings.Contains(p.log.String(), want) })
	for request, status := range map[string]int{
		"GET /": 200, "HEAD /": 200, "GET /ui/": 200, "GET /api/openapi.json": 200, "PUT /api/loglevel": 400, "GET /nothing": 404,
		"GET /api/users": 503, "GET /api/users/a@b.example": 503, "GET /api/users/a@b.example/history": 503,
		"POST /api/users/a@b.example/check": 503, "POST /api/users/a@b.example/resend": 503, "POST /ui/api/users/a@b.example/cover": 503,
		"GET /ui/api/users": 503, "GET /ui/api/summary": 503, "GET /ui/api/load": 503, "GET /ui/api/feed": 503,
	} {
		method, path, _ := strings.Cut(request, " ")
		tb.wantStatus(status, method, path, "")
	}
	p.stop()
}

// TestRedisPermissions runs as a user who gets missing permissions one by one. Each
// permission is tested in store.
func TestRedisPermissions(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	allow := func(rules ...any) { server.Do(append([]any{"ACL", "SETUSER", "om"}, rules...)...) }
	allow("on", ">secret", "resetchannels", "+@all", "~om:*", "-xadd")
	tb := newTestbed(t, strings.Replace(server.URL(), "redis://", "redis://om:secret@", 1), graphsim.Config{Seed: 37})
	p := tb.start("serve")
	const refused = "XADD in scripts: refused by Redis"
	tb.waitForRedis(http.StatusServiceUnavailable, refused)
	tb.eventually("the log reports it", func() bool { return strings.Contains(p.log.String(), refused) })
	allow("+xadd")
	tb.waitForRedis(http.StatusOK, "messages between replicas are refused by Redis")
	allow("&om:*")
	tb.waitForRedis(http.StatusOK, "")
	if strings.Contains(p.log.String(), "may lose users") {
		t.Error("the log warns of lost users, want no warning")
	}
}

// slowConn delays what a client sends.
type slowConn struct {
	net.Conn
	delay *atomic.Int64 // a [time.Duration]
}

func (c slowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	time.Sleep(time.Duration(c.delay.Load()))
	return n, err
}

func TestRedisSlow(t *testing.T) {
	t.Parallel()
	var delay atomic.Int64
	slow := programtest.NewRelay(t, programtest.Listen(t), func(client, _ net.Conn) net.Conn { return slowConn{client, &delay} }, redistest.Start(t).Addr())
	tb := newTestbed(t, "redis://"+slow.Addr(), graphsim.Config{Seed: 38})
	tb.startReady()
	delay.Store(int64(time.Second))
	tb.waitForRedis(http.StatusOK, "too slowly to confirm the ownership")
	delay.Store(0)
	tb.waitForRedis(http.StatusOK, "")
}

func TestRedisFull(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	tb := newTestbed(t, server.URL(), graphsim.Config{Seed: 39})
	tb.startReady()
	server.Do("CONFIG", "SET", "maxmemory", "1")
	tb.waitForRedis(http.StatusServiceUnavailable, "OOM command not allowed")
	server.Do("CONFIG", "SET", "maxmemory", "0")
	tb.waitForRedis(http.StatusOK, "")
}

// TestFirstRequestsWaitForRedis makes a request as soon as the port is open.
func TestFirstRequestsWaitForRedis(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 67})
	tb.start("serve")
	status, answer := 0, ""
	tb.eventually("the program answers", func() bool {
		status, answer = tb.get("/api/users")
		return status != 0
	})
	if status != http.StatusOK {
		t.Errorf("first answer = %d %s, want 200", status, answer)
	}
}

// TestRedisOutage stops users, whom the mediator then no longer names, while Redis is
// unreachable, and before it was ever reached: then the program could not check the schema.
func TestRedisOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	tb := newTestbed(t, server.URL(), graphsim.Config{Seed: 61})
	load := newWorkload(tb, 3)
	p := load.startCovered()
	sub := tb.sim.Subscriptions()[0]
	genuine := `{"value":[{"subscriptionId":"` + sub.ID + `","clientState":"` + sub.ClientState + `","changeType":"updated"}]}`
	stop := func(i int, path string) {
		t.Helper()
		name := load.users[i].UserPrincipalName
		tb.mediator.Remove(name)
		tb.wantStatus(http.StatusServiceUnavailable, "POST", path, fmt.Sprintf(`{"email":%q,"status":"False"}`, name))
	}
	removed := func(i int) func() bool {
		return func() bool {
			status, _ := tb.get("/api/users/" + load.users[i].UserPrincipalName)
			return status == http.StatusNotFound && tb.sim.Covered()[load.users[i].ID] == 0
		}
	}
	server.Kill()
	tb.wantStatus(http.StatusServiceUnavailable, "POST", "/monitor", `{"email":"x@contoso.example","status":"True"}`)
	tb.wantStatus(http.StatusServiceUnavailable, "POST", "/graph/notifications", genuine)
	tb.wantStatus(http.StatusAccepted, "POST", "/graph/notifications", strings.Replace(genuine, sub.ClientState, "x", 1))
	tb.wantStatus(http.StatusOK, "POST", "/graph/notifications?validationToken=x", "")
	tb.wantStatus(http.StatusOK, "GET", "/healthz", "")
	tb.wantStatus(http.StatusServiceUnavailable, "GET", "/readyz", "")
	stop(0, "/monitor")
	server.Restart()
	tb.eventually("the user is removed when Redis is back", removed(0))

	server.Kill()
	p.Kill()
	setups := tb.mediator.Setups()
	p = tb.start("serve")
	tb.eventually("the program answers without Redis", tb.hasStatus("/healthz", http.StatusOK))
	for path, status := range map[string]int{"/api/users?validationToken=1": 503, "/readyz": 503, "/healthz/": 200, "/metrics/": 200} {
		tb.wantStatus(status, "GET", path, "")
	}
	tb.wantStatus(http.StatusOK, "POST", "/graph/notifications?validationToken=a+b", "")
	tb.wantStatus(http.StatusServiceUnavailable, "POST", "/graph/notifications?xvalidationToken=1", "")
	stop(1, "/monitor/")
	server.Restart()
	tb.eventually("the user is removed when Redis is reached", removed(1))
	tb.wantStatus(http.StatusOK, "GET", "/api/users/"+load.users[2].UserPrincipalName, "") // who was not stopped

	synced := func() bool { return tb.mediator.Setups() > setups }
	tb.eventually("the sync at the start", synced)
	setups = tb.mediator.Setups()
	server.RestartEmpty()
	tb.eventually("another sync with the mediator", synced)
	p.stop()
}
