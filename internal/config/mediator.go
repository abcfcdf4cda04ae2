package config

import (
	"encoding/base64"
	"errors"
	"net"
	"net/url"
	"strings"
)

var errNoURL = errors.New("not a URL")

// base reads a base URL: with a host, without query or fragment. ok says whether
// it fits, for what else is to be checked.
func (r *reader) base(s setting, example string) (u *url.URL, ok bool) {
	u, err := NewURL(s.text).Parse()
	switch {
	case err != nil || u.Hostname() == "" || u.Port() != "" && !validPort(u.Port()) ||
		u.Scheme != "http" && u.Scheme != "https":
		r.wrong(s.name, "is no base URL: write one such as %s", example)
		return nil, false
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s.text, "#"):
		r.wrong(s.name, "must not have a query or fragment: write one such as %s", example)
		return nil, false
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, true
}

func (r *reader) publicURL() URL {
	s := r.get("PUBLIC_URL")
	if s.text == "" {
		return URL{}
	}
	u, ok := r.base(s, "https://monitor.example.com")
	if !ok {
		return URL{}
	}
	if u.Scheme != "https" && !loopback(u.Hostname()) {
		r.wrong(s.name, "must be https, because Graph calls nothing else (http is for loopback): write one such as https://monitor.example.com")
	}
	return NewURL(u.String())
}

func (r *reader) mediatorURL() URL {
	const example = "http://mediator.example.com:5000"
	s := r.get("MEDIATOR_URL")
	if s.text == "" {
		ip, port := r.get("MEDIATOR_IP"), r.get("MEDIATOR_PORT")
		switch {
		case ip.text == "" && port.text == "":
			r.wrong(s.name, "is not set: write the base URL of the mediator, such as %s", example)
			return URL{}
		case ip.text == "":
			r.wrong(ip.name, "is not set, but MEDIATOR_PORT is: set MEDIATOR_URL instead of both, such as %s", example)
			return URL{}
		case port.text == "":
			r.wrong(port.name, "is not set, but MEDIATOR_IP is: set MEDIATOR_URL instead of both, such as %s", example)
			return URL{}
		case !validPort(port.text):
			r.wrong(port.name, "is %s, but MEDIATOR_IP needs a port: set MEDIATOR_URL instead of both, such as %s", shown(port.text), example)
			return URL{}
		}
		host := strings.Trim(ip.text, "[]")
		s = setting{ip.name, "http://" + net.JoinHostPort(host, port.text)}
	}
	u, ok := r.base(s, example)
	if !ok {
		return URL{}
	}
	return NewURL(u.String())
}

const signingPrefix = "whsec_"

func (r *reader) signingSecrets() []Secret {
	secrets := r.several("MEDIATOR_SIGNING_SECRET")
	for _, secret := range secrets {
		encoded, ok := strings.CutPrefix(secret.Reveal(), signingPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) == 0 {
			r.wrong("MEDIATOR_SIGNING_SECRET", "must be %s followed by base64, several separated by spaces: make one with: echo %s$(openssl rand -base64 32)",
				signingPrefix, signingPrefix)
			break
		}
	}
	return secrets
}

// several reads secrets separated by spaces.
func (r *reader) several(name string) []Secret {
	var secrets []Secret
	for text := range strings.FieldsSeq(r.get(name).text) {
		secrets = append(secrets, NewSecret(text))
	}
	return secrets
}

func (r *reader) redisURL() URL {
	s := r.get("REDIS_URL")
	if s.text == "" {
		return URL{}
	}
	u, err := NewURL(s.text).Parse()
	switch {
	case strings.Contains(s.text, "@") && (err != nil || torn(u)), err == nil && spoiled(u):
		r.wrong(s.name, "can't be understood: percent-encode what a URL can't hold in a password: "+
			"/ as %%2F, ? as %%3F, # as %%23, @ as %%40, %% as %%25, + as %%2B")
	case err != nil || u.Hostname() == "" || u.Scheme != "redis" && u.Scheme != "rediss":
		r.wrong(s.name, "is no Redis URL: write one such as redis://127.0.0.1:6379/0, or rediss://… for TLS")
	}
	return NewURL(s.text)
}

// redisEntra says whether the service logs in to Redis with its Entra credential.
func (r *reader) redisEntra(at URL) bool {
	if r.one("REDIS_AUTH", "url", "entra") != "entra" {
		return false
	}
	u, err := at.Parse()
	if r.mistaken("REDIS_URL") || err != nil {
		return true
	}
	query := u.Query()
	switch {
	case u.Scheme != "rediss":
		r.wrong("REDIS_AUTH", "is entra, which needs TLS: write REDIS_URL as rediss://NAME.REGION.redis.azure.net:10000")
	case query.Has("master_name"):
		r.wrong("REDIS_AUTH", "is entra, which does not work with Sentinel: take master_name out of REDIS_URL, or set REDIS_AUTH=url")
	case u.User != nil || query.Has("username") || query.Has("password"):
		r.wrong("REDIS_AUTH", "is entra, but REDIS_URL has a user or password too: take them out of REDIS_URL, or set REDIS_AUTH=url")
	}
	return true
}

// spoiled says whether a password in the query, which is that of a Redis behind Sentinel,
// was not escaped. No option of Redis has a + or a fragment.
func spoiled(u *url.URL) bool {
	_, err := url.ParseQuery(u.RawQuery)
	return err != nil || strings.Contains(u.RawQuery, "+") || u.Fragment != ""
}
