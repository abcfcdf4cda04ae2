package redistest

import (
	"bytes"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// Entra is a redis-server with TLS that simulates Azure Managed Redis with Microsoft Entra
// authentication: a token is the password of its user until it expires. Expiry also closes
// the connections whose last login used the token.
type Entra struct {
	CAFile string // has the self-signed certificate for 127.0.0.1

	server *Server
	addr   string
	tokens sync.Map // time of expiry by token
}

// StartEntra starts a server without any token.
func StartEntra(t testing.TB) *Entra {
	t.Helper()
	certFile, keyFile := certtest.Files(t, certtest.Key(t), "127.0.0.1", time.Now().Add(24*time.Hour))
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	must.NoError(t, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	must.NoError(t, err)
	e := &Entra{CAFile: certFile, server: Start(t, "requirepass an-access-key"), addr: ln.Addr().String()}
	programtest.NewRelay(t, ln, func(client, _ net.Conn) net.Conn { return &session{Conn: client, tokens: &e.tokens} }, e.server.addr)
	return e
}

// URL returns the URL for go-redis, without credentials.
func (e *Entra) URL() string { return "rediss://" + e.addr }

// AddToken lets user log in with a token until it expires.
func (e *Entra) AddToken(user, token string, life time.Duration) {
	e.tokens.Store(token, time.Now().Add(life))
	time.AfterFunc(life, func() { e.tokens.Delete(token) })
	e.server.AddToken(user, token, life)
}

// AddToken lets user log in with a token until it expires. Expiry does not close
// connections.
func (s *Server) AddToken(user, token string, life time.Duration) {
	if _, err := s.try("ACL", "SETUSER", user, "on", ">"+token, "+@all", "~om:*", "&om:*"); err != nil {
		s.t.Errorf("add a token: %v", err)
	}
	time.AfterFunc(life, func() {
		_, _ = s.try("ACL", "SETUSER", user, "<"+token) // fails only once the test has ended
	})
}

// session is a client's connection. It ends when the token of its last login expires.
type session struct {
	net.Conn
	tokens *sync.Map
	recent []byte // the last bytes since the last login: a token may arrive in pieces
}

const maxToken = 8 << 10

func (s *session) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.recent = append(s.recent, p[:n]...)
	s.tokens.Range(func(token, expiry any) bool {
		login := bytes.Contains(s.recent, []byte(token.(string)))
		if login {
			s.recent = nil
			_ = s.SetReadDeadline(expiry.(time.Time))
		}
		return !login
	})
	s.recent = s.recent[max(0, len(s.recent)-maxToken):]
	return n, err
}
