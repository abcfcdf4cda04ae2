package doctor_test

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

func TestRedis(t *testing.T) {
	tests := map[string]struct {
		wrong         func(*fakeRedis)
		check         string
		status        doctor.Status
		found, remedy string
	}{
		"it answers":                {func(*fakeRedis) {}, "Redis", doctor.OK, "Redis 7.2.4, one server", ""},
		"it is a Cluster":           {func(r *fakeRedis) { r.report.Topology = "a Cluster of 3 masters" }, "Redis", doctor.OK, "a Cluster of 3 masters", ""},
		"it wants a password":       {func(r *fakeRedis) { r.err = errors.New("NOAUTH Authentication required.") }, "Redis", doctor.Failed, "NOAUTH", "password"},
		"it wants another password": {func(r *fakeRedis) { r.err = errors.New("WRONGPASS invalid username-password pair") }, "Redis", doctor.Failed, "WRONGPASS", "user and password"},
		"it wants rights":           {func(r *fakeRedis) { r.err = errors.New("NOPERM this user has no permissions") }, "Redis", doctor.Failed, "NOPERM", "+@all ~om:* &om:*"},
		"it refuses commands":       {func(r *fakeRedis) { r.refused = fmt.Errorf("XADD in scripts: %w", store.ErrRefused) }, "Redis", doctor.Failed, "XADD", "allow its user all commands"},
		"it refuses messages":       {func(r *fakeRedis) { r.refused = store.ErrNoMessages }, "Redis", doctor.Warning, "messages between replicas are refused", "&om:*"},
		"it is no Cluster":          {func(r *fakeRedis) { r.err = errors.New("ERR This instance has cluster support disabled") }, "Redis", doctor.Failed, "cluster", "addr"},
		"it is too old":             {func(r *fakeRedis) { r.err = fmt.Errorf("Redis is version 5.0.1: %w", store.ErrTooOld) }, "Redis", doctor.Failed, "Redis is version 5.0.1", "needs Redis 6.2"},
		"what is after it is left":  {func(r *fakeRedis) { r.err = errAny }, "Redis clock", doctor.Skipped, "because Redis failed", ""},
		"it keeps its data":         {func(*fakeRedis) {}, "Redis persistence", doctor.OK, "append-only file", ""},
		"it may lose its data": {func(r *fakeRedis) {
			r.report.Findings = []store.Finding{{Problem: "keeps nothing", Remedy: "set appendonly"}}
		}, "Redis persistence", doctor.Warning, "keeps nothing", "set appendonly"},
		"it does not tell how":   {func(r *fakeRedis) { r.report.Persistence = "" }, "Redis persistence", doctor.Skipped, "does not report it", ""},
		"it throws nothing away": {func(*fakeRedis) {}, "Redis eviction", doctor.OK, "noeviction, 1.5M used", ""},
		"it throws users away": {func(r *fakeRedis) {
			r.report.Findings = []store.Finding{{Problem: "policy is allkeys-lru", Remedy: "set it", Eviction: true, Servers: []string{"a:1", "b:1"}}}
		}, "Redis eviction", doctor.Warning, "allkeys-lru (a:1, b:1)", "set it"},
		"it does not tell its policy": {func(r *fakeRedis) { r.report.Policy = "" }, "Redis eviction", doctor.Skipped, "does not report it", ""},
		"it is far away":              {func(r *fakeRedis) { r.ping = 21 * time.Millisecond }, "Redis latency", doctor.Warning, "the median of 11 pings", "same network"},
		"its clock is ahead":          {func(r *fakeRedis) { r.off = time.Hour }, "Redis clock", doctor.Warning, "this machine's clock is 1h0m0s slow", "over the network"},
		"its clock is behind":         {func(r *fakeRedis) { r.off = -time.Hour }, "Redis clock", doctor.Warning, "this machine's clock is 1h0m0s fast", "over the network"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tt.wrong(w.redis)
			wants(t, w.check(tt.check), tt.status, tt.found, tt.remedy)
		})
	}
}

func TestRedisLogins(t *testing.T) {
	tests := map[string]struct {
		auth, url     string // url empty: of Azure Managed Redis
		err           error
		found, remedy string
	}{
		"no access policy":            {auth: "entra", err: errors.New("WRONGPASS invalid username-password pair"), found: "WRONGPASS", remedy: "Microsoft Entra Authentication"},
		"no access policy, HELLO too": {auth: "entra", err: errors.New("NOAUTH Authentication required."), found: "NOAUTH", remedy: "Microsoft Entra Authentication"},
		"an expired identity":         {auth: "entra", err: fmt.Errorf("%w: AADSTS7000222", ooo.ErrUnauthorized), found: "the client secret has expired", remedy: "New client secret"},
		"the login endpoint is away":  {auth: "entra", err: fmt.Errorf("%w: the login endpoint: EOF", ooo.ErrUnavailable), found: "the login endpoint: EOF", remedy: "try again in a minute"},
		"keys that are disabled":      {auth: "url", err: errors.New("WRONGPASS invalid username-password pair"), found: "WRONGPASS", remedy: "REDIS_AUTH=entra"},
		"no password behind Sentinel": {auth: "url", url: "redis://sentinel.example:26379?master_name=om", err: errors.New("NOAUTH Authentication required."), found: "NOAUTH", remedy: "?username=…&password=… for Redis itself"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.env["REDIS_URL"], w.env["REDIS_AUTH"] = cmp.Or(tt.url, "rediss://name.redis.azure.net:10000"), tt.auth
			w.redis.err = fmt.Errorf("redis: %w", tt.err)
			wants(t, w.check("Redis"), doctor.Failed, tt.found, tt.remedy)
		})
	}
}

// TestRemediesForRedisWork follows the remedies for a real Redis to the letter.
func TestRemediesForRedisWork(t *testing.T) {
	const password = "p/w@:1"
	server := redistest.Start(t, `requirepass "`+password+`"`)
	options, err := goredis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	admin := goredis.NewClient(options)
	defer admin.Close()
	allow := func(rules ...any) {
		if err := admin.Do(t.Context(), append([]any{"ACL", "SETUSER", "om"}, rules...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(t *testing.T, url string) doctor.Result {
		redis, err := store.Open(store.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer redis.Close()
		w := newWorld(t)
		w.env["REDIS_URL"], w.cfg.Redis = url, redis
		return w.check("Redis")
	}
	for name, rules := range map[string][]any{
		"no command":  {"-@all"},
		"no keys":     {"+@all", "&om:*"},
		"no scripts":  {"+@all", "~om:*", "&om:*", "-evalsha"},
		"no messages": {"+@all", "~om:*"},
	} {
		t.Run(name, func(t *testing.T) {
			allow(append([]any{"reset", "on", ">right"}, rules...)...)
			url := "redis://om:right@" + server.Addr()
			got := check(t, url)
			_, remedy, _ := strings.Cut(got.Remedy, "ACL SETUSER … ")
			remedy, _, _ = strings.Cut(remedy, ")")
			for rule := range strings.FieldsSeq(remedy) {
				allow(rule)
			}
			if again := check(t, url); got.Status == doctor.OK || again.Status != doctor.OK {
				t.Errorf("Redis = %+v, then %+v, want the remedy to work", got, again)
			}
		})
	}
	for name, login := range map[string]string{"no password": "", "a wrong password": "default:wrong@"} {
		t.Run(name, func(t *testing.T) {
			got := check(t, "redis://"+login+server.Addr())
			form := strings.TrimSuffix(got.Remedy[strings.Index(got.Remedy, "redis://"):], ", special characters percent-encoded")
			url := strings.NewReplacer("user", "default", "password", "p%2Fw%40%3A1", "host:6379", server.Addr()).Replace(form)
			if again := check(t, url); got.Status != doctor.Failed || again.Status != doctor.OK {
				t.Errorf("Redis = %+v, with %s %+v, want the remedy to work", got, url, again)
			}
		})
	}
}

func TestNoRedis(t *testing.T) {
	w := newWorld(t)
	w.env["REDIS_URL"] = ""
	report := w.run()
	if !report.OK {
		t.Errorf("report = %+v, want nothing failed", report)
	}
	wants(t, w.check("Redis"), doctor.Warning, "REDIS_URL is not set", "set REDIS_URL")
	wants(t, w.check("Redis latency"), doctor.Skipped, "there is no Redis to check", "")
}
