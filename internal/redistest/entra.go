package redistest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/certtest"
)

// Entra is a redis-server with TLS that simulates Azure Managed Redis with Microsoft Entra
// authentication: a token is the password of its user until it expires. Expiry also closes
// the connections whose last login used the token.
type Entra struct {
	server   *Server
	listener net.Listener
	caFile   string
	denied   atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]string // token of the last login; guarded by mu
}

// StartEntra starts a server without any token.
func StartEntra(t testing.TB) *Entra {
	t.Helper()
	certFile, keyFile := certtest.Files(t, certtest.Key(t), "127.0.0.1", time.Now().Add(24*time.Hour))
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	e := &Entra{server: Start(t, "requirepass an-access-key"), caFile: certFile, conns: map[net.Conn]string{}}
	if e.listener, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}}); err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	relays.Go(func() {
		for {
			client, err := e.listener.Accept()
			if err != nil {
				return
			}
			relays.Go(func() { e.relay(client) })
		}
	})
	t.Cleanup(func() {
		e.listener.Close()
		e.close(func(string) bool { return true })
		relays.Wait()
	})
	return e
}

// URL returns the URL for go-redis, without credentials.
func (e *Entra) URL() string { return "rediss://" + e.listener.Addr().String() }

// CAFile returns a PEM file with the server's self-signed certificate.
func (e *Entra) CAFile() string { return e.caFile }

// AddToken lets user log in with a token until it expires.
func (e *Entra) AddToken(user, token string, life time.Duration) error {
	if e.denied.Load() {
		return nil
	}
	if err := e.server.acl(user, "on", ">"+token, "+@all", "~om:*", "&om:*"); err != nil {
		return err
	}
	time.AfterFunc(life, func() {
		_ = e.server.acl(user, "<"+token) // fails only once the test has ended
		e.close(func(last string) bool { return last == token })
	})
	return nil
}

// DenyAccess refuses all further tokens, as if all access policies were removed.
func (e *Entra) DenyAccess(denied bool) { e.denied.Store(denied) }

// close closes the connections whose last login used a matching token.
func (e *Entra) close(matches func(token string) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for conn, token := range e.conns {
		if matches(token) {
			conn.Close()
		}
	}
}

// relay forwards a client's commands to Redis, and the answers, and records logins.
func (e *Entra) relay(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", e.server.Addr())
	if err != nil {
		return
	}
	defer server.Close()
	e.loggedIn(client, "")
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.conns, client)
	}()
	go func() {
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	in := bufio.NewReader(client)
	for {
		command, args, err := readCommand(in)
		if err != nil {
			return
		}
		if token := password(args); token != "" {
			e.loggedIn(client, token)
		}
		if _, err := server.Write(command); err != nil {
			return
		}
	}
}

func (e *Entra) loggedIn(client net.Conn, token string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns[client] = token
}

// password returns the password in AUTH user password or HELLO 3 AUTH user password, and
// "" for other commands.
func password(args []string) string {
	switch {
	case len(args) == 3 && strings.EqualFold(args[0], "AUTH"):
		return args[2]
	case len(args) >= 5 && strings.EqualFold(args[0], "HELLO") && strings.EqualFold(args[2], "AUTH"):
		return args[4]
	}
	return ""
}

// readCommand reads an array of bulk strings. It returns the bytes and the strings.
func readCommand(in *bufio.Reader) (raw []byte, args []string, err error) {
	count, line, err := readLength(in, '*')
	raw = append(raw, line...)
	for range count {
		length, line, err := readLength(in, '$')
		if err != nil {
			return nil, nil, err
		}
		text := make([]byte, length+len("\r\n"))
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, nil, err
		}
		raw = append(append(raw, line...), text...)
		args = append(args, string(text[:length]))
	}
	return raw, args, err
}

func readLength(in *bufio.Reader, kind byte) (length int, line []byte, err error) {
	line, err = in.ReadBytes('\n')
	if err != nil {
		return 0, nil, err
	}
	if line[0] != kind {
		return 0, nil, fmt.Errorf("%q does not begin with %c", line, kind)
	}
	length, err = strconv.Atoi(strings.TrimSpace(string(line[1:])))
	return length, line, err
}
