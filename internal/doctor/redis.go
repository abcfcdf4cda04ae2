package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// toRedis has remedies for calls to Redis.
var toRedis = remedies{
	noName:    "check the host in REDIS_URL, and this machine's DNS",
	refused:   "start Redis, or correct host and port in REDIS_URL; a Redis that binds to 127.0.0.1 is not reachable from elsewhere",
	noTLS:     "use redis:// instead of rediss:// in REDIS_URL, or the port on which it speaks TLS",
	wrongHost: "use the name that its certificate is for in REDIS_URL",
	cut:       "use rediss:// in REDIS_URL if it speaks TLS, and check its log",
	other:     "check host and port in REDIS_URL, the firewall, and whether it speaks TLS (rediss://) or not (redis://)",
}

// redisRefusals are words in errors of Redis itself.
var redisRefusals = []struct {
	says, remedy string
	login        bool // it is about user and password
}{
	{"WRONGPASS", "correct user and password in REDIS_URL: redis://user:password@host:6379/0, special characters percent-encoded", true},
	{"NOAUTH", "set the password in REDIS_URL: redis://:password@host:6379/0, special characters percent-encoded", true},
	{"ERR AUTH", "remove the password from REDIS_URL: this Redis has none", true},
	{"NOPERM", problem.ReplaceAllString(store.ErrRefused.Error(), "$2"), false},
	{"LOADING", "wait until it has loaded its data", false},
	{"MASTERDOWN", "find out why its master is down", false},
	{"ERR DB index", "use an existing database number in REDIS_URL", false},
	{"ERR max number of clients", "raise maxclients, or end other clients", false},
	{"cluster support disabled", "remove ?addr=… from REDIS_URL: this Redis is not a Cluster", false},
	{"all sentinels", "check the addresses of the Sentinels and master_name in REDIS_URL", false},
}

// Remedies for a refused login that depend on what REDIS_URL and REDIS_AUTH are.
const (
	sentinelPasswords = "check both passwords in REDIS_URL: redis://user:password@host:26379 is for the Sentinels, " +
		"?username=…&password=… for Redis itself, special characters percent-encoded"
	redisAccess = "give the identity that logs in access to the data: " +
		"Azure portal > your Azure Managed Redis > Authentication > Microsoft Entra Authentication > Select member"
	redisKeysOff = "if this is Azure Managed Redis, whose access keys are off by default, remove them and set REDIS_AUTH=entra"
)

func (e *examination) redis(ctx context.Context) Result {
	switch {
	case e.cfg.Settings.RedisURL.IsZero():
		return warning("REDIS_URL is not set: Redis runs inside the process, and all state is lost at exit",
			"set REDIS_URL to a Redis 6.2 or later, such as redis://127.0.0.1:6379/0")
	case e.cfg.Redis == nil:
		return skipped("fix the settings first")
	}
	report, err := e.cfg.Redis.Inspect(ctx)
	if err == nil {
		err = e.cfg.Redis.Check(ctx)
	}
	e.redisReport = report
	switch {
	case errors.Is(err, store.ErrNoMessages):
		return warning(split(err.Error()))
	case err != nil:
		return e.redisFailure(err)
	}
	return ok("%s, %s", report.Server, cmp.Or(report.Topology, "one server"))
}

// redisFailure says why Redis can't be used.
func (e *examination) redisFailure(err error) Result {
	text := err.Error()
	if either(err, store.ErrTooOld, store.ErrReplica, store.ErrClusterNode, store.ErrNewerSchema, store.ErrOlderSchema, store.ErrRefused) {
		return failed(split(text))
	}
	if either(err, ooo.ErrUnauthorized, ooo.ErrUnavailable) { // with REDIS_AUTH=entra
		return e.loginFailure(err)
	}
	url, parseErr := e.cfg.Settings.RedisURL.Parse()
	if parseErr != nil {
		return failed("REDIS_URL is not a URL", toRedis[other])
	}
	for _, r := range redisRefusals {
		switch found := "it answers " + printable(text); {
		case !strings.Contains(text, r.says):
		case r.login && e.cfg.Settings.RedisEntra:
			return failed(found, redisAccess)
		case r.login && url.Query().Has("master_name"):
			return failed(found, sentinelPasswords)
		case r.login && url.Scheme == "rediss":
			return failed(found, r.remedy+"; "+redisKeysOff)
		default:
			return failed(found, r.remedy)
		}
	}
	return toRedis.failure(err, url.Host)
}

// withoutRedis says why there is nothing to ask of Redis.
func (e *examination) withoutRedis() string {
	if e.cfg.Settings.RedisURL.IsZero() {
		return "there is no Redis to check"
	}
	return ""
}

func (e *examination) persistence(context.Context) Result {
	return e.configured(false, e.redisReport.Persistence)
}

func (e *examination) eviction(context.Context) Result {
	found := e.redisReport.Policy
	if found != "" && e.redisReport.Memory != "" {
		found += ", " + e.redisReport.Memory
	}
	return e.configured(true, found)
}

// configured warns of the first finding of a kind; otherwise it says what was found.
func (e *examination) configured(eviction bool, found string) Result {
	for _, f := range e.redisReport.Findings {
		if f.Eviction != eviction {
			continue
		}
		problem := f.Problem
		if len(f.Servers) > 0 {
			problem += " (" + strings.Join(f.Servers, ", ") + ")"
		}
		return warning(problem, f.Remedy)
	}
	if found == "" {
		return skipped("this Redis does not report it")
	}
	return ok("%s", found)
}

const (
	pings = 11
	// maxLatency is what a change may well wait a few times.
	maxLatency = 20 * time.Millisecond
	// maxRedisDrift is how far the clocks may differ. Replicas agree by Redis' clock,
	// scheduled replies begin by this machine's.
	maxRedisDrift = time.Second
)

func (e *examination) latency(ctx context.Context) Result {
	var times []time.Duration
	for range pings {
		began := time.Now()
		if err := e.cfg.Redis.Ping(ctx); err != nil {
			return e.redisFailure(err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	median := times[len(times)/2]
	text := fmt.Sprintf("%s, the median of %d pings (%s to %s)", short(median), pings, short(times[0]), short(times[len(times)-1]))
	if median > maxLatency {
		return warning(text, "run Redis and the service in the same network: each change waits for it a few times")
	}
	return ok("%s", text)
}

func (e *examination) clock(ctx context.Context) Result {
	before := time.Now()
	now, err := e.cfg.Redis.Now(ctx)
	if err != nil {
		return e.redisFailure(err)
	}
	took := time.Since(before)
	off := now.Sub(before.Add(took / 2))
	if off.Abs() > maxRedisDrift+took {
		return warning("compared with Redis, this machine's clock is "+drift(off), "synchronize the clocks of both over the network")
	}
	return ok("within %s of this machine's", short(off.Abs()+took))
}
