package config

import (
	"crypto/tls"
	"net"
)

// Listen says where the service is reached and by whom.
type Listen struct {
	ListenAddr     string // public listener
	PrivateAddr    string // of everything but Graph's callbacks; empty: the public listener
	TLSCertFile    string // of the public listener; empty: no TLS
	TLSKeyFile     string
	MonitorToken   Secret
	AllowAnonymous bool
}

func (r *reader) listen() Listen {
	l := Listen{
		TLSCertFile:    r.file("TLS_CERT_FILE"),
		TLSKeyFile:     r.file("TLS_KEY_FILE"),
		MonitorToken:   r.secret("MONITOR_TOKEN"),
		AllowAnonymous: r.on("ALLOW_ANONYMOUS"),
	}
	public := r.get("LISTEN_ADDR")
	if port := r.get("PORT"); public.text == "" && port.text != "" {
		public = setting{port.name, ":" + port.text}
		if !validPort(port.text) {
			r.wrong(port.name, "is %s: write a port from 0 to 65535", shown(port.text))
			public.text = ""
		}
	} else if public.text == "" {
		public.text = ":8080"
	}
	if public.text != "" {
		l.ListenAddr = r.address(public)
	}
	private := r.get("PRIVATE_ADDR")
	if private.text != "" {
		l.PrivateAddr = r.address(private)
		_, port, _ := net.SplitHostPort(l.PrivateAddr)
		if l.PrivateAddr != "" && l.PrivateAddr == l.ListenAddr && port != "0" {
			r.wrong(private.name, "is the same as %s: write another port, or leave it out to serve everything there", public.name)
		}
	} else {
		private = public
	}
	r.guarded(l, private)
	r.certificate(l)
	return l
}

// guarded refuses to leave the private routes open to whoever finds them.
func (r *reader) guarded(l Listen, private setting) {
	host, _, err := net.SplitHostPort(private.text)
	if err != nil || loopback(host) || !l.MonitorToken.IsZero() || l.AllowAnonymous {
		return
	}
	r.wrong("MONITOR_TOKEN", "is not set, and %s can be reached from other machines: write a long random token, listen on 127.0.0.1, or set ALLOW_ANONYMOUS=true", private.text)
}

func (r *reader) certificate(l Listen) {
	switch {
	case l.TLSCertFile == "" && l.TLSKeyFile == "":
	case l.TLSKeyFile == "":
		r.wrong("TLS_KEY_FILE", "is not set, but TLS_CERT_FILE is: set both or none")
	case l.TLSCertFile == "":
		r.wrong("TLS_CERT_FILE", "is not set, but TLS_KEY_FILE is: set both or none")
	case r.mistaken("TLS_CERT_FILE", "TLS_KEY_FILE"):
	default:
		if _, err := tls.LoadX509KeyPair(l.TLSCertFile, l.TLSKeyFile); err != nil {
			r.wrong("TLS_CERT_FILE", "and TLS_KEY_FILE hold no certificate and private key that fit together: "+plainPEM)
		}
	}
}
