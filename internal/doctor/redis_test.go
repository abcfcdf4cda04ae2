package doctor_test

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

func TestRedis(t *testing.T) {
	tests := map[string]struct {
		arrange       func(*fakeRedis)
		check         string
		status        doctor.Status
		found, remedy string
	}{
		"single server":        {func(*fakeRedis) {}, "Redis", doctor.OK, "Redis 7.2.4, one server", ""},
		"Cluster":              {func(r *fakeRedis) { r.report.Topology = "Cluster, data at a:1" }, "Redis", doctor.OK, "Redis 7.2.4, Cluster, data at a:1", ""},
		"password missing":     {func(r *fakeRedis) { r.err = errors.New("NOAUTH Authentication required.") }, "Redis", doctor.Failed, "NOAUTH", "password"},
		"wrong password":       {func(r *fakeRedis) { r.err = errors.New("WRONGPASS invalid username-password pair") }, "Redis", doctor.Failed, "WRONGPASS", "user and password"},
		"no permissions":       {func(r *fakeRedis) { r.err = errors.New("NOPERM this user has no permissions") }, "Redis", doctor.Failed, "NOPERM", "+@all ~om:* &om:*"},
		"commands refused":     {func(r *fakeRedis) { r.refused = fmt.Errorf("XADD in scripts: %w", store.ErrRefused) }, "Redis", doctor.Failed, "XADD", "allow its user all commands"},
		"messages refused":     {func(r *fakeRedis) { r.refused = store.ErrNoMessages }, "Redis", doctor.Warning, "messages between replicas are refused", "&om:*"},
		"not a Cluster":        {func(r *fakeRedis) { r.err = errors.New("ERR This instance has cluster support disabled") }, "Redis", doctor.Failed, "cluster", "addr"},
		"too old":              {func(r *fakeRedis) { r.err = fmt.Errorf("Redis is version 5.0.1: %w", store.ErrTooOld) }, "Redis", doctor.Failed, "Redis is version 5.0.1", "needs Redis 6.2"},
		"later checks skipped": {func(r *fakeRedis) { r.err = errAny }, "Redis clock", doctor.Skipped, "because Redis failed", ""},
		"persistence":          {func(*fakeRedis) {}, "Redis persistence", doctor.OK, "append-only file", ""},
		"no persistence": {func(r *fakeRedis) {
			r.report.Findings = []store.Finding{{Problem: "keeps nothing", Remedy: "set appendonly"}}
		}, "Redis persistence", doctor.Warning, "keeps nothing", "set appendonly"},
		"unknown persistence": {func(r *fakeRedis) { r.report.Persistence = "" }, "Redis persistence", doctor.Skipped, "does not report it", ""},
		"no eviction":         {func(*fakeRedis) {}, "Redis eviction", doctor.OK, "noeviction, 1.5M used", ""},
		"eviction": {func(r *fakeRedis) {
			r.report.Findings = []store.Finding{{Problem: "policy is allkeys-lru", Remedy: "set it", Eviction: true}}
		}, "Redis eviction", doctor.Warning, "policy is allkeys-lru", "set it"},
		"unknown eviction policy": {func(r *fakeRedis) { r.report.Policy = "" }, "Redis eviction", doctor.Skipped, "does not report it", ""},
		"high latency":            {func(r *fakeRedis) { r.ping = 21 * time.Millisecond }, "Redis latency", doctor.Warning, "the median of 11 pings", "same network"},
		"clock ahead":             {func(r *fakeRedis) { r.off = time.Hour }, "Redis clock", doctor.Warning, "this machine's clock is 1h0m0s slow", "over the network"},
		"clock behind":            {func(r *fakeRedis) { r.off = -time.Hour }, "Redis clock", doctor.Warning, "this machine's clock is 1h0m0s fast", "over the network"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			tt.arrange(f.redis)
			wantResult(t, f.check(tt.check), tt.status, tt.found, tt.remedy)
		})
	}
}

func TestRedisLogins(t *testing.T) {
	tests := map[string]struct {
		auth, url     string // url empty: that of an Azure Managed Redis
		err           error
		found, remedy string
	}{
		"no access policy, HELLO too": {auth: "entra", err: errors.New("NOAUTH Authentication required."), found: "NOAUTH", remedy: "Microsoft Entra Authentication"},
		"login endpoint unreachable":  {auth: "entra", err: fmt.Errorf("%w: the login endpoint: EOF", ooo.ErrUnavailable), found: "the login endpoint: EOF", remedy: "try again in a minute"},
		"access keys disabled":        {auth: "url", err: errors.New("WRONGPASS invalid username-password pair"), found: "WRONGPASS", remedy: "REDIS_AUTH=entra"},
		"no password behind Sentinel": {auth: "url", url: "redis://sentinel.example:26379?master_name=om", err: errors.New("NOAUTH Authentication required."), found: "NOAUTH", remedy: "?username=…&password=… for Redis itself"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.env["REDIS_URL"], f.env["REDIS_AUTH"] = cmp.Or(tt.url, "rediss://name.redis.azure.net:10000"), tt.auth
			f.redis.err = fmt.Errorf("redis: %w", tt.err)
			wantResult(t, f.check("Redis"), doctor.Failed, tt.found, tt.remedy)
		})
	}
}

// TestRedisPasswordRemedies follows the remedies with a real Redis.
func TestRedisPasswordRemedies(t *testing.T) {
	server := redistest.Start(t, `requirepass "p/w@:1"`)
	check := func(t *testing.T, url string) doctor.Result {
		redis, err := store.Open(store.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer redis.Close()
		f := newFixture(t)
		f.env["REDIS_URL"], f.cfg.Redis = url, redis
		return f.check("Redis")
	}
	for name, login := range map[string]string{"no password": "", "wrong password": "default:wrong@"} {
		t.Run(name, func(t *testing.T) {
			got := check(t, "redis://"+login+server.Addr())
			form := strings.TrimSuffix(got.Remedy[strings.Index(got.Remedy, "redis://"):], ", special characters percent-encoded")
			url := strings.NewReplacer("user", "default", "password", "p%2Fw%40%3A1", "host:6379", server.Addr()).Replace(form)
			if fixed := check(t, url); got.Status != doctor.Failed || fixed.Status != doctor.OK {
				t.Errorf("Redis = %+v, with %s %+v, want the remedy to work", got, url, fixed)
			}
		})
	}
}

func TestNoRedis(t *testing.T) {
	f := newFixture(t)
	f.env["REDIS_URL"] = ""
	report := f.run()
	if !report.OK {
		t.Errorf("report = %+v, want nothing failed", report)
	}
	wantResult(t, f.check("Redis"), doctor.Warning, "REDIS_URL is not set", "set REDIS_URL")
	wantResult(t, f.check("Redis latency"), doctor.Skipped, "there is no Redis to check", "")
}
