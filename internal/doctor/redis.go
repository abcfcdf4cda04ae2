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
)

// ErrRedisUnfit marks an error of [Redis.Describe] that says what is wrong with a
// Redis that answers; its text has the remedy after a colon.
var ErrRedisUnfit = errors.New("this Redis can't be used")

// toRedis mends calls to Redis.
var toRedis = remedies{
	noName:     "look at the host in REDIS_URL, and at this machine's DNS",
	noResolver: "look at this machine's DNS",
	refused:    "start Redis, or look at host and port in REDIS_URL; a Redis that listens on 127.0.0.1 alone is not reached from elsewhere",
	noTLS:      "write redis:// instead of rediss:// into REDIS_URL, or the port at which it speaks TLS",
	untrusted:  "add the authority of its certificate to the system's, or name it in SSL_CERT_FILE",
	wrongHost:  "write the name that its certificate is for into REDIS_URL",
	cut:        "write rediss:// into REDIS_URL if it speaks TLS, and look at its log",
	other:      "look at host and port in REDIS_URL, at the firewall, and whether it speaks TLS (rediss://) or not (redis://)",
}

// refusalsOfRedis are beginnings of what Redis itself answers.
var refusalsOfRedis = []struct{ begins, remedy string }{
	{"WRONGPASS", "write the right user and password into REDIS_URL: redis://user:password@host:6379/0, special characters percent-encoded"},
	{"NOAUTH", "write the password into REDIS_URL: redis://:password@host:6379/0"},
	{"ERR AUTH", "take the password out of REDIS_URL: this Redis has none"},
	{"NOPERM", "let this user run all commands on keys and channels that begin with om: (ACL SETUSER … +@all ~om:* &om:*)"},
	{"LOADING", "wait until it has loaded its data"},
	{"MASTERDOWN", "look why its master is away"},
	{"ERR DB index", "write a database number that it has into REDIS_URL"},
	{"ERR max number of clients", "raise maxclients, or end other clients"},
	{"cluster support disabled", "take ?addr=… out of REDIS_URL: this Redis is no Cluster"},
	{"all sentinels", "look at the addresses of the Sentinels and at master_name in REDIS_URL"},
}

// sentinelPasswords is the remedy for a wrong password behind Sentinel.
const sentinelPasswords = "look at both passwords in REDIS_URL: redis://user:password@host:26379 is for the Sentinels, " +
	"?username=…&password=… for Redis itself, special characters percent-encoded"

// loginRefusals are those of refusalsOfRedis that depend on how the service logs in.
var loginRefusals = []string{"WRONGPASS", "NOAUTH", "ERR AUTH"}

const (
	redisAccess = "give the identity that logs in access to the data: " +
		"Azure portal > your Azure Managed Redis > Authentication > Microsoft Entra Authentication > Select member"
	redisKeysOff = "if this is Azure Managed Redis, whose access keys are off by default, take them out and set REDIS_AUTH=entra"
)

func (e *examination) redis(ctx context.Context) verdict {
	url := e.cfg.Settings.RedisURL
	switch {
	case url.IsZero():
		return warning("REDIS_URL is not set: Redis runs inside the process, and all state is gone at each exit",
			"set REDIS_URL to a Redis 6.2 or later, such as redis://127.0.0.1:6379/0")
	case e.cfg.Redis == nil:
		return skipped("the settings must be mended first")
	}
	facts, err := e.cfg.Redis.Describe(ctx)
	if err != nil {
		return e.redisTrouble(err)
	}
	e.facts = facts
	if facts.Limit != "" {
		return warning(sentence(facts.Limit))
	}
	return well("%s, %s", facts.Server, cmp.Or(facts.Form, "one server"))
}

func (e *examination) redisTrouble(err error) verdict {
	text, at := err.Error(), e.cfg.Settings.RedisURL
	if errors.Is(err, ooo.ErrUnauthorized) || errors.Is(err, ooo.ErrUnavailable) {
		return e.loginTrouble(err) // with REDIS_AUTH=entra
	}
	if errors.Is(err, ErrRedisUnfit) {
		return failed(sentence(strings.TrimPrefix(text, ErrRedisUnfit.Error()+": ")))
	}
	for _, r := range refusalsOfRedis {
		if strings.Contains(text, r.begins) {
			remedy := r.remedy
			if slices.Contains(loginRefusals, r.begins) {
				remedy = e.redisLoginRemedy(remedy)
			}
			return failed("it answers "+printable(text), remedy)
		}
	}
	host := "Redis"
	if u, err := at.Parse(); err == nil {
		host = u.Host
	}
	why, found := causeOf(err, host)
	return failed(printable(found), toRedis.of(why))
}

// redisLoginRemedy is what to do about one of loginRefusals.
func (e *examination) redisLoginRemedy(usual string) string {
	u, err := e.cfg.Settings.RedisURL.Parse()
	switch {
	case e.cfg.Settings.RedisEntra:
		return redisAccess
	case err == nil && u.Query().Has("master_name"):
		return sentinelPasswords
	case err == nil && u.Scheme == "rediss":
		return usual + "; " + redisKeysOff
	}
	return usual
}

// inside says whether Redis is inside the process, where most is as it is.
func (e *examination) inside() bool { return e.cfg.Settings.RedisURL.IsZero() }

func (e *examination) keeping(context.Context) verdict {
	switch {
	case e.inside():
		return skipped("there is no Redis to ask")
	case len(e.facts.Loss) > 0:
		return warning(e.facts.Loss[0].Problem, e.facts.Loss[0].Remedy)
	case e.facts.Keeping == "":
		return skipped("this Redis does not tell how it keeps its data")
	}
	return well("%s", e.facts.Keeping)
}

func (e *examination) eviction(context.Context) verdict {
	switch {
	case e.inside():
		return skipped("there is no Redis to ask")
	case len(e.facts.Evicted) > 0:
		return warning(e.facts.Evicted[0].Problem, e.facts.Evicted[0].Remedy)
	case e.facts.Policy == "":
		return skipped("this Redis does not tell its maxmemory-policy")
	}
	return well("%s, %s", e.facts.Policy, e.facts.Memory)
}

const (
	pings = 11
	// mostLatency is what a look at a user may well bear: it takes a few round trips.
	mostLatency = 20 * time.Millisecond
	// mostRedisDrift is how far the clocks may be apart: replicas agree by that of
	// Redis, scheduled windows open by this machine's.
	mostRedisDrift = time.Second
)

func (e *examination) latency(ctx context.Context) verdict {
	if e.inside() {
		return skipped("there is no Redis to ask")
	}
	var times []time.Duration
	for range pings {
		began := time.Now()
		if err := e.cfg.Redis.Ping(ctx); err != nil {
			return e.redisTrouble(err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	median := times[len(times)/2]
	text := fmt.Sprintf("%s, the median of %d pings (%s to %s)", took(median), pings, took(times[0]), took(times[len(times)-1]))
	if median > mostLatency {
		return warning(text, "put Redis and the service into the same network: each look at a user waits for it a few times")
	}
	return well("%s", text)
}

func (e *examination) clock(ctx context.Context) verdict {
	if e.inside() {
		return skipped("there is no Redis to ask")
	}
	before := time.Now()
	now, err := e.cfg.Redis.Now(ctx)
	if err != nil {
		return e.redisTrouble(err)
	}
	after := time.Now()
	off := now.Sub(before.Add(after.Sub(before) / 2))
	if off.Abs() > mostRedisDrift+after.Sub(before) {
		return warning("by the clock of Redis this machine is "+drift(off), "let both machines' clocks be set over the network (chrony, systemd-timesyncd)")
	}
	return well("within %s of this machine's", took(off.Abs()+after.Sub(before)))
}
