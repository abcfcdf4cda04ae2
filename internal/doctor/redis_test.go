package doctor_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

func TestRedis(t *testing.T) {
	const azure, sentinel = "rediss://name.redis.azure.net:10000", "redis://sentinel.example:26379?master_name=om"
	noAuth := errors.New("NOAUTH Authentication required.")
	wrongPass := errors.New("WRONGPASS invalid username-password pair")
	entra := func(err error) func(*fixture) {
		return func(f *fixture) {
			f.env["REDIS_URL"], f.env["REDIS_AUTH"], f.redis.err = azure, "entra", fmt.Errorf("redis: %w", err)
		}
	}
	wantFindings(t, map[string]finding{
		"single server":              {func(*fixture) {}, "Redis", doctor.OK, "Redis 7.2.4, one server", ""},
		"no Redis":                   {func(f *fixture) { f.env["REDIS_URL"] = "" }, "Redis", doctor.Warning, "REDIS_URL is not set", "set REDIS_URL"},
		"latency of no Redis":        {func(f *fixture) { f.env["REDIS_URL"] = "" }, "Redis latency", doctor.Skipped, "there is no Redis to check", ""},
		"Cluster":                    {func(f *fixture) { f.redis.report.Topology = "Cluster, data at a:1" }, "Redis", doctor.OK, "Redis 7.2.4, Cluster, data at a:1", ""},
		"password missing":           {func(f *fixture) { f.redis.err = noAuth }, "Redis", doctor.Failed, "NOAUTH", "password"},
		"wrong password":             {func(f *fixture) { f.redis.err = wrongPass }, "Redis", doctor.Failed, "WRONGPASS", "user and password"},
		"no access policy in Azure":  {entra(noAuth), "Redis", doctor.Failed, "NOAUTH", "Microsoft Entra Authentication"},
		"login endpoint unreachable": {entra(fmt.Errorf("%w: the login endpoint: EOF", ooo.ErrUnavailable)), "Redis", doctor.Failed, "the login endpoint: EOF", "try again in a minute"},
		"no credential for Azure": {func(f *fixture) {
			f.env["REDIS_URL"], f.env["REDIS_AUTH"], f.env["AZURE_CLIENT_SECRET"] = azure, "entra", ""
		},
			"Redis", doctor.Skipped, "fix AZURE_CLIENT_SECRET first", ""},
		"URL in an unreadable file": {func(f *fixture) { f.env["REDIS_URL"], f.env["REDIS_URL_FILE"] = "", "missing" },
			"Redis", doctor.Skipped, "fix REDIS_URL_FILE first", ""},
		"access keys disabled in Azure": {func(f *fixture) { f.env["REDIS_URL"], f.redis.err = azure, wrongPass },
			"Redis", doctor.Failed, "WRONGPASS", "REDIS_AUTH=entra"},
		"password missing behind Sentinel": {func(f *fixture) { f.env["REDIS_URL"], f.redis.err = sentinel, noAuth },
			"Redis", doctor.Failed, "NOAUTH", "?username=…&password=… for Redis itself"},
		"no permissions":       {func(f *fixture) { f.redis.err = errors.New("NOPERM this user has no permissions") }, "Redis", doctor.Failed, "NOPERM", "+@all ~om:* &om:*"},
		"commands refused":     {func(f *fixture) { f.redis.refused = fmt.Errorf("XADD in scripts: %w", store.ErrRefused) }, "Redis", doctor.Failed, "XADD", "allow its user all commands"},
		"messages refused":     {func(f *fixture) { f.redis.refused = store.ErrNoMessages }, "Redis", doctor.Warning, "messages between replicas are refused", "&om:*"},
		"not a Cluster":        {func(f *fixture) { f.redis.err = errors.New("ERR This instance has cluster support disabled") }, "Redis", doctor.Failed, "cluster", "addr"},
		"app unknown":          {func(f *fixture) { f.redis.foreign, f.env["AZURE_CLIENT_ID"] = store.ErrForeign, "" }, "Redis", doctor.OK, "Redis 7.2.4", ""},
		"too old":              {func(f *fixture) { f.redis.err = fmt.Errorf("Redis is version 5.0.1: %w", store.ErrTooOld) }, "Redis", doctor.Failed, "Redis is version 5.0.1", "needs Redis 6.2"},
		"later checks skipped": {func(f *fixture) { f.redis.err = errAny }, "Redis clock", doctor.Skipped, "because Redis failed", ""},
		"persistence":          {func(*fixture) {}, "Redis persistence", doctor.OK, "append-only file", ""},
		"no persistence": {func(f *fixture) {
			f.redis.report.Findings = []store.Finding{{Problem: "keeps nothing", Remedy: "set appendonly"}}
		}, "Redis persistence", doctor.Warning, "keeps nothing", "set appendonly"},
		"unknown persistence": {func(f *fixture) { f.redis.report.Persistence = "" }, "Redis persistence", doctor.Skipped, "does not report it", ""},
		"no eviction":         {func(*fixture) {}, "Redis eviction", doctor.OK, "noeviction, 1.5M used", ""},
		"eviction": {func(f *fixture) {
			f.redis.report.Findings = []store.Finding{{Problem: "policy is allkeys-lru", Remedy: "set it", Eviction: true}}
		}, "Redis eviction", doctor.Warning, "policy is allkeys-lru", "set it"},
		"unknown eviction policy": {func(f *fixture) { f.redis.report.Policy = "" }, "Redis eviction", doctor.Skipped, "does not report it", ""},
		"high latency":            {func(f *fixture) { f.redis.ping = 21 * time.Millisecond }, "Redis latency", doctor.Warning, "the median of 11 pings", "same network"},
		"clock ahead":             {func(f *fixture) { f.redis.off = time.Hour }, "Redis clock", doctor.Warning, "this machine's clock is 1h0m0s slow", "over the network"},
		"clock behind":            {func(f *fixture) { f.redis.off = -time.Hour }, "Redis clock", doctor.Warning, "this machine's clock is 1h0m0s fast", "over the network"},
	})
}

// TestRedisPasswordRemedies follows the remedies with a real Redis.
func TestRedisPasswordRemedies(t *testing.T) {
	server := redistest.Start(t, `requirepass "p/w@:1"`)
	check := func(t *testing.T, url string) doctor.Result {
		redis, err := store.Open(store.Config{URL: url})
		must.NoError(t, err)
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
