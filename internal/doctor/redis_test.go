package doctor_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/ooo"
)

func TestRedis(t *testing.T) {
	tests := map[string]struct {
		wrong         func(*redis)
		check         string
		status        doctor.Status
		found, remedy string
	}{
		"it answers":                  {func(*redis) {}, "Redis", doctor.OK, "Redis 7.2.4, one server", ""},
		"it is a Cluster":             {func(r *redis) { r.facts.Form = "a Cluster of 3 masters" }, "Redis", doctor.OK, "a Cluster of 3 masters", ""},
		"it wants a password":         {func(r *redis) { r.err = errors.New("NOAUTH Authentication required.") }, "Redis", doctor.Failed, "NOAUTH", "password"},
		"it wants another password":   {func(r *redis) { r.err = errors.New("WRONGPASS invalid username-password pair") }, "Redis", doctor.Failed, "WRONGPASS", "user and password"},
		"it wants rights":             {func(r *redis) { r.err = errors.New("NOPERM this user has no permissions") }, "Redis", doctor.Failed, "NOPERM", "+@all ~om:* &om:*"},
		"it refuses commands":         {func(r *redis) { r.err = fmt.Errorf("%w: XADD: let it", doctor.ErrRedisUnfit) }, "Redis", doctor.Failed, "XADD", "let it"},
		"it refuses messages":         {func(r *redis) { r.facts.Limit = "no messages: allow the channel" }, "Redis", doctor.Warning, "no messages", "allow the channel"},
		"it is no Cluster":            {func(r *redis) { r.err = errors.New("ERR This instance has cluster support disabled") }, "Redis", doctor.Failed, "cluster", "addr"},
		"it is too old":               {func(r *redis) { r.err = fmt.Errorf("%w: Redis is version 5.0.1: needs 6.2", doctor.ErrRedisUnfit) }, "Redis", doctor.Failed, "Redis is version 5.0.1", "needs 6.2"},
		"what is after it is left":    {func(r *redis) { r.err = errAny }, "Redis clock", doctor.Skipped, "because Redis failed", ""},
		"it keeps its data":           {func(*redis) {}, "Redis persistence", doctor.OK, "an append-only file", ""},
		"it may lose its data":        {func(r *redis) { r.facts.Loss = []doctor.Fault{{"keeps nothing", "set appendonly"}} }, "Redis persistence", doctor.Warning, "keeps nothing", "set appendonly"},
		"it does not tell how":        {func(r *redis) { r.facts.Keeping = "" }, "Redis persistence", doctor.Skipped, "does not tell", ""},
		"it throws nothing away":      {func(*redis) {}, "Redis eviction", doctor.OK, "noeviction, 1.5M used", ""},
		"it throws users away":        {func(r *redis) { r.facts.Evicted = []doctor.Fault{{"policy is allkeys-lru", "set it"}} }, "Redis eviction", doctor.Warning, "allkeys-lru", "set it"},
		"it does not tell its policy": {func(r *redis) { r.facts.Policy = "" }, "Redis eviction", doctor.Skipped, "does not tell", ""},
		"it is far away":              {func(r *redis) { r.ping = 21 * time.Millisecond }, "Redis latency", doctor.Warning, "the median of 11 pings", "same network"},
		"its clock is ahead":          {func(r *redis) { r.off = time.Hour }, "Redis clock", doctor.Warning, "this machine is 1h0m0s slow", "over the network"},
		"its clock is behind":         {func(r *redis) { r.off = -time.Hour }, "Redis clock", doctor.Warning, "this machine is 1h0m0s fast", "over the network"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tt.wrong(w.redis)
			wants(t, w.check(tt.check), tt.status, tt.found, tt.remedy)
		})
	}
}

func TestAPasswordBehindSentinel(t *testing.T) {
	for _, answer := range []string{"NOAUTH Authentication required.", "WRONGPASS invalid username-password pair"} {
		w := newWorld(t)
		w.env["REDIS_URL"] = "redis://sentinel.example:26379?master_name=om"
		w.redis.err = errors.New(answer)
		wants(t, w.check("Redis"), doctor.Failed, answer, "?username=…&password=… for Redis itself")
	}
}

func TestRedisLogins(t *testing.T) {
	tests := map[string]struct {
		auth          string
		err           error
		found, remedy string
	}{
		"no access policy":            {auth: "entra", err: errors.New("WRONGPASS invalid username-password pair"), found: "WRONGPASS", remedy: "Microsoft Entra Authentication"},
		"no access policy, HELLO too": {auth: "entra", err: errors.New("NOAUTH Authentication required."), found: "NOAUTH", remedy: "Microsoft Entra Authentication"},
		"an expired identity":         {auth: "entra", err: fmt.Errorf("%w: AADSTS7000222", ooo.ErrUnauthorized), found: "the client secret has expired", remedy: "New client secret"},
		"the login endpoint is away":  {auth: "entra", err: fmt.Errorf("%w: the login endpoint: EOF", ooo.ErrUnavailable), found: "the login endpoint: EOF", remedy: "try again in a minute"},
		"keys that are disabled":      {auth: "url", err: errors.New("WRONGPASS invalid username-password pair"), found: "WRONGPASS", remedy: "REDIS_AUTH=entra"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.env["REDIS_URL"], w.env["REDIS_AUTH"] = "rediss://name.redis.azure.net:10000", tt.auth
			w.redis.err = fmt.Errorf("redis: %w", tt.err)
			wants(t, w.check("Redis"), doctor.Failed, tt.found, tt.remedy)
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
	wants(t, w.check("Redis latency"), doctor.Skipped, "there is no Redis to ask", "")
}
