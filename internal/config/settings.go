package config

import (
	"errors"
	"log/slog"
	"strconv"
	"time"
)

// Settings are all settings, understood and checked.
type Settings struct {
	Graph Graph

	PublicURL      URL // without a slash at the end; zero: no subscriptions, or those of the tunnel
	Tunnel         Tunnel
	MediatorURL    URL // without a slash at the end
	MediatorToken  Secret
	SigningSecrets []Secret // whsec_…; all sign

	RedisURL   URL  // zero: Redis inside this process
	RedisEntra bool // log in to Redis as to Graph, not with the URL's user and password

	Listen
	Front

	PollInterval        time.Duration
	Resources           []string // templates with {id}, each beginning with /users/{id}/
	Lifetime            time.Duration
	PresenceSweep       bool          // ask for everybody's presence too
	SweepInterval       time.Duration // between two comparisons of Graph's list with the records
	Scheduled           string        // window or always
	Message             string        // external or internal
	MessageLimit        int           // longest message in characters; 0: no limit
	ClientStateKeys     []Secret      // none: made once and kept in Redis
	EncryptionCertFiles []string      // none: no resource data
	EncryptionKeyFiles  []string      // as many
	DeliveryConcurrency int

	LogLevel  slog.Level
	LogFormat string // json, text, or empty: text on a terminal, json elsewhere
}

// Settings looks up, understands and checks everything: what is not given as a
// flag comes from getenv, what is not there has its default. The error holds all
// mistakes, each a line that names the variable and says what to write.
func (s *Serve) Settings(getenv func(string) string) (Settings, error) {
	r := newReader(s, getenv)
	settings := Settings{
		Graph:               r.graph(),
		PublicURL:           r.publicURL(),
		MediatorURL:         r.mediatorURL(),
		MediatorToken:       r.secret("MEDIATOR_TOKEN"),
		SigningSecrets:      r.signingSecrets(),
		RedisURL:            r.redisURL(),
		Listen:              r.listen(),
		Front:               r.front(),
		PollInterval:        r.duration("POLL_INTERVAL", 100*time.Millisecond, 0),
		Resources:           r.resources(),
		Lifetime:            r.duration("SUBSCRIPTION_LIFETIME", 45*time.Minute, 10070*time.Minute),
		PresenceSweep:       r.on("PRESENCE_SWEEP"),
		SweepInterval:       r.duration("SWEEP_INTERVAL", 10*time.Second, 0),
		Scheduled:           r.one("SCHEDULED", "window", "always"),
		Message:             r.one("MESSAGE", "external", "internal"),
		MessageLimit:        r.number("MESSAGE_LIMIT", 0, maxMessage),
		ClientStateKeys:     r.several("CLIENT_STATE_KEY"),
		DeliveryConcurrency: r.number("DELIVERY_CONCURRENCY", 1, maxConcurrency),
		LogLevel:            levels[r.one("LOG_LEVEL", "debug", "info", "warn", "error")],
		LogFormat:           r.one("LOG_FORMAT", "json", "text"),
	}
	settings.RedisEntra = r.redisEntra(settings.RedisURL)
	settings.Tunnel = r.tunnel(settings.Listen)
	settings.EncryptionCertFiles, settings.EncryptionKeyFiles = r.encryption(settings.Graph)
	return settings, errors.Join(r.errs...)
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

const (
	maxConcurrency = 1000
	maxMessage     = 1_000_000
)

func (r *reader) number(name string, least, most int) int {
	s := r.get(name)
	n, err := strconv.Atoi(s.text)
	if err != nil || n < least || n > most {
		r.wrong(s.name, "is %s: write a number from %d to %d", shown(s.text), least, most)
	}
	return n
}
